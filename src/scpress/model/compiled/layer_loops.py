"""The compiled loops of the network's layers, and of the sparse batches the first one reads."""

import numpy as np
from numba import njit, prange

from scpress.model.compiled.arithmetic import CHUNKS, f32, i32, loop, parallel, serial

# the first layer ----------------------------------------------------------------------------------


@njit(cache=True)
def by_gene(pointers, indices, values, n_genes):  # type: ignore[no-untyped-def]
    """The nonzeros of a CSR batch in the order of their genes, cells in order within one.

    Returns
    -------
    pointers [genes + 1], cells [nonzeros], int32, and values [nonzeros]
    """
    to_pointers = np.zeros(n_genes + 1, i32)
    for k in range(indices.shape[0]):
        to_pointers[indices[k] + 1] += 1
    for j in range(n_genes):
        to_pointers[j + 1] += to_pointers[j]
    place = to_pointers[:-1].copy()
    cells, ordered = np.empty(indices.shape[0], i32), np.empty(indices.shape[0], f32)
    for i in range(pointers.shape[0] - 1):
        for k in range(pointers[i], pointers[i + 1]):
            at = place[indices[k]]
            place[indices[k]] += 1
            cells[at], ordered[at] = i, values[k]
    return to_pointers, cells, ordered


@loop
def _add_products(places, values, start, stop, source, target):  # type: ignore[no-untyped-def]
    """Add the sum over k of values[k] * source[places[k]] to target.

    Four rows at a time, so that target is read and written a quarter as often: twice as quick.
    """
    n = target.shape[0]
    k = start
    while k + 4 <= stop:
        a, b = source[places[k]], source[places[k + 1]]
        c, d = source[places[k + 2]], source[places[k + 3]]
        of_a, of_b, of_c, of_d = values[k], values[k + 1], values[k + 2], values[k + 3]
        for j in range(n):
            target[j] += (of_a * a[j] + of_b * b[j]) + (of_c * c[j] + of_d * d[j])
        k += 4
    while k < stop:
        a, of_a = source[places[k]], values[k]
        for j in range(n):
            target[j] += of_a * a[j]
        k += 1


