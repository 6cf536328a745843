"""Which matrices are read, and the sum of several."""

import numpy as np
import pytest
from scipy import sparse

from scpress.counts.parts import add_blocks, choose_parts, find_matrices, name_places, tell_parts
from scpress.errors import InputError

KEYS = ["X", "layers/counts", "layers/a+b", "layers/b", "raw/X"]


def test_places_are_called_as_the_option_calls_them():
    assert name_places(KEYS, ["layers/counts", "X"]) == ("layer 'a+b'", "layer 'b'", "raw")
    assert find_matrices(KEYS, None, "f") == (["X"], "var")
    assert find_matrices(KEYS, "raw", "f") == (["raw/X"], "raw/var")
    assert find_matrices(KEYS, "counts+b", "f") == (["layers/counts", "layers/b"], "var")
    assert find_matrices(KEYS, "X+b", "f") == (["X", "layers/b"], "var")


def test_a_layer_of_that_very_name_is_not_a_sum():
    assert find_matrices(KEYS, "a+b", "f") == (["layers/a+b"], "var")


@pytest.mark.parametrize(
    ("layer", "match"),
    [
        ("c", r"f has no counts at 'c'; it holds X, layer 'counts', layer 'a\+b', layer 'b', raw"),
        ("b+c", "f has no counts at 'c'; it holds X"),
        ("b+b", "`layer` names 'b' twice"),
        ("X+raw", "f has no counts at"),  # other genes
    ],
)
def test_what_cannot_be_added_is_named(layer, match):
    with pytest.raises(InputError, match=match):
        find_matrices(KEYS, layer, "f")


def test_parts_of_a_folder_are_all_added_unless_some_are_named():
    messages = []
    assert choose_parts(None, ["spliced", "unspliced"], "f", messages) == ["spliced", "unspliced"]
    assert choose_parts("spliced", ["spliced", "unspliced"], "f", []) == ["spliced"]
    assert messages == ["molecules that are counted: spliced + unspliced; `layer` chooses others"]
    with pytest.raises(InputError, match="'f' has no layer 'mature'; it holds spliced"):
        choose_parts("spliced+mature", ["spliced", "unspliced"], "f", [])
    with pytest.raises(InputError, match="names 'spliced' twice"):
        choose_parts("spliced+spliced", ["spliced", "unspliced"], "f", [])


@pytest.mark.parametrize(
    ("keys", "layer", "own", "is_told"),
    [
        (["X", "layers/U", "layers/S", "layers/A"], None, 29, True),
        (["X", "layers/U", "layers/S", "layers/A"], None, 30, False),
        (["X", "layers/U", "layers/S", "layers/A"], "X", 29, False),
        (["X", "layers/spliced"], None, 5, False),
        (["X", "layers/counts", "layers/scaled"], None, 5, False),
    ],
)
def test_only_a_matrix_with_less_than_its_parts_is_told(keys, layer, own, is_told):
    found = tell_parts(keys, ["X"], layer, lambda key: own if key == "X" else 10)
    assert bool(found) == is_told


def test_blocks_that_are_cut_at_different_places_are_added_by_row():
    first, second = np.arange(10).reshape(5, 2), np.arange(10, 20).reshape(5, 2)
    for cuts in ([1, 4], [2], [0, 5], [3, 4]):
        parts = [
            iter([sparse.csr_matrix(first)]),
            (sparse.csr_matrix(part) for part in np.split(second, cuts)),
        ]
        total = sparse.vstack(list(add_blocks(parts))).toarray()
        np.testing.assert_array_equal(total, first + second)


def test_a_negative_value_does_not_vanish_in_a_sum():
    parts = [iter([sparse.csr_matrix([[-1, 0]])]), iter([sparse.csr_matrix([[3, 0]])])]
    with pytest.raises(InputError, match="found -1 in one of the matrices"):
        list(add_blocks(parts))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, bool])
def test_sums_of_narrow_types_do_not_wrap(dtype):
    full = sparse.csr_matrix(np.full((1, 2), 100, dtype=dtype))
    total = next(add_blocks([iter([full]), iter([full]), iter([full])]))
    np.testing.assert_array_equal(total.toarray(), [[3 * int(full.data[0])] * 2])
