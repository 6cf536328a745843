"""The compiled loops of the likelihood, values and gradients."""

import numpy as np
from numba import prange

from scpress.model.compiled.arithmetic import (
    CHUNKS,
    add,
    digamma_from_8,
    exact,
    exp,
    f32,
    i32,
    lgamma_from_8,
    load_row,
    log,
    log1p,
    log64,
    loop,
    parallel,
    rising,
    store_row,
)

POISSON, NB, ZINB = 0, 1, 2
# Genes at a time; six float32 arrays of this length stay in the first-level cache.
_BLOCK = 1024


@loop
def _softmax(eta):  # type: ignore[no-untyped-def]
    """Turn eta into shares of the library, in place."""
    top = f32(-3e38)
    for j in range(eta.shape[0]):
        top = max(top, eta[j])
    total = f32(0.0)
    for j in range(eta.shape[0]):
        e = exp(eta[j] - top)
        eta[j] = e
        total += e
    scale = f32(1.0) / total
    for j in range(eta.shape[0]):
        eta[j] *= scale


@loop
def _hide(measured, eta):  # type: ignore[no-untyped-def]
    """Leave what was not measured out of the softmax: far below all else, and finite.

    Its terms are as good as nothing then, so that taking them away costs no digits.
    """
    for j in range(eta.shape[0]):
        eta[j] = eta[j] if measured[j] else f32(-3e38)


@loop
def _leave_out(measured, values):  # type: ignore[no-untyped-def]
    """Nothing where nothing was measured; returns the sum of what was there."""
    total = f32(0.0)
    for j in range(values.shape[0]):
        kept = values[j] if measured[j] else f32(0.0)
        total += values[j] - kept
        values[j] = kept
    return total


@loop
def _exponentials(logs, shift):  # type: ignore[no-untyped-def]
    for j in range(logs.shape[0]):
        logs[j] = exp(logs[j] + shift)


@loop
def _clamp(values, low, high):  # type: ignore[no-untyped-def]
    for j in range(values.shape[0]):
        values[j] = min(max(values[j], low), high)


@loop
def _nb_zeros(share, theta, n, slope, scale, low, high):  # type: ignore[no-untyped-def]
    """n = log NB(0) = -theta log1p(mu / theta), slope = mu / (1 + mu / theta) = -dn/dlog mu."""
    for j in range(share.shape[0]):
        mu = min(max(share[j] * scale, low), high)
        n[j] = -theta[j] * log1p(mu / theta[j])
        slope[j] = mu * theta[j] / (theta[j] + mu)


@loop
def _nb_finish(n, slope, zero):  # type: ignore[no-untyped-def]
    """Sum of log NB(0); n becomes dl/dlog theta, slope becomes dl/dlog mu."""
    total = f32(0.0)
    for j in range(n.shape[0]):
        v = n[j]
        total += v
        zero[j] = v
        n[j] = v + slope[j]
        slope[j] = -slope[j]
    return total


@loop
def _zinb_finish(n, slope, odds, zero):  # type: ignore[no-untyped-def]
    """Sum of log ZINB(0) = log((O + e^n) / (1 + O)), O = e^o.

    With q = O / (O + e^n), how likely a zero is an extra one: dl/do = q - O/(1 + O),
    dl/dlog mu = -(1-q) slope, dl/dlog theta = (1-q)(n + slope). All three in place.
    """
    total = f32(0.0)
    for j in range(n.shape[0]):
        v = n[j]
        e = exp(v)
        o = odds[j]
        # Both inverses from one division: o is within e^-30 and e^30.
        plain, zeros = f32(1.0) + o, o + e
        inverse = f32(1.0) / (plain * zeros)
        of_odds, of_zero = zeros * inverse, plain * inverse
        l = log(zeros * of_odds)  # noqa: E741
        rest = e * of_zero
        zero[j] = l
        total += l
        n[j] = rest * (v + slope[j])
        slope[j] = -rest * slope[j]
        odds[j] = o * (of_zero - of_odds)
    return total


