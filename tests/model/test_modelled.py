"""The counts a model reads: some cells, blocks of cells, genes that are missing."""

import dataclasses

import numpy as np
import pytest
import torch
from builders import untrained, with_covariates
from scipy import sparse

from scpress.config.options import TrainOptions
from scpress.model.modelled import select_genes


@pytest.fixture
def data(pbmc):
    return with_covariates(pbmc).take(np.arange(50))


def test_some_of_the_cells_keep_what_goes_beside_them(data):
    rows = np.array([7, 3, 3, 40])
    for chosen in (data.take(rows), data.take(slice(3, 9))):
        at = rows if len(chosen) == 4 else np.arange(3, 9)
        np.testing.assert_array_equal(chosen.X.toarray(), data.X.toarray()[at])
        for name in ("size_factor", "batch", "continuous"):
            np.testing.assert_array_equal(getattr(chosen, name), getattr(data, name)[at])


def test_blocks_are_all_cells_in_order(data):
    blocks = list(data.blocks(n_cells=16))
    assert [len(block) for _, block in blocks] == [16, 16, 16, 2]
    seen = np.concatenate([np.arange(50)[rows] for rows, _ in blocks])
    np.testing.assert_array_equal(seen, np.arange(50))
    for rows, block in blocks:
        np.testing.assert_array_equal(block.X.toarray(), data.X[rows].toarray())
        np.testing.assert_array_equal(block.size_factor, data.size_factor[rows])


def test_tensors_of_some_cells_are_those_of_taking_them(data):
    model = untrained(data, TrainOptions(continuous_covariates=("depth",)), ("a", "b"))
    model.network.continuous_mean.fill_(0.3)
    rows = np.array([40, 2, 2, 11])
    ours, theirs = data.cells_at(model, rows), data.take(rows).cells_of(model)
    np.testing.assert_array_equal(ours.counts.dense(), data.X[rows].toarray())
    np.testing.assert_array_equal(ours.total, data.X[rows].sum(axis=1).A1)
    for name in ("pointers", "indices", "values"):
        assert torch.equal(getattr(ours.counts, name), getattr(theirs.counts, name)), name
    for name in ("size_factor", "total", "batch", "continuous"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


@pytest.mark.parametrize("part", ["counts", "place", "size_factor", "batch", "continuous"])
def test_the_digest_is_of_all_that_training_reads(data, part):
    data.batch, data.continuous = data.batch.copy(), data.continuous.copy()
    changed = dataclasses.replace(data, X=data.X.copy())
    assert changed.digest() == data.digest()
    if part == "counts":
        changed.X.data[-1] += 1
    elif part == "place":
        last = changed.X[-1].indices
        free = np.setdiff1d(np.arange(changed.X.shape[1]), last)[0]
        changed.X.indices[-1] = free
    else:
        values = getattr(changed, part).copy()
        values[-1] += 1
        setattr(changed, part, values)
    assert changed.digest() != data.digest()


def test_missing_genes_are_zeros_and_the_others_in_the_models_order():
    counts = np.array([[1, 2, 0, 4], [0, 0, 0, 0], [5, 0, 7, 8]])
    columns = np.array([3, -1, 0, 2, -1])
    expected = np.insert(counts[:, [3, 0, 2]], [1, 3], 0, axis=1)
    found = select_genes(sparse.csr_matrix(counts), columns)
    np.testing.assert_array_equal(found.toarray(), expected)
    assert found.has_sorted_indices
    whole = select_genes(sparse.csr_matrix(counts), np.array([2, 1, 0, 3]))
    np.testing.assert_array_equal(whole.toarray(), counts[:, [2, 1, 0, 3]])
    nothing = select_genes(sparse.csr_matrix(counts), np.array([-1, -1]))
    np.testing.assert_array_equal(nothing.toarray(), np.zeros((3, 2)))
