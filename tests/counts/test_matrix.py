"""Walks over counts in memory and on disk, and rows and columns of them, against numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scpress import settings
from scpress.counts import matrix as count_functions
from scpress.counts.matrix import (
    column_joiner,
    iter_chunks,
    kept_columns,
    remap_columns,
    select_columns,
)
from scpress.errors import InputError


@pytest.mark.parametrize("max_bytes", [1, 100, 10**6])
def test_chunks_cover_the_rows_once_in_order(stored, dense, max_bytes):
    parts = list(iter_chunks(stored, max_bytes=max_bytes))
    assert [start for start, _, _ in parts] == [0] + [stop for _, stop, _ in parts[:-1]]
    assert all(block.format == "csr" for _, _, block in parts)
    np.testing.assert_array_equal(sparse.vstack([b for _, _, b in parts]).toarray(), dense)
    if max_bytes == 100:
        assert max(block.nnz for _, _, block in parts) <= 100 // 8


@pytest.mark.parametrize("max_bytes", [0, 8, 40, 80, 1000])
def test_a_block_has_as_many_rows_as_fit_and_at_least_one(dense, max_bytes):
    """A slow twin: rows are added while they fit, 8 bytes a nonzero."""
    expected, start = [], 0
    while start < len(dense):
        stop = start + 1
        while stop < len(dense) and 8 * np.count_nonzero(dense[start : stop + 1]) <= max_bytes:
            stop += 1
        expected.append((start, stop))
        start = stop
    found = iter_chunks(sparse.csr_matrix(dense), max_bytes=max_bytes)
    assert [(start, stop) for start, stop, _ in found] == expected


def test_a_dense_block_has_as_many_rows_as_fit(dense):
    bytes_of_a_row = dense.shape[1] * dense.dtype.itemsize
    for budget, rows in ((4 * bytes_of_a_row - 1, 3), (4 * bytes_of_a_row, 4)):
        parts = [stop - start for start, stop, _ in iter_chunks(dense, max_bytes=budget)]
        assert set(parts[:-1]) == {rows}
        assert sum(parts) == len(dense)


def test_the_size_of_a_block_is_a_setting(monkeypatch, dense):
    monkeypatch.setattr(settings, "chunk_bytes", 80)
    parts, given = (list(iter_chunks(sparse.csr_matrix(dense), max_bytes=b)) for b in (None, 80))
    assert [part[:2] for part in parts] == [part[:2] for part in given]
    assert len(parts) > 5


@pytest.fixture
def on_disk(tmp_path):
    """Write a matrix as h5ad stores it, and open it."""
    import h5py
    from anndata.io import sparse_dataset, write_elem

    with h5py.File(tmp_path / "m.h5", "w") as file:

        def write(matrix):
            write_elem(file, "X", matrix, dataset_kwargs={"chunks": True})
            held = file["X"]
            return held if isinstance(held, h5py.Dataset) else sparse_dataset(held)

        yield write


@pytest.mark.parametrize("layout", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
@pytest.mark.parametrize(
    ("odd", "dtype", "values", "says"),
    [
        (-1, np.int32, "counts", "holds -1, and counts are whole numbers, none negative"),
        (0.5, np.float32, "counts", r"holds 0\.5, and counts are whole numbers"),
        (np.nan, np.float64, "counts", "holds nan, and counts are whole numbers"),
        (np.inf, np.float64, "counts", "holds inf, and"),
        (np.nan, np.float32, "logs", "holds nan, and its values are numbers, none negative"),
        (np.inf, np.float32, "logs", "holds inf, and its values"),
        (-0.5, np.float32, "logs", r"holds -0\.5, and its values"),
        (0.5, np.float32, "logs", None),
        (-0.5, np.float32, "anything", None),
        (7, np.float32, "counts", None),
    ],
)
def test_values_on_disk_are_what_they_are_said_to_be(on_disk, layout, odd, dtype, values, says):
    dense = np.eye(4, dtype=dtype)
    dense[2, 2] = odd
    found = on_disk(layout(dense))
    if says is None:
        blocks = [block for _, _, block in iter_chunks(found, values=values)]
        np.testing.assert_array_equal(sparse.vstack(blocks).toarray(), dense)
        return
    with pytest.raises(InputError, match=rf"m\.h5': X {says}"):
        list(iter_chunks(found, values=values))


def test_text_on_disk_is_no_count(on_disk):
    with pytest.raises(InputError, match="X is of type object and must hold numbers"):
        list(iter_chunks(on_disk(np.array([["a", "b"]], dtype=object))))


def test_no_cells_are_no_blocks():
    assert list(iter_chunks(sparse.csr_matrix((0, 3)))) == []


def test_columns_are_picked_in_the_order_asked_for(stored, dense):
    columns = np.array([5, 0, 7])
    picked = select_columns(stored, columns)
    assert picked.dtype == np.int32
    np.testing.assert_array_equal(picked.toarray(), dense[:, columns])


@given(st.lists(st.integers(-1, 5), min_size=4, max_size=4), st.integers(0, 2**32 - 1))
def test_remap_columns_against_a_loop(target, seed):
    used = [t for t in target if t >= 0]
    if len(set(used)) < len(used):
        return
    block = np.random.default_rng(seed).poisson(1.0, (5, 4))
    expected = np.zeros((5, 6))
    for old, new in enumerate(target):
        if new >= 0:
            expected[:, new] = block[:, old]
    result = remap_columns(sparse.csr_matrix(block), np.array(target), 6)
    np.testing.assert_array_equal(result.toarray(), expected)
    assert result.has_sorted_indices


def test_columns_of_one_target_are_added_and_those_of_none_are_not_there():
    block = sparse.csr_matrix(np.array([[1, 2, 4, 8], [0, 3, 5, 0]]))
    joined = column_joiner(np.array([1, 0, 1, -1]), 2)(block)
    np.testing.assert_array_equal(joined.toarray(), [[2, 5], [3, 5]])
    assert joined.nnz == 4


def test_kept_columns_close_up():
    kept = np.array([False, True, True, False, True])
    assert kept_columns(kept).tolist() == [-1, 0, 1, -1, 2]


@pytest.mark.parametrize("chunk_bytes", [1, 200, 10**6])
@pytest.mark.parametrize("limit", [10, 2**31 - 1])
def test_rows_columns_and_sums_in_blocks_against_scipy(monkeypatch, chunk_bytes, limit):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    monkeypatch.setattr(count_functions, "_INT32_MAX", limit)
    X = sparse.random(30, 8, density=0.4, format="csr", rng=np.random.default_rng(0))
    X.data = np.ceil(X.data * 5).astype(np.int32)
    X = X.astype(np.int32)
    rows, columns = np.array([0, 3, 4, 29]), np.array([5, 0, 7])
    picked, kept = count_functions.select_rows(X, rows), count_functions.select_columns(X, columns)
    np.testing.assert_array_equal(picked.toarray(), X.toarray()[rows])
    np.testing.assert_array_equal(kept.toarray(), X.toarray()[:, columns])
    assert picked.dtype == kept.dtype == np.int32
    assert kept.indices.dtype == kept.indptr.dtype
    none = count_functions.select_rows(X, np.zeros(0, dtype=np.int64))
    assert none.shape == (0, 8)
    squares = (X.toarray().astype(np.float64) ** 2).sum(axis=0)
    np.testing.assert_array_equal(count_functions.sums_of_squares(X), squares)


@pytest.mark.parametrize("limit", [4, 2**31 - 1])
def test_stacked_blocks_against_scipy(monkeypatch, limit):
    monkeypatch.setattr(count_functions, "_INT32_MAX", limit)
    rng = np.random.default_rng(3)
    blocks = [sparse.random(n, 5, 0.5, "csr", np.float32, rng) for n in (3, 0, 1, 4, 2)]
    expected = sparse.vstack(blocks).toarray()
    # A matrix may have room behind its last value.
    blocks[3].data = np.append(blocks[3].data, [9, 9])
    blocks[3].indices = np.append(blocks[3].indices, [0, 1])
    stacked = count_functions.stack_rows(iter(blocks), n_vars=5, dtype=np.float64)
    np.testing.assert_array_equal(stacked.toarray(), expected)
    assert stacked.dtype == np.float64
    assert stacked.indices.dtype == stacked.indptr.dtype
    assert len(stacked.data) == stacked.nnz


def test_no_block_and_one_block_are_matrices_too():
    none = count_functions.stack_rows([], n_vars=3, dtype=np.int32)
    assert none.shape == (0, 3)
    block = sparse.csr_matrix(np.array([[1.0, 0, 2]]))
    one = count_functions.stack_rows([block], n_vars=3, dtype=np.int32)
    assert one.dtype == np.int32
    np.testing.assert_array_equal(one.toarray(), [[1, 0, 2]])


@pytest.mark.parametrize("n_vars", [1, 2**31 - 1, 2**31])
@pytest.mark.parametrize("n_nonzeros", [0, 2**31 - 1, 2**31])
def test_pointers_and_columns_are_as_narrow_as_their_largest_value(n_nonzeros, n_vars):
    kind = count_functions.index_type(n_nonzeros, n_vars)
    assert kind == (np.int64 if 2**31 in (n_nonzeros, n_vars) else np.int32)
    assert np.iinfo(kind).max >= max(n_nonzeros, n_vars)


@pytest.mark.parametrize("chunk_bytes", [1, 100, 10**6])
def test_totals_and_squares_of_counts_stored_anyhow(monkeypatch, stored, dense, chunk_bytes):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    np.testing.assert_array_equal(count_functions.gene_totals(stored), dense.sum(axis=0))
    np.testing.assert_array_equal(count_functions.sums_of_squares(stored), (dense**2).sum(axis=0))


def test_totals_pass_int32():
    X = sparse.csr_matrix(np.full((3, 1), 2**31 - 1, dtype=np.int32))
    np.testing.assert_array_equal(count_functions.gene_totals(X), [3 * (2**31 - 1)])


def test_the_input_of_sums_stays_as_it_is():
    X = sparse.csr_matrix(np.array([[3.0, 0], [2, 5]]))
    count_functions.sums_of_squares(X)
    np.testing.assert_array_equal(X.toarray(), [[3, 0], [2, 5]])


def test_squares_of_large_counts_do_not_overflow():
    X = sparse.csr_matrix(np.array([[60_000], [1]], dtype=np.int32))
    np.testing.assert_array_equal(count_functions.sums_of_squares(X), [60_000.0**2 + 1])


def test_missing_columns_are_zeros_and_the_others_as_asked_for():
    counts = np.array([[1, 2, 0, 4], [0, 0, 0, 0], [5, 0, 7, 8]])
    columns = np.array([3, -1, 0, 2, -1])
    expected = np.insert(counts[:, [3, 0, 2]], [1, 3], 0, axis=1)
    found = select_columns(sparse.csr_matrix(counts), columns)
    np.testing.assert_array_equal(found.toarray(), expected)
    assert found.has_sorted_indices
    whole = select_columns(sparse.csr_matrix(counts), np.array([2, 1, 0, 3]))
    np.testing.assert_array_equal(whole.toarray(), counts[:, [2, 1, 0, 3]])
    nothing = select_columns(sparse.csr_matrix(counts), np.array([-1, -1]))
    np.testing.assert_array_equal(nothing.toarray(), np.zeros((3, 2)))