@loop
def _poisson_zeros(share, slope, zero, scale, low, high):  # type: ignore[no-untyped-def]
    total = f32(0.0)
    for j in range(share.shape[0]):
        mu = min(max(share[j] * scale, low), high)
        zero[j] = -mu
        slope[j] = -mu
        total -= mu
    return total


@loop
def _theta_terms(theta, log_theta, lgamma, digamma):  # type: ignore[no-untyped-def]
    """log theta, lgamma(theta) and digamma(theta), float64."""
    for k in range(theta.shape[0]):
        z = np.float64(theta[k])
        p, derivative = rising(z)
        log_w = log64(z + 8.0)
        log_theta[k] = log64(z)
        lgamma[k] = lgamma_from_8(z + 8.0, log_w) - log64(p)
        digamma[k] = digamma_from_8(z + 8.0, log_w) - derivative / p


@exact
def _log_factorial(x, table):  # type: ignore[no-untyped-def]
    if x < table.shape[0]:
        return table[i32(x)]
    return lgamma_from_8(x + 1.0, log64(x + 1.0))


@loop
def _nb_nonzeros(  # type: ignore[no-untyped-def]
    x, mu, theta, log_theta, lgamma, digamma, value, by_mu, by_theta
):
    """log NB(x) but for lgamma(x+1), and its derivatives by log mu and log theta, float64.

    lgamma(z) = lgamma(z + 8) - log P(z), and digamma(z) = digamma(z + 8) - P'(z)/P(z).
    """
    for k in range(x.shape[0]):
        total, both = x[k] + theta[k], theta[k] + mu[k]
        p, derivative = rising(total)
        log_w, log_both = log64(total + 8.0), log64(both)
        log_fraction = log_both - log_theta[k]
        gap = (x[k] - mu[k]) / both
        value[k] = (
            lgamma_from_8(total + 8.0, log_w)
            - log64(p)
            - lgamma[k]
            - theta[k] * log_fraction
            + x[k] * (log64(mu[k]) - log_both)
        )
        rest = digamma_from_8(total + 8.0, log_w) - derivative / p - digamma[k]
        by_mu[k] = theta[k] * gap
        by_theta[k] = theta[k] * (rest - log_fraction - gap)


@loop
def _poisson_nonzeros(x, mu, value, by_mu):  # type: ignore[no-untyped-def]
    for k in range(x.shape[0]):
        value[k] = x[k] * log64(mu[k]) - mu[k]
        by_mu[k] = x[k] - mu[k]


@loop
def _poison(values):  # type: ignore[no-untyped-def]
    """0, or not a number where a value is not finite: clamping would hide it."""
    total = f32(0.0)
    for j in range(values.shape[0]):
        total += values[j]
    return total * f32(0.0)


@loop
def _total(values):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(values.shape[0]):
        total += values[k]
    return total


@loop
def _mask(share, by_mu, scale, low, high):  # type: ignore[no-untyped-def]
    """No gradient where log mu is clamped; returns the sum of the rest."""
    total = f32(0.0)
    for j in range(share.shape[0]):
        mu = share[j] * scale
        value = by_mu[j] if (mu >= low) & (mu <= high) else f32(0.0)
        by_mu[j] = value
        total += value
    return total


@loop
def _subtract_shares(share, by_mu, total):  # type: ignore[no-untyped-def]
    """Backward of the softmax: dl/deta = dl/dlog mu - share * their sum."""
    for j in range(share.shape[0]):
        by_mu[j] -= share[j] * total


@loop
def _mask_clamped(raw, gradient, low, high):  # type: ignore[no-untyped-def]
    for j in range(raw.shape[0]):
        gradient[j] = gradient[j] if (raw[j] >= low) & (raw[j] <= high) else f32(0.0)


