"""Counts at fixed places of a device, and the captured step, against the CPU's."""

import numpy as np
import pytest
import torch
from builders import untrained, with_covariates
from scipy import sparse

from scpress.config.options import TrainOptions
from scpress.training.cuda_graph import PaddedRows


@pytest.fixture
def data(pbmc):
    return with_covariates(pbmc)


@pytest.mark.parametrize("resident", [True, False])
def test_padded_rows_are_the_cells(data, resident):
    model = untrained(data, TrainOptions(continuous_covariates=("depth",)), ("a", "b"))
    padded = PaddedRows(data, 30, torch.device("cpu"), resident=resident)
    for seed in range(2):
        rows = np.sort(np.random.default_rng(seed).permutation(len(data))[:30])
        padded.choose(rows)
        ours, theirs = padded.cells(model), data.take(rows).cells_of(model)
        torch.testing.assert_close(ours.counts.dense(), theirs.counts.dense(), rtol=0, atol=0)
        for name in ("size_factor", "total", "batch", "continuous"):
            assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


def test_a_row_without_nonzeros_and_stored_zeros_are_padding():
    from scpress.model.modelled import ModelledCounts

    X = sparse.csr_matrix(np.array([[0, 0, 0], [0, 2, 1]], dtype=np.int32))
    data = ModelledCounts(X, np.ones(2))
    model = untrained(data, TrainOptions(n_latent=2))
    padded = PaddedRows(data, 2, torch.device("cpu"), resident=True)
    padded.choose(np.array([0, 1]))
    assert padded.cells(model).counts.dense().tolist() == [[0, 0, 0], [0, 2, 1]]
