"""Matrix Market files as programs write them, against scipy's reader and against loops."""

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import io as scipy_io
from scipy import sparse

from scpress.errors import InputError
from scpress.io.formats.matrix_market import check_entries, cut_cells, iter_entries, read_shape

HEAD = "%%MatrixMarket matrix coordinate {} general\n"


def written(path, text):
    path.write_text(text)
    return path


def read(path, shape, *, lines=1000, max_bytes=2**20, cells_first=False):
    """[cells, features] All blocks of a matrix of this shape."""
    n_obs, n_features = shape
    entries = iter_entries(path, lines, cells_first=cells_first)
    blocks = list(cut_cells(entries, n_obs, n_features, max_bytes))
    return sparse.vstack(blocks).toarray()


@pytest.mark.parametrize("kind", ["integer", "unsigned-integer", "real"])
def test_every_kind_of_number_is_read(tmp_path, kind):
    path = written(tmp_path / "m.mtx", HEAD.format(kind) + "3 2 2\n1 1 4\n3 2 5\n")
    assert read_shape(path) == (3, 2, 2)
    np.testing.assert_array_equal(read(path, (2, 3)), [[4, 0, 0], [0, 0, 5]])


def test_what_scipy_writes_for_uint32_is_read(tmp_path):
    X = sparse.coo_matrix(np.array([[0, 7], [3, 0], [0, 1]], dtype=np.uint32))
    scipy_io.mmwrite(tmp_path / "m.mtx", X)
    assert "unsigned-integer" in (tmp_path / "m.mtx").read_text()
    np.testing.assert_array_equal(read(tmp_path / "m.mtx", (2, 3)), X.toarray().T)


@pytest.mark.parametrize(
    "sizes", ["% a comment\n3 2 2\n", "\n\n3 2 2\n", "3e+00 2 2\n", "% one\n%two\n\n 3 2 2 \n"]
)
def test_comments_blank_lines_and_rs_numbers_before_the_entries(tmp_path, sizes):
    text = HEAD.format("integer") + sizes + "1 1 4\n3e+00 2 5\n"
    path = written(tmp_path / "m.mtx", text)
    assert read_shape(path) == (3, 2, 2)
    np.testing.assert_array_equal(read(path, (2, 3)), [[4, 0, 0], [0, 0, 5]])


def test_plain_text_under_a_gzipped_name_is_read_and_gzip_under_a_plain_one(tmp_path):
    text = HEAD.format("integer") + "3 2 1\n1 1 4\n"
    plain, packed = tmp_path / "m.mtx.gz", tmp_path / "m.mtx"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (plain, packed):
        assert read_shape(path) == (3, 2, 1)
        assert read(path, (2, 3)).sum() == 4


@pytest.mark.parametrize(
    ("first", "sizes", "says"),
    [
        ("%%MatrixMarket matrix array integer general", "1 1 1", "not a sparse matrix of counts"),
        ("%%MatrixMarket matrix coordinate complex general", "1 1 1", "not a sparse matrix"),
        ("%%MatrixMarket matrix coordinate integer symmetric", "1 1 1", "not a sparse matrix"),
        (HEAD.format("integer").strip(), "3 2", "should be three whole numbers; found '3 2'"),
        (HEAD.format("integer").strip(), "3 2 1.5", "should be three whole numbers"),
        (HEAD.format("integer").strip(), "3 -2 1", "should be three whole numbers"),
    ],
)
def test_another_kind_of_file_is_named(tmp_path, first, sizes, says):
    path = written(tmp_path / "m.mtx", f"{first}\n{sizes}\n1 1 1\n")
    with pytest.raises(InputError, match=says):
        read_shape(path)


@pytest.mark.parametrize("line", ["1.5 1 2", "1 0.5 2"])
def test_a_place_that_is_not_whole_is_damage(tmp_path, line):
    path = written(tmp_path / "m.mtx", HEAD.format("integer") + f"3 2 1\n{line}\n")
    with pytest.raises(ValueError, match="a row or column number that is not whole"):
        list(iter_entries(path, 10, cells_first=False))


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ("1 1 1\n", "promises 2 entries and holds 1"),
        ("1 1 1\n2 2 1\n3 2 1\n", "promises 2 entries and holds 3"),
        ("1 1 1\n4 2 1\n", "an entry is outside its 3 x 2 matrix"),
        ("1 1 1\n3 3 1\n", "an entry is outside its 3 x 2 matrix"),
        ("0 1 1\n3 2 1\n", "an entry is outside its 3 x 2 matrix"),
    ],
)
def test_entries_are_all_there_and_inside(tmp_path, entries, says):
    path = written(tmp_path / "m.mtx", HEAD.format("integer") + "3 2 2\n" + entries)
    with pytest.raises(InputError, match=says):
        check_entries(path, (3, 2), 2, cells_first=False)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 9)), max_size=25),
    st.integers(1, 5),
    st.sampled_from([1, 40, 2**20]),
    st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sorted_entries_in_parts_of_any_size_are_the_matrix(
    tmp_path, entries, lines, max_bytes, cells_first
):
    entries = sorted(entries, key=lambda entry: entry[1])
    expected = np.zeros((6, 4), dtype=np.int64)
    rows = []
    for gene, cell, value in entries:
        expected[cell - 1, gene - 1] += value  # an entry listed twice is added up
        rows.append(f"{cell} {gene} {value}" if cells_first else f"{gene} {cell} {value}")
    sizes = "6 4" if cells_first else "4 6"
    text = HEAD.format("integer") + f"{sizes} {len(rows)}\n" + "".join(f"{r}\n" for r in rows)
    path = written(tmp_path / "m.mtx", text)
    shape = (6, 4) if cells_first else (4, 6)
    assert check_entries(path, shape, len(rows), cells_first=cells_first)
    found = read(path, (6, 4), lines=lines, max_bytes=max_bytes, cells_first=cells_first)
    np.testing.assert_array_equal(found, expected)


def test_entries_out_of_order_are_said_to_be(tmp_path):
    path = written(tmp_path / "m.mtx", HEAD.format("integer") + "3 2 2\n1 2 1\n1 1 1\n")
    assert not check_entries(path, (3, 2), 2, cells_first=False)
