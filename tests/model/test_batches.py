"""Sparse and dense batches say the same of the same cells."""

import numpy as np
import pytest
import torch
from scipy import sparse

from scpress.model.batches import DenseBatch, SparseBatch, sparse_batch

# A row without a nonzero first, in the middle and last.
COUNTS = np.array([[0, 0, 0, 0], [3, 0, 1, 0], [0, 0, 0, 0], [0, 2, 0, 5], [0, 0, 0, 0]])


@pytest.fixture
def batch():
    return sparse_batch(sparse.csr_matrix(COUNTS))


def test_a_sparse_batch_is_its_matrix(batch):
    assert batch.shape == (5, 4)
    np.testing.assert_array_equal(batch.dense(), COUNTS)
    np.testing.assert_array_equal(torch.stack([batch.rows, batch.columns]), COUNTS.nonzero())
    assert (batch.pointers.dtype, batch.indices.dtype) == (torch.int64, torch.int32)
    assert batch.values.dtype == torch.float32


def test_what_is_one_number_per_cell_stands_at_each_of_its_entries(batch):
    per_cell = torch.tensor([1.0, 10.0, 100.0, 1000.0, 1e4])
    expected = COUNTS * per_cell.numpy()[:, None]
    np.testing.assert_array_equal(
        SparseBatch(batch.pointers, batch.indices, batch.values * batch.of_cells(per_cell), 4)
        .dense(),
        expected,
    )  # fmt: skip
    dense = DenseBatch(torch.from_numpy(COUNTS))
    np.testing.assert_array_equal(dense.dense() * dense.of_cells(per_cell), expected)


def test_sums_of_rows_are_zero_where_there_is_nothing(batch):
    np.testing.assert_array_equal(batch.sum_rows(batch.values**2), (COUNTS**2).sum(axis=1))


def test_stored_zeros_are_left_out_and_the_callers_matrix_is_as_it_was():
    block = sparse.csr_matrix(COUNTS)
    block.data[1] = 0
    found = sparse_batch(block)
    assert len(found.values) == block.nnz - 1 == 3
    np.testing.assert_array_equal(found.dense(), block.toarray())
