"""Chunks, checks and totals of raw counts, in memory and on disk."""

import h5py
import numpy as np
import pytest
from anndata.io import sparse_dataset, write_elem
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scpress import settings
from scpress.counts import matrix as count_functions
from scpress.counts.matrix import iter_chunks, remap_columns, select_columns
from scpress.counts.sizes import library_sizes, log_normalize


@pytest.fixture(scope="module")
def dense():
    values = np.random.default_rng(1).poisson(0.5, (40, 9)).astype(np.int32)
    values[3:6] = 0
    return values


@pytest.fixture(params=["csr", "csc", "dense", "disk_csr", "disk_csc", "disk_dense"])
def stored(request, dense, tmp_path):
    kind = request.param.removeprefix("disk_")
    X = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.array}[kind](dense)
    if not request.param.startswith("disk"):
        yield X
        return
    with h5py.File(tmp_path / "x.h5", "w") as file:
        write_elem(file, "X", X)
        yield file["X"] if kind == "dense" else sparse_dataset(file["X"])


@pytest.mark.parametrize("max_bytes", [1, 100, 10**6])
def test_chunks_cover_the_rows_once_in_order(stored, dense, max_bytes):
    parts = list(iter_chunks(stored, max_bytes=max_bytes))
    assert [start for start, _, _ in parts] == [0] + [stop for _, stop, _ in parts[:-1]]
    assert all(block.format == "csr" for _, _, block in parts)
    np.testing.assert_array_equal(sparse.vstack([b for _, _, b in parts]).toarray(), dense)
    if max_bytes == 100:
        assert max(block.nnz for _, _, block in parts) <= 100 // 8


def test_library_sizes_and_columns(stored, dense):
    np.testing.assert_array_equal(library_sizes(stored), dense.sum(axis=1))
    columns = np.array([5, 0, 7])
    picked = select_columns(stored, columns)
    assert picked.dtype == np.int32
    np.testing.assert_array_equal(picked.toarray(), dense[:, columns])


def test_log_normalize_against_numpy(dense):
    factor = np.linspace(0.5, 2, len(dense))
    logged = log_normalize(sparse.csr_matrix(dense), factor)
    np.testing.assert_allclose(logged.toarray(), np.log1p(dense / factor[:, None]), rtol=1e-6)
    assert logged.dtype == np.float32
    assert logged.nnz == np.count_nonzero(dense)


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


def test_squares_of_large_counts_do_not_overflow():
    X = sparse.csr_matrix(np.array([[60_000], [1]], dtype=np.int32))
    np.testing.assert_array_equal(count_functions.sums_of_squares(X), [60_000.0**2 + 1])
