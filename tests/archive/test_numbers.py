"""Small whole numbers to bytes and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scpress.archive.numbers import (
    frequencies,
    pack_numbers,
    pack_table,
    write_signed,
    write_varint,
)  # fmt: skip
from scpress.archive.numpy_reader import Reader, unpack_numbers, unpack_table


@given(st.integers(0, 2**63 - 1), st.integers(-(2**40), 2**40))
def test_single_numbers_come_back(unsigned, signed):
    reader = Reader(write_varint(unsigned) + write_signed(signed) + b"more")
    assert (reader.varint(), reader.signed()) == (unsigned, signed)
    assert reader.take(4) == b"more"
    with pytest.raises(ValueError, match="too early"):
        reader.take(1)


@given(st.lists(st.one_of(st.integers(-3, 3), st.integers(-(2**30), 2**30)), max_size=300))
@settings(deadline=None)
def test_numbers_come_back_and_nothing_else_is_read(values):
    reader = Reader(pack_numbers(np.array(values, np.int64)) + b"more")
    np.testing.assert_array_equal(unpack_numbers(reader, len(values)), values)
    assert reader.take(4) == b"more"


def test_they_take_about_their_entropy():
    rng = np.random.default_rng(0)
    values = rng.geometric(0.3, 20_000)
    p = np.bincount(values)[1:] / len(values)
    ideal = -(p[p > 0] * np.log2(p[p > 0])).sum() * len(values) / 8
    assert ideal < len(pack_numbers(values)) < 1.01 * ideal + 60


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200))
def test_frequencies_fill_the_scale_and_none_is_zero(counts):
    starts = frequencies(np.array(counts))
    assert (starts[0], starts[-1]) == (0, 1 << 14)
    assert (np.diff(starts) > 0).all()


def test_more_symbols_than_the_scale_has_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        frequencies(np.ones((1 << 14) + 1, int))


@given(st.binary(max_size=200), st.integers(0, 1000))
@settings(deadline=None)
def test_other_bytes_are_numbers_or_an_error(data, n):
    try:
        assert len(unpack_numbers(Reader(data), n)) == n
    except ValueError:
        return


def test_a_table_of_more_values_than_allowed_or_beyond_its_scale_is_refused():
    table = pack_table(np.arange(5), frequencies(np.ones(5)))
    with pytest.raises(ValueError, match="5 values"):
        unpack_table(Reader(table), 4)
    with pytest.raises(ValueError, match="leaves its scale"):
        unpack_table(
            Reader(write_varint(3) + write_signed(0) + b"\0\0" + write_varint(1 << 14) * 2), 9
        )
