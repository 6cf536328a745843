"""Which values are counts, and what is said of the others."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress import settings
from scpress.counts.raw import (
    NoisyCountsError,
    RawCounts,
    is_noise,
    require_counts,
    transpose,
)
from scpress.errors import InputError


@pytest.mark.parametrize("dtype", [bool, np.uint16, np.int64, np.float32, np.float64])
def test_whole_numbers_of_any_type_pass(dtype):
    require_counts(np.array([0, 1, 1], dtype=dtype), sample="s")
    require_counts(np.array([], dtype=dtype), sample="s")


@pytest.mark.parametrize(
    ("value", "dtype", "match"),
    [
        (0.37, np.float32, r"found 0.37 in gene 'B' of sample 's'. A normalized matrix"),
        (-1, np.int8, "found -1 in gene 'B' of sample 's'. A scaled matrix"),
        (-0.5, np.float64, "A scaled matrix"),
        (np.nan, np.float64, "found nan .* a value is missing"),
        (np.inf, np.float32, "found inf .* The file is damaged"),
        (2.0**31, np.float64, "above 2147483647"),
        (2.0**31 + 256, np.float32, "found 2.14748e.09 in gene 'B' .* above 2147483647"),
        (2**31, np.uint32, "above 2147483647"),
        (2**31, np.int64, "above 2147483647"),
        (2**63, np.uint64, "above 2147483647"),
    ],
)
def test_what_is_not_a_count_is_named(value, dtype, match):
    values = np.array([1, 2, value], dtype=dtype)
    with pytest.raises(InputError, match=match):
        require_counts(values, sample="s", columns=np.array([0, 0, 1]), genes=["A", "B"])


def test_the_first_float32_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="above 2147483647"):
        require_counts(np.array([2.0**31], dtype=np.float32), sample="s")


def test_the_largest_count_passes():
    for dtype in (np.int32, np.uint32, np.int64, np.uint64, np.float64):
        require_counts(np.array([2**31 - 1], dtype=dtype), sample="s")
    # The largest float32 that fits, and the largest values of types that cannot pass the limit.
    require_counts(np.array([2.0**31 - 128], dtype=np.float32), sample="s")
    require_counts(np.array([65_504], dtype=np.float16), sample="s")
    require_counts(np.array([255], dtype=np.uint8), sample="s")


def test_the_first_value_that_is_not_a_count_is_the_one_named():
    values, columns = np.array([3, 0.25, -1, 0.5]), np.array([0, 2, 1, 0])
    with pytest.raises(InputError, match=r"found 0.25 in gene 'C'"):
        require_counts(values, sample="s", columns=columns, genes=["A", "B", "C"])


def test_text_is_not_a_count():
    with pytest.raises(InputError, match="values of type"):
        require_counts(np.array(["1"]), sample="s")


def test_other_places_are_named():
    with pytest.raises(InputError, match=r"the file also holds layer 'counts', raw"):
        require_counts(np.array([0.5]), sample="s", places=("layer 'counts'", "raw"))


def test_blocks_have_the_size_of_the_settings_unless_one_is_given(monkeypatch):
    asked = []

    def read_blocks(max_bytes):
        asked.append(max_bytes)
        return iter(())

    raw = RawCounts(pd.DataFrame(index=["a"]), pd.DataFrame(index=["A"]), read_blocks)
    monkeypatch.setattr(settings, "chunk_bytes", 77)
    for size in (None, 5, 0):
        list(raw.chunks(size))
    assert asked == [77, 5, 0]
    # Another sample's messages are not this one's.
    assert raw.messages is not RawCounts(raw.obs, raw.var, read_blocks).messages


def test_a_value_is_shown_with_the_digits_that_make_it_no_count():
    with pytest.raises(InputError, match=r"found 2\.000000001 of"):
        require_counts(np.array([2.000000001]), sample="s")


def test_the_makers_of_fractions_are_named_with_the_option_that_takes_them():
    with pytest.raises(InputError, match=r"SoupX, CellBender.*salmon, alevin.*`rounding`"):
        require_counts(np.array([0.5]), sample="s")
    with pytest.raises(InputError, match=r"^((?!rounding).)*$"):
        require_counts(np.array([-0.5]), sample="s")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2.0009, True),
        (1.9991, True),
        (2.0011, False),
        (1e-4, True),
        (-1e-4, True),
        (-2.0, False),
        (-1.0001, False),
        (40_000.03, True),  # seven digits are what float32 has
        (40_000.05, False),
    ],
)
def test_noise_is_what_floats_leave_of_a_whole_number(value, expected):
    assert is_noise(np.array([value])).tolist() == [expected]
    error = NoisyCountsError if expected else InputError
    with pytest.raises(InputError) as caught:
        require_counts(np.array([1.0, value]), sample="s")
    assert type(caught.value) is error


def sideways(**more):
    values = sparse.csr_matrix(np.arange(12).reshape(3, 4))
    obs, var = pd.DataFrame({"n": [1, 2, 3]}, index=[*"ABC"]), pd.DataFrame(index=[*"wxyz"])
    return RawCounts(obs, var, lambda max_bytes: iter([values[:1], values[1:]]), **more)


@pytest.mark.parametrize("max_bytes", [1, 10**6])
def test_a_transposed_matrix_has_its_tables_exchanged(max_bytes):
    raw = transpose(sideways(obsm={"X_p": np.ones((3, 2))}, messages=["first"]))
    assert (list(raw.obs.index), list(raw.var.index)) == ([*"wxyz"], [*"ABC"])
    assert list(raw.var["n"]) == [1, 2, 3]
    blocks = list(raw.chunks(max_bytes))
    assert len(blocks) == (4 if max_bytes == 1 else 1)
    found = sparse.vstack(blocks).toarray()
    np.testing.assert_array_equal(found, np.arange(12).reshape(3, 4).T)
    assert raw.obsm == {}
    assert raw.messages == ["first", "obsm of what are genes is set aside: X_p"]


def test_columns_that_a_file_gives_by_themselves_are_not_collected():
    def refuse(max_bytes):
        raise AssertionError

    columns = [sparse.csr_matrix([[1, 2, 3]])] * 4
    raw = sideways(read_columns=lambda max_bytes: iter(columns))
    raw.read_blocks = refuse
    assert list(transpose(raw).chunks(1)) == columns
