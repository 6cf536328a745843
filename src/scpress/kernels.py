"""The compiled loops of the likelihood and the posterior on the CPU, values and gradients.

Every function has a plain torch twin (`likelihoods`, `network`) that runs where numba or the CPU is
not what computes; tests compare the two. Loops are written so that LLVM vectorizes them: few arrays
each (it gives up when too many could overlap), no branch, reductions in their own functions. The
cells are cut into a fixed number of chunks, so the bits do not depend on the number of threads.
"""

import math
import os
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic, overload

from scpress.settings import set_cache_directories

# A package that was installed for everybody has no folder of its own for the compiled loops.
if not os.access(os.path.dirname(__file__), os.W_OK):
    set_cache_directories()

f32, i32 = np.float32, np.int32

POISSON, NB, ZINB = 0, 1, 2
# Chunks of cells; also the partial sums of what is one number per gene.
CHUNKS = 16
# Genes at a time; six float32 arrays of this length stay in the first-level cache.
_BLOCK = 1024

# A float32 + _ROUND has its integer part in the low bits of the mantissa.
_ROUND, _LOG2_E = f32(1.5 * 2**23), f32(1 / math.log(2))
# log 2 as a short number and the rest, so that n * _LN2_HIGH is exact.
_LN2, _LN2_HIGH = f32(math.log(2)), f32(355 / 512)
_LN2_LOW = f32(math.log(2) - 355 / 512)
_TWO_THIRDS = i32(0x3F2AAAAB)
_TWO_THIRDS_64 = np.int64(0x3FE5555555555555)
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)

# `reassoc` lets LLVM vectorize a sum, but would also cancel the rounding trick of `_exp`: functions
# that round or compensate do without it.
# What is called is always inlined: else the process that compiles runs the callee's own machine
# code, the ones that read numba's cache a copy optimized within its caller, and the bits differ.
_exact = njit(fastmath={"contract"}, error_model="numpy", forceinline=True)
loop = njit(fastmath={"reassoc", "contract", "nsz"}, error_model="numpy", forceinline=True)
parallel = njit(
    fastmath={"reassoc", "contract", "nsz"}, error_model="numpy", parallel=True, cache=True
)
serial = njit(fastmath={"reassoc", "contract", "nsz"}, error_model="numpy", cache=True)


def _bitcast(source: Any, target: Any, width: Any) -> Any:
    @intrinsic
    def cast(_context: Any, _value: Any) -> Any:
        def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], width)

        return target(source), generate

    return cast


_bits = _bitcast(types.float32, types.int32, ir.IntType(32))
_float = _bitcast(types.int32, types.float32, ir.FloatType())
_bits64 = _bitcast(types.float64, types.int64, ir.IntType(64))
_float64 = _bitcast(types.int64, types.float64, ir.DoubleType())


# exp and log as polynomials, so that they are inlined and vectorized -----------------------------


@_exact
def _exp(x):  # type: ignore[no-untyped-def]
    """2^n e^r with |r| <= log(2)/2, e^r by its Taylor series; relative error 1e-7."""
    x = min(max(x, f32(-87.0)), f32(88.0))
    shifted = x * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = f32(1 / 5040)
    p = p * r + f32(1 / 720)
    p = p * r + f32(1 / 120)
    p = p * r + f32(1 / 24)
    p = p * r + f32(1 / 6)
    p = p * r + f32(0.5)
    p = p * r + f32(1.0)
    p = p * r + f32(1.0)
    return _float(i32(_bits(p) + i32(_bits(shifted) << i32(23))))


@_exact
def _log_near_one(f):  # type: ignore[no-untyped-def]
    """log(1 + f) = 2 atanh(f / (2 + f)) by its series, |f| <= 1/3."""
    s = f / (f32(2.0) + f)
    z = s * s
    p = f32(2 / 9)
    p = p * z + f32(2 / 7)
    p = p * z + f32(2 / 5)
    p = p * z + f32(2 / 3)
    p = p * z + f32(2.0)
    return p * s


@_exact
def _log(x):  # type: ignore[no-untyped-def]
    """Natural log of a positive normal number: k log 2 + log m, m in [2/3, 4/3)."""
    b = _bits(x)
    k = i32(i32(b - _TWO_THIRDS) >> i32(23))
    m = _float(i32(b - i32(k << i32(23))))
    return f32(k) * _LN2 + _log_near_one(m - f32(1.0))


@_exact
def _log1p(x):  # type: ignore[no-untyped-def]
    """log(1 + x), x >= 0; below 1/3 the sum is never rounded."""
    b = _bits(f32(1.0) + x)
    k = i32(i32(b - _TWO_THIRDS) >> i32(23))
    m = _float(i32(b - i32(k << i32(23))))
    f = x if k == 0 else m - f32(1.0)
    return f32(k) * _LN2 + _log_near_one(f)