@parallel
def sparse_product(pointers, indices, values, weight, out):  # type: ignore[no-untyped-def]
    """Add to out [cells, outputs] the product of a CSR batch with weight [genes, outputs]."""
    n_cells = out.shape[0]
    for chunk in prange(CHUNKS):
        for i in range(n_cells * chunk // CHUNKS, n_cells * (chunk + 1) // CHUNKS):
            _add_products(indices, values, pointers[i], pointers[i + 1], weight, out[i])


@parallel
def sparse_gradient(pointers, cells, values, gradient, out):  # type: ignore[no-untyped-def]
    """Write to out [genes, outputs] the gradient of the weight of `sparse_product`.

    The batch is in the order of `by_gene`: each gene's gradient is written once, in order, and what
    is read at random, that of the outputs [cells, outputs], fits in the cache.
    """
    n_genes = out.shape[0]
    for chunk in prange(CHUNKS):
        for j in range(n_genes * chunk // CHUNKS, n_genes * (chunk + 1) // CHUNKS):
            out[j] = f32(0.0)
            _add_products(cells, values, pointers[j], pointers[j + 1], gradient, out[j])


# hidden layers ------------------------------------------------------------------------------------


@serial
def hidden(  # type: ignore[no-untyped-def]
    h,
    gain,
    shift,
    kept,
    scale,
    epsilon,
    momentum,
    out,
    mean,
    inverse,
    running_mean,
    running_variance,
):
    """Batch norm, relu and dropout of a hidden layer, in training.

    Parameters
    ----------
    h
        [cells, width] What the linear layer gave.
    gain, shift
        [width] Of the norm.
    kept, scale
        [cells, width] 1 where dropout keeps a value, which is then multiplied by scale; no rows
        where there is no dropout.
    momentum
        Weight of this batch in the running mean and variance.
    out
        [cells, width] Written: the layer's output.
    mean, inverse
        [width] Written: over the cells, inverse the one of the deviation.
    running_mean, running_variance
        [width] The running ones, moved; the variance is the unbiased one, as torch keeps it.
    """
    n_cells, width = h.shape
    variance = np.empty(width, f32)
    mean[:] = f32(0.0)
    variance[:] = f32(0.0)
    for i in range(n_cells):
        for j in range(width):
            mean[j] += h[i, j]
    for j in range(width):
        mean[j] /= f32(n_cells)
    for i in range(n_cells):
        for j in range(width):
            d = h[i, j] - mean[j]
            variance[j] += d * d
    for j in range(width):
        variance[j] /= f32(n_cells)
        inverse[j] = f32(1.0) / np.sqrt(variance[j] + epsilon)
    unbiased = f32(n_cells) / f32(max(1, n_cells - 1))
    for j in range(width):
        running_mean[j] += momentum * (mean[j] - running_mean[j])
    for j in range(width):
        running_variance[j] += momentum * (variance[j] * unbiased - running_variance[j])
    for i in range(n_cells):
        for j in range(width):
            value = (h[i, j] - mean[j]) * inverse[j] * gain[j] + shift[j]
            # Not max(): it would turn what is not a number into 0.
            out[i, j] = f32(0.0) if value <= f32(0.0) else value
    for i in range(kept.shape[0]):
        for j in range(width):
            out[i, j] *= kept[i, j] * scale


@serial
def hidden_gradient(  # type: ignore[no-untyped-def]
    gradient, h, out, gain, scale, mean, inverse, by_h, by_gain, by_shift
):
    """Write the gradients of `hidden` by its input, gain and shift.

    With x the normalized h and g what comes back through dropout and relu:
    dl/dh = gain / deviation * (g - mean g - x mean(x g)).
    """
    n_cells, width = h.shape
    by_gain[:] = f32(0.0)
    by_shift[:] = f32(0.0)
    for i in range(n_cells):
        for j in range(width):
            g = gradient[i, j] * scale if out[i, j] > f32(0.0) else f32(0.0)
            by_h[i, j] = g
            by_shift[j] += g
    for i in range(n_cells):
        for j in range(width):
            by_gain[j] += by_h[i, j] * ((h[i, j] - mean[j]) * inverse[j])
    share = f32(1.0) / f32(n_cells)
    for i in range(n_cells):
        for j in range(width):
            x = (h[i, j] - mean[j]) * inverse[j]
            rest = by_h[i, j] - share * (by_shift[j] + x * by_gain[j])
            by_h[i, j] = gain[j] * inverse[j] * rest


# batches ------------------------------------------------------------------------------------------


@njit(cache=True)
def gather_rows(rows, pointers, indices, counts):  # type: ignore[no-untyped-def]
    """Copy rows of a CSR matrix, in memory or mapped from a file; stored zeros are left out.

    Returns
    -------
    pointers [rows + 1] int64, indices [nonzeros] int32, counts [nonzeros] float32, totals [rows]
    """
    size = 0
    for i in range(rows.shape[0]):
        size += pointers[rows[i] + 1] - pointers[rows[i]]
    to_pointers = np.zeros(rows.shape[0] + 1, np.int64)
    to_indices, to_counts = np.empty(size, i32), np.empty(size, f32)
    totals = np.empty(rows.shape[0], f32)
    at = 0
    for i in range(rows.shape[0]):
        total = 0.0
        for k in range(pointers[rows[i]], pointers[rows[i] + 1]):
            if counts[k] != 0:
                to_indices[at] = indices[k]
                to_counts[at] = counts[k]
                total += counts[k]
                at += 1
        totals[i] = total
        to_pointers[i + 1] = at
    return to_pointers, to_indices[:at], to_counts[:at], totals
