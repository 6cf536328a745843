"""The arithmetic of the compiled loops: exp, log and lgamma that are inlined and vectorized."""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

f32, i32 = np.float32, np.int32

# Chunks of cells; also the partial sums of what is one number per gene.
CHUNKS = 16

# A float32 + _ROUND has its integer part in the low bits of the mantissa.
_ROUND, _LOG2_E = f32(1.5 * 2**23), f32(1 / math.log(2))
# log 2 as a short number and the rest, so that n * _LN2_HIGH is exact.
_LN2, _LN2_HIGH = f32(math.log(2)), f32(355 / 512)
_LN2_LOW = f32(math.log(2) - 355 / 512)
_TWO_THIRDS = i32(0x3F2AAAAB)
_TWO_THIRDS_64 = np.int64(0x3FE5555555555555)
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)

# `reassoc` lets LLVM vectorize a sum, but would also cancel the rounding trick of `exp`: functions
# that round or compensate do without it.
# What is called is always inlined: else the process that compiles runs the callee's own machine
# code, the ones that read numba's cache a copy optimized within its caller, and the bits differ.
exact = njit(fastmath={"contract"}, error_model="numpy", forceinline=True)
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


@exact
def exp(x):  # type: ignore[no-untyped-def]
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


@exact
def log_near_one(f):  # type: ignore[no-untyped-def]
    """log(1 + f) = 2 atanh(f / (2 + f)) by its series, |f| <= 1/3."""
    s = f / (f32(2.0) + f)
    z = s * s
    p = f32(2 / 9)
    p = p * z + f32(2 / 7)
    p = p * z + f32(2 / 5)
    p = p * z + f32(2 / 3)
    p = p * z + f32(2.0)
    return p * s


@exact
def log(x):  # type: ignore[no-untyped-def]
    """Natural log of a positive normal number: k log 2 + log m, m in [2/3, 4/3)."""
    b = _bits(x)
    k = i32(i32(b - _TWO_THIRDS) >> i32(23))
    m = _float(i32(b - i32(k << i32(23))))
    return f32(k) * _LN2 + log_near_one(m - f32(1.0))


@exact
def log1p(x):  # type: ignore[no-untyped-def]
    """log(1 + x), x >= 0; below 1/3 the sum is never rounded."""
    b = _bits(f32(1.0) + x)
    k = i32(i32(b - _TWO_THIRDS) >> i32(23))
    m = _float(i32(b - i32(k << i32(23))))
    f = x if k == 0 else m - f32(1.0)
    return f32(k) * _LN2 + log_near_one(f)


@exact
def log64(x):  # type: ignore[no-untyped-def]
    """Natural log, float64; as `log`, with more terms."""
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


@exact
def rising(z):  # type: ignore[no-untyped-def]
    """(P, P') of P = z (z+1) ... (z+7), by which lgamma and digamma are shifted to z + 8."""
    p, derivative = z, 1.0
    for i in range(1, 8):
        derivative = derivative * (z + i) + p
        p = p * (z + i)
    return p, derivative


@exact
def lgamma_from_8(w, log_w):  # type: ignore[no-untyped-def]
    """lgamma(w) for w >= 8 (Abramowitz and Stegun 6.1.41); the next term is below 1e-12."""
    v = 1.0 / w
    v2 = v * v
    series = v * (1 / 12 - v2 * (1 / 360 - v2 * (1 / 1260 - v2 * (1 / 1680 - v2 / 1188))))
    return (w - 0.5) * log_w - w + _HALF_LOG_2PI + series


@exact
def digamma_from_8(w, log_w):  # type: ignore[no-untyped-def]
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
def load_row(source, bias, target):  # type: ignore[no-untyped-def]
    """Read a row of the one type or the other as float32, and add the bias."""
    _load(source, bias, target)


@loop
def store_row(source, target):  # type: ignore[no-untyped-def]
    """Write a row of float32 as the one type or the other."""
    _store(source, target)


@loop
def add(source, target):  # type: ignore[no-untyped-def]
    """Add a row to another."""
    for j in range(target.shape[0]):
        target[j] += source[j]
