"""Penalties against autograd and plain sums, on the networks that they are used on."""

import dataclasses

import numpy as np
import pytest
import torch
from builders import modelled, untrained

from scpress.config.options import TrainOptions
from scpress.model.penalties import pi_ridge, slope

_EXACT = {"norm": "none", "dropout_rate": 0.0, "preset": "contractive"}


@pytest.mark.parametrize("activation", ["relu", "elu", "gelu", "linear"])
def test_a_slope_is_autograds_derivative(activation):
    function = {"relu": torch.relu, "linear": lambda x: x * 1}.get(
        activation, getattr(torch.nn.functional, activation, None)
    )
    x = torch.linspace(-3, 3, 41, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(function(x + 0.01).sum(), x)
    torch.testing.assert_close(slope(activation, x.detach() + 0.01), expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "relu", "hidden": (24,)},
        {"activation": "elu", "hidden": (24, 16, 16), "input": "zscore"},
        {"activation": "gelu", "hidden": (16, 16, 16), "residual": True},
        {"activation": "elu", "hidden": (24, 16), "encode_covariates": True},
        {"hidden": ()},
        {"activation": "gelu", "hidden": (16,), "encoder": "variational"},
    ],
)
def test_the_contractive_penalty_is_the_norm_of_autograds_jacobian(pbmc, changes):
    data = modelled(pbmc, n_genes=30).take(np.arange(6))
    data.batch = np.arange(6) % 2 if changes.get("encode_covariates") else None
    options = TrainOptions(**_EXACT | {"contractive": 0.7, "n_latent": 5} | changes)
    model = untrained(data, options, batches=("a", "b") if data.batch is not None else ())
    network = model.network.double()
    network.kernels = "torch"
    network.input_scale.fill_(1.5)
    network.input_mean.fill_(0.2)
    cells = data.cells_of(model)
    values = dataclasses.replace(cells.counts, values=cells.counts.values.double())
    cells = dataclasses.replace(
        cells, counts=values, size_factor=cells.size_factor.double(), total=cells.total.double()
    )
    one_hot = network.one_hot(cells.batch) if network.config.encode_covariates else None
    x = network._input(cells)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: network.z_mean(network.encoder(x, one_hot)), x
    )  # [cells, latent, cells, genes]
    expected = sum(jacobian[i, :, i].square().sum() for i in range(6)) / 6
    assert float(expected) > 0
    loss = network.loss(cells, kl_weight=0.0)
    torch.testing.assert_close(loss.penalty, 0.7 * expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(loss.total, loss.reconstruction + loss.penalty)


def test_the_l1_penalty_is_of_the_code_and_not_of_a_draw(pbmc):
    data = modelled(pbmc).take(np.arange(8))
    model = untrained(data, TrainOptions(latent_l1=0.5))
    cells, network = data.cells_of(model), model.network.eval()
    loss = network.loss(cells, kl_weight=1.0, noise=torch.randn(8, 10))
    expected = 0.5 * np.abs(model.encode(cells)[0]).sum(axis=1).mean()
    assert float(loss.penalty.detach()) == pytest.approx(expected, rel=1e-5)


def test_the_ridge_is_on_the_probability_of_an_extra_zero(pbmc):
    data = modelled(pbmc).take(np.arange(8))
    model = untrained(data, TrainOptions(preset="dca", pi_ridge=0.3))
    cells, network = data.cells_of(model), model.network.eval()
    pi = model.extra_zero_fraction(cells, model.encode(cells)[0])
    loss = network.loss(cells, kl_weight=1.0)
    assert float(loss.penalty.detach()) == pytest.approx(
        0.3 * (pi.astype(np.float64) ** 2).sum(axis=1).mean(), rel=1e-4
    )
    assert float(pi_ridge(torch.zeros(1, 8))) == 2.0