@_exact
def _log64(x):  # type: ignore[no-untyped-def]
    b = _bits64(x)
    k = (b - _TWO_THIRDS_64) >> 52
    f = _float64(b - (k << 52)) - 1.0
    s = f / (2.0 + f)
    z = s * s
    p = 2 / 21
    p = p * z + 2 / 19
    p = p * z + 2 / 17
    p = p * z + 2 / 15
    p = p * z + 2 / 13
    p = p * z + 2 / 11
    p = p * z + 2 / 9
    p = p * z + 2 / 7
    p = p * z + 2 / 5
    p = p * z + 2 / 3
    p = p * z + 2.0
    return k * 0.6931471805599453 + p * s


@_exact
def _rising(z):  # type: ignore[no-untyped-def]
    """(P, P') of P = z (z+1) ... (z+7), by which lgamma and digamma are shifted to z + 8."""
    p, derivative = z, 1.0
    for i in range(1, 8):
        derivative = derivative * (z + i) + p
        p = p * (z + i)
    return p, derivative


@_exact
def _stirling(w, log_w):  # type: ignore[no-untyped-def]
    """lgamma(w) for w >= 8 (Abramowitz and Stegun 6.1.41); the next term is below 1e-12."""
    v = 1.0 / w
    v2 = v * v
    series = v * (1 / 12 - v2 * (1 / 360 - v2 * (1 / 1260 - v2 * (1 / 1680 - v2 / 1188))))
    return (w - 0.5) * log_w - w + _HALF_LOG_2PI + series


@_exact
def _digamma(w, log_w):  # type: ignore[no-untyped-def]
    """digamma(w) for w >= 8 (Abramowitz and Stegun 6.3.18)."""
    v = 1.0 / w
    v2 = v * v
    return log_w - 0.5 * v - v2 * (1 / 12 - v2 * (1 / 120 - v2 * (1 / 252 - v2 / 240)))


# rows of float32, or of the upper halves of float32: bfloat16 as uint16 ---------------------------


def _load(source, bias, target):  # type: ignore[no-untyped-def]
    raise RuntimeError("compiled only")


@overload(_load, jit_options={"forceinline": True})
def _load_of_type(source, bias, target):  # type: ignore[no-untyped-def]
    if source.dtype == types.uint16:

        def load(source, bias, target):  # type: ignore[no-untyped-def]
            for j in range(target.shape[0]):
                target[j] = _float(i32(i32(source[j]) << i32(16))) + bias[j]

    else:

        def load(source, bias, target):  # type: ignore[no-untyped-def]
            for j in range(target.shape[0]):
                target[j] = source[j] + bias[j]

    return load


def _store(source, target):  # type: ignore[no-untyped-def]
    raise RuntimeError("compiled only")


@overload(_store, jit_options={"forceinline": True})
def _store_as_type(source, target):  # type: ignore[no-untyped-def]
    if target.dtype == types.uint16:

        def store(source, target):  # type: ignore[no-untyped-def]
            for j in range(target.shape[0]):
                b = _bits(source[j])
                # Round to nearest, ties to even, as torch does.
                odd = i32(i32(b >> i32(16)) & i32(1))
                target[j] = np.uint16(i32(i32(b + i32(i32(0x7FFF) + odd)) >> i32(16)))

    else:

        def store(source, target):  # type: ignore[no-untyped-def]
            for j in range(target.shape[0]):
                target[j] = source[j]

    return store


@loop
def _load_row(source, bias, target):  # type: ignore[no-untyped-def]
    _load(source, bias, target)


@loop
def _store_row(source, target):  # type: ignore[no-untyped-def]
    _store(source, target)


@loop
def _add(source, target):  # type: ignore[no-untyped-def]
    for j in range(target.shape[0]):
        target[j] += source[j]


# the likelihood of one cell -----------------------------------------------------------------------


@loop
def _softmax(eta):  # type: ignore[no-untyped-def]
    """Turn eta into shares of the library, in place."""
    top = f32(-3e38)
    for j in range(eta.shape[0]):
        top = max(top, eta[j])
    total = f32(0.0)
    for j in range(eta.shape[0]):
        e = _exp(eta[j] - top)
        eta[j] = e
        total += e
    scale = f32(1.0) / total
    for j in range(eta.shape[0]):
        eta[j] *= scale


@loop
def _exponentials(logs, shift):  # type: ignore[no-untyped-def]
    for j in range(logs.shape[0]):
        logs[j] = _exp(logs[j] + shift)


@loop
def _clamp(values, low, high):  # type: ignore[no-untyped-def]
    for j in range(values.shape[0]):
        values[j] = min(max(values[j], low), high)


@loop
def _nb_zeros(share, theta, n, slope, scale, low, high):  # type: ignore[no-untyped-def]
    """N = log NB(0) = -theta log1p(mu / theta), slope = mu / (1 + mu / theta) = -dn/dlog mu."""
    for j in range(share.shape[0]):
        mu = min(max(share[j] * scale, low), high)
        n[j] = -theta[j] * _log1p(mu / theta[j])
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
        e = _exp(v)
        o = odds[j]
        # Both inverses from one division: o is within e^-30 and e^30.
        plain, zeros = f32(1.0) + o, o + e
        inverse = f32(1.0) / (plain * zeros)
        of_odds, of_zero = zeros * inverse, plain * inverse
        l = _log(zeros * of_odds)  # noqa: E741
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
    """Log theta, lgamma(theta) and digamma(theta), float64."""
    for k in range(theta.shape[0]):
        z = np.float64(theta[k])
        p, derivative = _rising(z)
        log_w = _log64(z + 8.0)
        log_theta[k] = _log64(z)
        lgamma[k] = _stirling(z + 8.0, log_w) - _log64(p)
        digamma[k] = _digamma(z + 8.0, log_w) - derivative / p


