"""Small networks and cells for the fused step, which computes the same on a CPU."""

import pytest
from builders import untrained, with_covariates

from scpress.config.options import TrainOptions
from scpress.training.fused import plain
from scpress.training.fused.stepper import FusedStepper


@pytest.fixture(scope="session")
def data(pbmc):
    """90 cells, 60 genes, two batches and a continuous covariate."""
    few = with_covariates(pbmc)
    few.X = few.X[:, :60]
    return few.take(slice(90))


@pytest.fixture
def fused(data):
    """Makes a fused stepper of 30 cells a step, in training, from options of training."""

    def make(operations=plain, *, resident=True, **changes):
        options = TrainOptions(**{"batch_size": 30, "hidden": (16,), "n_latent": 5} | changes)
        model = untrained(data, options, ("a", "b"))
        model.network.products = options.products
        model.network.train()
        return FusedStepper(model, data, options, operations, resident=resident)

    return make