@parallel
def log_likelihood(  # type: ignore[no-untyped-def]
    kind,
    eta,
    eta_bias,
    pi_logits,
    pi_bias,
    log_theta,
    theta_bias,
    theta_row,
    library,
    pointers,
    indices,
    counts,
    measured,
    gene_set,
    log_factorials,
    softmax,
    limits,
    with_gradient,
    by_cell,
    sum_eta,
    sum_pi,
    sum_theta,
):
    """Log-likelihood of each cell and its gradient by everything the decoder says, in one pass.

    Parameters
    ----------
    kind
        POISSON, NB or ZINB.
    eta, pi_logits, log_theta
        [cells, genes] Products of the last hidden layer with the heads, without their biases, as
        float32 or bfloat16 seen as uint16; with the gradient they are overwritten by it.
        log_theta is [rows, genes], and only read, where theta is not one of each cell.
    eta_bias, pi_bias, theta_bias
        [genes] Biases of the heads.
    theta_row
        [cells] Row of log_theta of each cell; empty where theta is one of each cell.
    library
        [cells] Molecules to share out by the softmax, or the size factor that scales exp(eta).
    pointers, indices, counts
        [cells + 1], [nonzeros], [nonzeros] The counts, CSR.
    measured, gene_set
        [sets, genes] Whether cells of a set were measured, [cells] the set of each; both empty
        where all were. What was not measured is in no sum and has no gradient.
    log_factorials
        [any] log 0!, log 1!, ... for the counts that are most frequent.
    limits
        [6] Lowest and highest mu, theta's logarithm and logit of pi.
    by_cell
        [cells] Written: log-likelihoods, nats, float64.
    sum_eta, sum_pi, sum_theta
        [CHUNKS, genes], the last [CHUNKS, rows, genes]. Written: the gradient summed over the cells
        of a chunk, which is the one of biases and of a theta that cells share.
    """
    n_cells, n_genes = eta.shape
    per_cell = theta_row.shape[0] == 0
    masked = gene_set.shape[0] > 0
    mu_low, mu_high = limits[0], limits[1]
    # What depends on theta alone is computed once for each gene where cells share it, if those are
    # fewer than the nonzeros.
    n_rows = log_theta.shape[0]
    tabled = kind != POISSON and not per_cell and n_rows * n_genes < indices.shape[0]
    table = np.empty((3, n_rows if tabled else 0, n_genes), np.float64)
    if tabled:
        n_blocks = (n_genes + _BLOCK - 1) // _BLOCK
        for task in prange(n_rows * n_blocks):
            row, first = task // n_blocks, task % n_blocks * _BLOCK
            genes = slice(first, min(first + _BLOCK, n_genes))
            values = np.empty(genes.stop - first, f32)
            load_row(log_theta[row, genes], theta_bias[genes], values)
            _clamp(values, limits[2], limits[3])
            _exponentials(values, f32(0.0))
            _theta_terms(values, table[0, row, genes], table[1, row, genes], table[2, row, genes])
    for chunk in prange(CHUNKS):
        share, zero = np.empty(n_genes, f32), np.empty(n_genes, f32)
        by_mu, by_theta = np.empty(n_genes, f32), np.empty(n_genes, f32)
        odds, theta = np.empty(n_genes, f32), np.empty(n_genes, f32)
        raw_odds = np.empty(n_genes if kind == ZINB else 0, f32)
        raw_theta = np.empty(n_genes if per_cell else 0, f32)
        wide = np.empty((10, n_genes), np.float64)
        current, of_theta = -1, f32(0.0)
        if with_gradient:
            sum_eta[chunk] = f32(0.0)
            sum_theta[chunk] = f32(0.0)
            if kind == ZINB:
                sum_pi[chunk] = f32(0.0)
        for i in range(n_cells * chunk // CHUNKS, n_cells * (chunk + 1) // CHUNKS):
            start, stop = pointers[i], pointers[i + 1]
            n_nonzero = stop - start
            columns = indices[start:stop]
            x, mu_x, theta_x = wide[0, :n_nonzero], wide[1, :n_nonzero], wide[2, :n_nonzero]
            value, slope_x = wide[3, :n_nonzero], wide[4, :n_nonzero]
            slope_theta, odds_x = wide[5, :n_nonzero], wide[6, :n_nonzero]
            log_x, lgamma_x = wide[7, :n_nonzero], wide[8, :n_nonzero]
            digamma_x = wide[9, :n_nonzero]

            load_row(eta[i], eta_bias, share)
            total = np.float64(_poison(share))
            scale = library[i]
            if masked:
                _hide(measured[gene_set[i]], share)
            if softmax:
                _softmax(share)
            else:
                _exponentials(share, f32(0.0))
            if kind != POISSON:
                row = i if per_cell else theta_row[i]
                if row != current:
                    load_row(log_theta[row], theta_bias, theta)
                    of_theta = _poison(theta)
                    if per_cell:
                        raw_theta[:] = theta
                    _clamp(theta, limits[2], limits[3])
                    _exponentials(theta, f32(0.0))
                    current = row
                total += of_theta
            if kind == ZINB:
                load_row(pi_logits[i], pi_bias, odds)
                total += _poison(odds)
                raw_odds[:] = odds
                _clamp(odds, limits[4], limits[5])
                _exponentials(odds, f32(0.0))
                for k in range(n_nonzero):
                    odds_x[k] = odds[columns[k]]

            for first in range(0, n_genes, _BLOCK):
                last = min(first + _BLOCK, n_genes)
                s, z = share[first:last], zero[first:last]
                m, t = by_mu[first:last], by_theta[first:last]
                if kind == POISSON:
                    total += _poisson_zeros(s, m, z, scale, mu_low, mu_high)
                    continue
                _nb_zeros(s, theta[first:last], t, m, scale, mu_low, mu_high)
                if kind == NB:
                    total += _nb_finish(t, m, z)
                else:
                    total += _zinb_finish(t, m, odds[first:last], z)

            if masked:
                of_cell = measured[gene_set[i]]
                _leave_out(of_cell, share)
                _leave_out(of_cell, by_mu)
                total -= _leave_out(of_cell, zero)
                if kind != POISSON:
                    _leave_out(of_cell, by_theta)
                if kind == ZINB:
                    _leave_out(of_cell, odds)

            for k in range(n_nonzero):
                j = columns[k]
                x[k] = counts[start + k]
                mu_x[k] = min(max(share[j] * scale, mu_low), mu_high)
                theta_x[k] = theta[j]
            if kind == POISSON:
                _poisson_nonzeros(x, mu_x, value, slope_x)
            else:
                if tabled:
                    row = theta_row[i]
                    for k in range(n_nonzero):
                        j = columns[k]
                        log_x[k] = table[0, row, j]
                        lgamma_x[k] = table[1, row, j]
                        digamma_x[k] = table[2, row, j]
                else:
                    _theta_terms(theta_x, log_x, lgamma_x, digamma_x)
                _nb_nonzeros(
                    x, mu_x, theta_x, log_x, lgamma_x, digamma_x, value, slope_x, slope_theta
                )
            total += _total(value)
            for k in range(n_nonzero):
                j = columns[k]
                total -= zero[j] + _log_factorial(x[k], log_factorials)
                by_mu[j] = slope_x[k]
                if kind != POISSON:
                    by_theta[j] = slope_theta[k]
                if kind == ZINB:
                    total -= log64(1.0 + odds_x[k])
                    odds[j] = -odds_x[k] / (1.0 + odds_x[k])
            by_cell[i] = total
            if not with_gradient:
                continue

            sum_mu = _mask(share, by_mu, scale, mu_low, mu_high)
            if softmax:
                _subtract_shares(share, by_mu, sum_mu)
            add(by_mu, sum_eta[chunk])
            store_row(by_mu, eta[i])
            if kind == ZINB:
                _mask_clamped(raw_odds, odds, limits[4], limits[5])
                add(odds, sum_pi[chunk])
                store_row(odds, pi_logits[i])
            if kind != POISSON:
                if per_cell:
                    _mask_clamped(raw_theta, by_theta, limits[2], limits[3])
                    add(by_theta, sum_theta[chunk, 0])
                    store_row(by_theta, log_theta[i])
                else:
                    add(by_theta, sum_theta[chunk, theta_row[i]])
