"""The loss of held-out cells: means over cells, the same noise, no dropout."""

import numpy as np
import pytest
import torch
from builders import modelled, untrained

from scpress.config.options import TrainOptions
from scpress.training import validation
from scpress.training.validation import validate


@pytest.fixture
def data(pbmc):
    return modelled(pbmc, n_genes=60).take(np.arange(30))


@pytest.fixture
def model(data):
    return untrained(data, TrainOptions(hidden=(16,), dropout_rate=0.5))


def test_every_cell_counts_as_much_whatever_the_blocks(data, monkeypatch):
    model = untrained(data, TrainOptions(preset="dca", hidden=(16,)))
    whole = validate(model, data, seed=0)
    with torch.no_grad():
        by_cell = [
            float(model.network.loss(data.take([i]).cells_of(model), kl_weight=1.0).total)
            for i in range(len(data))
        ]
    assert whole.total == pytest.approx(np.mean(by_cell), rel=1e-5)
    monkeypatch.setattr(validation, "_BLOCK_CELLS", 7)  # and two in the last block
    assert validate(model, data, seed=0).total == pytest.approx(whole.total, rel=1e-5)


def test_the_loss_is_that_of_one_draw_of_the_posterior_at_full_kl(data, model):
    found = validate(model, data, seed=5)
    cells = data.cells_of(model)
    noise = torch.randn(30, 10, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        mean, sd = model.network.encode(cells)
        nll = -model.network.log_likelihood(mean + sd * noise, cells).mean()
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, sd), torch.distributions.Normal(0.0, 1.0)
    )
    assert found.reconstruction == pytest.approx(float(nll), rel=1e-5)
    assert found.kl == pytest.approx(float(kl.sum(dim=1).mean()), rel=1e-4)
    assert found.total == pytest.approx(found.reconstruction + found.kl, rel=1e-5)


def test_every_call_has_the_same_noise_and_changes_nothing(data, model):
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    torch.manual_seed(1)
    first = validate(model, data, seed=5)
    torch.manual_seed(2)
    model.network.train()
    assert validate(model, data, seed=5) == first
    assert validate(model, data, seed=6) != first
    assert all(torch.equal(before[name], v) for name, v in model.network.state_dict().items())
