"""exp, log and lgamma of the loops against numpy and scipy, and rows of either type."""

import numpy as np
import torch
from numba import njit
from scipy import special

from scpress.model.compiled import arithmetic

# Every exponent there is, and all around the ends of their ranges of reduction.
POSITIVE = np.unique(
    np.concatenate(
        [
            np.logspace(-37, 38, 4000),
            np.linspace(0.3, 3, 4000),
            2.0 ** np.arange(-100, 100),
            1 + np.linspace(-1e-3, 1e-3, 101),
        ]
    ).astype(np.float32)
)


def _of_all(function, x):
    """The function of each number, called from compiled code as the loops do."""

    @njit
    def run(x, out):
        for i in range(x.shape[0]):
            out[i] = function(x[i])

    run(x, out := np.empty_like(x))
    return out


def test_exp_has_seven_digits_and_ends_where_float32_does():
    x = np.concatenate([np.linspace(-87, 88, 20_001), [-1e-7, 0, 1e-7]]).astype(np.float32)
    truth = np.exp(x.astype(np.float64))
    np.testing.assert_allclose(_of_all(arithmetic.exp, x), truth, rtol=3e-7)
    beyond = _of_all(arithmetic.exp, np.array([-1e4, -87, 88, 1e4], dtype=np.float32))
    assert beyond[0] == beyond[1] > 0
    assert np.isfinite(beyond[3])
    assert beyond[3] == beyond[2]


def test_log_has_seven_digits():
    truth = np.log(POSITIVE.astype(np.float64))
    # Near 1, where the logarithm is 0, it is right to seven digits of itself, too.
    np.testing.assert_allclose(_of_all(arithmetic.log, POSITIVE), truth, rtol=4e-7, atol=1e-12)


def test_log1p_keeps_what_is_small():
    x = np.concatenate([[0], POSITIVE[POSITIVE < 1e30]]).astype(np.float32)
    truth = np.log1p(x.astype(np.float64))
    np.testing.assert_allclose(_of_all(arithmetic.log1p, x), truth, rtol=4e-7)


def test_log64_has_fifteen_digits():
    x = np.concatenate([np.logspace(-300, 300, 4001), np.linspace(0.3, 3, 4001)])
    np.testing.assert_allclose(_of_all(arithmetic.log64, x), np.log(x), rtol=2e-13, atol=1e-15)


def test_lgamma_and_digamma_from_8_and_shifted_there():
    z = np.concatenate([np.logspace(-3, 5, 2001), np.arange(1.0, 50)])

    @njit
    def run(z, lgamma, digamma):
        for i in range(z.shape[0]):
            p, derivative = arithmetic.rising(z[i])
            log_w = arithmetic.log64(z[i] + 8.0)
            lgamma[i] = arithmetic.lgamma_from_8(z[i] + 8.0, log_w) - arithmetic.log64(p)
            digamma[i] = arithmetic.digamma_from_8(z[i] + 8.0, log_w) - derivative / p

    run(z, lgamma := np.empty_like(z), digamma := np.empty_like(z))
    np.testing.assert_allclose(lgamma, special.gammaln(z), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(digamma, special.digamma(z), rtol=1e-9, atol=1e-9)


def test_rows_are_read_with_their_bias_and_written_as_they_are():
    rng = np.random.default_rng(0)
    source, bias = rng.normal(size=(2, 37)).astype(np.float32)
    found = np.empty(37, np.float32)
    arithmetic.load_row(source, bias, found)
    np.testing.assert_array_equal(found, source + bias)
    arithmetic.store_row(source, found)
    np.testing.assert_array_equal(found, source)
    arithmetic.add(bias, found)
    np.testing.assert_array_equal(found, source + bias)


def test_rows_of_bfloat16_are_torchs():
    rng = np.random.default_rng(0)
    source = (rng.normal(size=4000) * 10.0 ** rng.integers(-20, 20, 4000)).astype(np.float32)
    # Halfway between two of the short numbers: to the even one.
    bits = np.concatenate([source.view(np.int32), np.arange(64) * 0x8000 + 0x3F800000])
    source = bits.astype(np.int32).view(np.float32)
    expected = torch.from_numpy(source).bfloat16()
    stored = np.empty(len(source), np.uint16)
    arithmetic.store_row(source, stored)
    np.testing.assert_array_equal(stored, expected.view(torch.uint16).numpy())
    read = np.empty(len(source), np.float32)
    arithmetic.load_row(stored, np.zeros_like(source), read)
    np.testing.assert_array_equal(read, expected.float().numpy())