@_exact
def _log_factorial(x, table):  # type: ignore[no-untyped-def]
    if x < table.shape[0]:
        return table[i32(x)]
    return _stirling(x + 1.0, _log64(x + 1.0))


@loop
def _nb_nonzeros(  # type: ignore[no-untyped-def]
    x, mu, theta, log_theta, lgamma, digamma, value, by_mu, by_theta
):
    """Log NB(x) but for lgamma(x+1), and its derivatives by log mu and log theta, float64.

    lgamma(z) = lgamma(z + 8) - log P(z), and digamma(z) = digamma(z + 8) - P'(z)/P(z).
    """
    for k in range(x.shape[0]):
        total, both = x[k] + theta[k], theta[k] + mu[k]
        p, derivative = _rising(total)
        log_w, log_both = _log64(total + 8.0), _log64(both)
        log_fraction = log_both - log_theta[k]
        gap = (x[k] - mu[k]) / both
        value[k] = (
            _stirling(total + 8.0, log_w)
            - _log64(p)
            - lgamma[k]
            - theta[k] * log_fraction
            + x[k] * (_log64(mu[k]) - log_both)
        )
        rest = _digamma(total + 8.0, log_w) - derivative / p - digamma[k]
        by_mu[k] = theta[k] * gap
        by_theta[k] = theta[k] * (rest - log_fraction - gap)


@loop
def _poisson_nonzeros(x, mu, value, by_mu):  # type: ignore[no-untyped-def]
    for k in range(x.shape[0]):
        value[k] = x[k] * _log64(mu[k]) - mu[k]
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
            _load_row(log_theta[row, genes], theta_bias[genes], values)
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

            _load_row(eta[i], eta_bias, share)
            total = np.float64(_poison(share))
            scale = library[i]
            if softmax:
                _softmax(share)
            else:
                _exponentials(share, f32(0.0))
            if kind != POISSON:
                row = i if per_cell else theta_row[i]
                if row != current:
                    _load_row(log_theta[row], theta_bias, theta)
                    of_theta = _poison(theta)
                    if per_cell:
                        raw_theta[:] = theta
                    _clamp(theta, limits[2], limits[3])
                    _exponentials(theta, f32(0.0))
                    current = row
                total += of_theta
            if kind == ZINB:
                _load_row(pi_logits[i], pi_bias, odds)
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
                    total -= _log64(1.0 + odds_x[k])
                    odds[j] = -odds_x[k] / (1.0 + odds_x[k])
            by_cell[i] = total
            if not with_gradient:
                continue

            sum_mu = _mask(share, by_mu, scale, mu_low, mu_high)
            if softmax:
                _subtract_shares(share, by_mu, sum_mu)
            _add(by_mu, sum_eta[chunk])
            _store_row(by_mu, eta[i])
            if kind == ZINB:
                _mask_clamped(raw_odds, odds, limits[4], limits[5])
                _add(odds, sum_pi[chunk])
                _store_row(odds, pi_logits[i])
            if kind != POISSON:
                if per_cell:
                    _mask_clamped(raw_theta, by_theta, limits[2], limits[3])
                    _add(by_theta, sum_theta[chunk, 0])
                    _store_row(by_theta, log_theta[i])
                else:
                    _add(by_theta, sum_theta[chunk, theta_row[i]])


# the posterior ------------------------------------------------------------------------------------


@serial
def posterior(mean, log_variance, noise, floor, z, variance):  # type: ignore[no-untyped-def]
    """Write draws z = m + s noise and s^2 = exp(log_variance) + floor, all [cells, n_latent].

    Returns
    -------
    Sum over the cells of KL(N(m, s^2) || N(0, 1)), nats
    """
    n_cells, n_latent = mean.shape
    kl = 0.0
    for i in range(n_cells):
        for j in range(n_latent):
            m = mean[i, j]
            v = _exp(log_variance[i, j]) + floor
            variance[i, j] = v
            z[i, j] = m + np.sqrt(v) * noise[i, j]
            kl += 0.5 * np.float64(m * m + v - f32(1.0) - _log(v))
    return kl


@serial
def posterior_gradient(  # type: ignore[no-untyped-def]
    by_z, by_kl, mean, variance, noise, floor, by_mean, by_log_variance
):
    """Write the gradients of `posterior` by mean and log-variance; by_kl is of the sum."""
    for i in range(mean.shape[0]):
        for j in range(mean.shape[1]):
            v = variance[i, j]
            by_mean[i, j] = by_z[i, j] + by_kl * mean[i, j]
            by_v = by_z[i, j] * noise[i, j] / np.sqrt(v) + by_kl * (f32(1.0) - f32(1.0) / v)
            by_log_variance[i, j] = f32(0.5) * by_v * (v - floor)
