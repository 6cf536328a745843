"""Walks over counts in memory and on disk, and rows and columns of them, against numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scpress import settings
from scpress.counts import matrix as count_functions
from scpress.counts.matrix import iter_chunks, remap_columns, select_columns


@pytest.mark.parametrize("max_bytes", [1, 100, 10**6])
def test_chunks_cover_the_rows_once_in_order(stored, dense, max_bytes):
    parts = list(iter_chunks(stored, max_bytes=max_bytes))
    assert [start for start, _, _ in parts] == [0] + [stop for _, stop, _ in parts[:-1]]
    assert all(block.format == "csr" for _, _, block in parts)
    np.testing.assert_array_equal(sparse.vstack([b for _, _, b in parts]).toarray(), dense)
    if max_bytes == 100:
        assert max(block.nnz for _, _, block in parts) <= 100 // 8


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
