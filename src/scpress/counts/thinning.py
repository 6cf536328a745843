"""How the molecules of each cell are divided into parts that are independent of each other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from scpress.counts.matrix import iter_chunks, sums_of_squares

# Above this inverse dispersion a negative binomial is a Poisson to float precision, and the
# fraction p below is the stated one.
_MAX_THETA = 1e8
# Values that are divided at a time; the random numbers depend on it.
_VALUES_AT_A_TIME = 2**22


def estimate_theta(counts: sparse.csr_matrix, size_factor: np.ndarray) -> np.ndarray:
    """[genes] Inverse dispersion by moments, given the size factors; huge for a Poisson gene.

    With x of mean s m and variance s m + s^2 m^2 / theta, the sum over cells of
    (x - s m)^2 - s m has the expectation m^2 sum(s^2) / theta.
    """
    total = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
    mean = total / size_factor.sum()
    sum_squares = (size_factor**2).sum()
    weighted = np.asarray(counts.T @ size_factor).ravel()
    residual = sums_of_squares(counts) - 2 * mean * weighted
    residual += mean**2 * sum_squares
    return _theta_of(residual - total, mean**2 * sum_squares)


def estimate_theta_within(X: Any, size_factor: np.ndarray, group: np.ndarray) -> np.ndarray:
    """[genes] Inverse dispersion by moments within groups of cells that are alike.

    What differs between groups is no dispersion: folds that were divided by it would take from
    each other what the cells' types have in common. The sums are those of `estimate_theta` in each
    group, with its mean's own chance taken out, added over the groups.

    Parameters
    ----------
    X
        [cells, genes] Molecules, as for `iter_chunks`.
    group
        [cells] 0 to n - 1, each of which has cells.
    """
    n_vars, n_groups = X.shape[1], int(group.max()) + 1
    total, weighted, squares = (np.zeros((n_groups, n_vars)) for _ in range(3))
    for start, stop, block in iter_chunks(X):
        rows = np.arange(stop - start)
        for sums, weight, values in (
            (total, np.ones(stop - start), block),
            (weighted, size_factor[start:stop], block),
            (squares, np.ones(stop - start), block.astype(np.float64).power(2)),
        ):
            member = sparse.csr_matrix(
                (weight, (group[start:stop], rows)), shape=(n_groups, stop - start)
            )
            sums += (member @ values).toarray()
    size = np.bincount(group, weights=size_factor)[:, None]
    size_squares = np.bincount(group, weights=size_factor**2)[:, None]
    n_cells = np.bincount(group)[:, None]
    mean = total / size
    residual = squares - 2 * mean * weighted + mean**2 * size_squares
    excess = residual * n_cells / np.maximum(n_cells - 1, 1) - total
    # Of a Poisson total t, t (t - 1) is an estimate of the squared expectation, and t^2 is not.
    signal = total * np.maximum(total - 1, 0) / size**2 * size_squares
    some = n_cells[:, 0] > 1
    return _theta_of(excess[some].sum(axis=0), signal[some].sum(axis=0))


def _theta_of(excess: np.ndarray, signal: np.ndarray) -> np.ndarray:
    theta = np.full(len(excess), _MAX_THETA)
    over = excess * _MAX_THETA > signal
    theta[over] = np.maximum(signal[over] / excess[over], 1e-3)
    return theta


def split_counts(
    counts: sparse.csr_matrix,
    theta: np.ndarray,
    *,
    fraction: float = 0.5,
    rng: np.random.Generator,
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Divide every count into two folds that are independent if the counts are NB with this theta.

    p ~ Beta(fraction theta, (1 - fraction) theta) and x_first ~ Binomial(x, p), for each stored
    value. A plain binomial (p = fraction) would leave overdispersed folds correlated. Neufeld et
    al. 2024.

    Parameters
    ----------
    counts
        [cells, genes] Molecules.
    theta
        [genes] Inverse dispersion.
    fraction
        Expected part of the molecules in the first fold.

    Returns
    -------
    [cells, genes] twice; their sum is `counts`.
    """
    first, second = counts.copy(), counts.copy()
    for start in range(0, counts.nnz, _VALUES_AT_A_TIME):
        part = slice(start, min(start + _VALUES_AT_A_TIME, counts.nnz))
        per_value = theta[counts.indices[part]]
        p = rng.beta(fraction * per_value, (1 - fraction) * per_value)
        first.data[part] = rng.binomial(counts.data[part], p)
        second.data[part] -= first.data[part]
    first.eliminate_zeros()
    second.eliminate_zeros()
    return first, second


def split_folds(
    counts: sparse.csr_matrix,
    theta: np.ndarray,
    *,
    fractions: Sequence[float],
    rng: np.random.Generator,
) -> list[sparse.csr_matrix]:
    """[cells, genes] One fold for each fraction of the molecules, and what is left over at the end.

    All are independent of each other if the counts are NB with this theta: what `split_counts`
    leaves of counts with theta is NB with (1 - fraction) theta, and is divided again.
    """
    folds, rest, left = [], counts, 1.0
    for fraction in fractions:
        if left - fraction < 1e-9:
            folds.append(rest)
            rest = sparse.csr_matrix(counts.shape, dtype=counts.dtype)
        else:
            fold, rest = split_counts(rest, theta * left, fraction=fraction / left, rng=rng)
            folds.append(fold)
        left -= fraction
    return [*folds, rest]
