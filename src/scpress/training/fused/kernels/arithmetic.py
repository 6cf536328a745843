"""The arithmetic that the kernels share, in float32."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

import triton
import triton.language as tl

HALF_LOG_2PI = tl.constexpr(0.9189385332046727)
_SERIES_FROM = tl.constexpr(8.0)


@triton.jit
def clamp(x, low, high):
    """Not minimum and maximum: they would turn what is not a number into a bound."""
    return tl.where(x < low, low, tl.where(x > high, high, x))


@triton.jit
def log1p(x):
    """What 1 + x lost to rounding comes back by the quotient (Goldberg 1991, theorem 4)."""
    u = 1.0 + x
    return tl.where(u == 1.0, x, tl.log(u) * (x / tl.where(u == 1.0, 1.0, u - 1.0)))


@triton.jit
def softplus(x):
    """log(1 + exp(x)); what is not a number stays so."""
    return tl.where(x > 0, x, 0.0) + log1p(tl.exp(-tl.abs(x))) + 0.0 * x


@triton.jit
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _stirling_series(z):
    inverse = 1.0 / z
    square = inverse * inverse
    return inverse * (
        1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))
    )


@triton.jit
def stirling_error(z):
    """lgamma(z+1) - (z + 1/2) log z + z - log(2 pi)/2; below 8 by lgamma(z + 8)."""
    small = tl.where(z > _SERIES_FROM, _SERIES_FROM, z)
    product = (small + 1.0) * (small + 2.0) * (small + 3.0) * (small + 4.0)
    product *= (small + 5.0) * (small + 6.0) * (small + 7.0)
    shifted = small + 8.0
    direct = (small + 7.5) * tl.log(shifted) - (small + 0.5) * tl.log(small)
    direct += _stirling_series(shifted) - tl.log(product) - 8.0
    return tl.where(z > _SERIES_FROM, _stirling_series(z), direct)


@triton.jit
def _digamma_series(z):
    inverse = 1.0 / z
    square = inverse * inverse
    return -inverse * 0.5 - square * (
        1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240))
    )


@triton.jit
def digamma_rest(z):
    """digamma(z) - log z; below 8 by digamma(z + 8)."""
    small = tl.where(z > _SERIES_FROM, _SERIES_FROM, z)
    fractions = 1.0 / small + 1.0 / (small + 1.0) + 1.0 / (small + 2.0) + 1.0 / (small + 3.0)
    fractions += 1.0 / (small + 4.0) + 1.0 / (small + 5.0) + 1.0 / (small + 6.0)
    fractions += 1.0 / (small + 7.0)
    direct = tl.log((small + 8.0) / small) + _digamma_series(small + 8.0) - fractions
    return tl.where(z > _SERIES_FROM, _digamma_series(z), direct)
