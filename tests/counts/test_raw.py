"""Which values are counts, and what is said of the others."""

import numpy as np
import pytest

from scpress.counts.raw import require_counts
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
        (2**31, np.int64, "above 2147483647"),
        (2**63, np.uint64, "above 2147483647"),
    ],
)
def test_what_is_not_a_count_is_named(value, dtype, match):
    values = np.array([1, 2, value], dtype=dtype)
    with pytest.raises(InputError, match=match):
        require_counts(values, sample="s", columns=np.array([0, 0, 1]), genes=["A", "B"])


def test_the_largest_count_passes():
    require_counts(np.array([2**31 - 1]), sample="s")
    require_counts(np.array([2.0**31 - 1]), sample="s")


def test_text_is_not_a_count():
    with pytest.raises(InputError, match="values of type"):
        require_counts(np.array(["1"]), sample="s")


def test_other_places_are_named():
    with pytest.raises(InputError, match=r"the file also holds layer 'counts', raw"):
        require_counts(np.array([0.5]), sample="s", places=("layer 'counts'", "raw"))
