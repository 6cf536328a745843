"""What a processor counts, against numpy."""

import numpy as np
import pytest
from numba import njit, uint64

from scpress.archive.bits import count_8_above, count_16_above, count_16_below, count_bits


@njit
def _bits(words, out):
    for i in range(len(words)):
        out[i] = count_bits(words[i])


def test_the_bits_of_a_word_are_counted():
    words = np.array([0, 1, 3, 1 << 63, (1 << 64) - 1, 0x0F0F], dtype=np.uint64)
    out = np.full(len(words), -1)
    _bits(words, out)
    assert out.tolist() == [0, 1, 2, 1, 64, 8]


@pytest.mark.parametrize(
    ("count", "dtype", "width", "compare"),
    [
        (count_16_below, np.uint16, 16, np.less),
        (count_16_above, np.int32, 16, np.greater),
        (count_8_above, np.int32, 8, np.greater),
    ],
)
def test_numbers_of_a_row_are_counted_that_are_above_or_below(count, dtype, width, compare):
    @njit
    def all_rows(table, values, out):
        for i in range(len(table)):
            for j in range(len(values)):
                out[i, j] = count(table, uint64(i), values[j])

    limits = np.iinfo(dtype)
    rng = np.random.default_rng(0)
    ends = [limits.min, limits.min + 1, limits.max - 1, limits.max]
    table = rng.choice([*ends, *rng.integers(limits.min, limits.max, 9)], (50, width)).astype(dtype)
    values = np.unique(table)
    out = np.full((len(table), len(values)), -1)
    all_rows(table, values, out)
    np.testing.assert_array_equal(out, compare(table[:, None, :], values[:, None]).sum(axis=2))
