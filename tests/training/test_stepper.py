"""The steps of the CPU, and what a GPU is given: everything but the capture of the graph."""

import numpy as np
import pytest
import torch
from builders import untrained, with_covariates

from scpress.config.options import TrainOptions
from scpress.model import likelihoods as lk
from scpress.training.cuda_graph import GraphStepper
from scpress.training.loop import stepper
from scpress.training.stepper import build_optimizer

EACH_STEPPER = pytest.mark.parametrize("activation", ["relu", "elu"])  # by hand, by autograd


@pytest.fixture
def data(pbmc):
    return with_covariates(pbmc)


@pytest.mark.parametrize("preset", ["scvi", "dca"])
@pytest.mark.parametrize("likelihood", ["zinb", "nb", "poisson", "gaussian"])
def test_the_step_of_a_gpu_moves_the_network_as_the_one_of_the_cpu(data, preset, likelihood):
    options = TrainOptions(
        preset=preset,
        likelihood=likelihood,
        batch_size=30,
        dropout_rate=0.0,
        clip_norm=50.0,
        learning_rate=1e-3,
    )
    rows = np.arange(0, 60, 2)
    networks = []
    for is_of_gpu in (False, True):
        model = untrained(data, options, ("a", "b"))
        model.network.train()
        if not is_of_gpu:
            step = stepper(model, data, options)
            loss = step.update(data.cells_at(model, rows), noise := torch.randn(30, 10), 0.5)
        else:
            step = _unmeasured(model, data, options)
            step.rows.choose(rows)
            step.noise.copy_(noise)
            step.kl_weight.fill_(0.5)
            loss = step.compute()
        networks.append((float(loss), model.network.state_dict()))
    assert networks[0][0] == pytest.approx(networks[1][0], rel=1e-5, abs=1e-3)
    for name, value in networks[0][1].items():
        torch.testing.assert_close(networks[1][1][name], value, rtol=1e-4, atol=1e-5, msg=name)


def _unmeasured(model, data, options):
    """A GraphStepper where there is no GPU to ask for its memory."""
    from scpress.training import cuda_graph

    fits, cuda_graph.fits = cuda_graph.fits, lambda *_: True
    noise_width = model.network.config.n_latent
    try:
        step = GraphStepper(model, data, options)
    finally:
        cuda_graph.fits = fits
    step.noise = torch.zeros(30, min(noise_width, 10))
    return step


@pytest.mark.parametrize("name", ["zinb", "nb"])
@pytest.mark.parametrize("theta_shape", ["gene", "cell"])
def test_the_dense_terms_are_autograds(name, theta_shape):
    generator = torch.Generator().manual_seed(1)
    x = torch.poisson(torch.full((5, 40), 0.4), generator=generator).double() * 3
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    leaves = [draw(5, 40), draw(1, 40) if theta_shape == "gene" else draw(5, 40), draw(5, 40)]
    used = [leaf.requires_grad_() for leaf in leaves[: 2 + (name == "zinb")]]
    ours = lk.sum_log_likelihood(name, lk.Parameters(*used), lk.DenseBatch(x))
    plain = lk.LIKELIHOODS[name].dense(x, lk.Parameters(*used)).sum(1)
    torch.testing.assert_close(ours, plain)
    for one, two in zip(
        torch.autograd.grad(ours.sum(), used), torch.autograd.grad(plain.sum(), used), strict=True
    ):
        torch.testing.assert_close(one, two)


@EACH_STEPPER
def test_adam_moves_the_first_layer_where_it_lies(data, activation):
    options = TrainOptions(activation=activation, batch_size=30)
    model = untrained(data, options)
    network = model.network
    weight = network.encoder.linear[0].weight
    assert weight.t().is_contiguous()
    optimizer = build_optimizer(network, options)
    moved = [p for g in optimizer.param_groups for p in g["params"]]
    assert all(p.is_contiguous() for p in moved)
    assert sum(p.numel() for p in moved) == sum(p.numel() for p in network.parameters())
    before = weight.detach().clone()
    step = stepper(model, data, options)
    network.train()
    step(np.arange(30), kl_weight=1.0, seed=0)
    assert not torch.equal(weight, before)


@EACH_STEPPER
def test_the_step_is_adams(data, activation):
    options = TrainOptions(activation=activation, batch_size=30, weight_decay=1e-3)
    states = []
    for is_ours in (True, False):
        model = untrained(data, options)
        model.network.train()
        step = stepper(model, data, options)
        if not is_ours:
            step._move = step.optimizer.step
        for seed in range(3):
            step(np.arange(30), kl_weight=1.0, seed=seed)
        states.append(model.network.state_dict())
    assert all(torch.equal(states[1][name], value) for name, value in states[0].items())


@EACH_STEPPER
def test_gradients_above_the_limit_are_scaled_to_it(data, activation):
    options = TrainOptions(activation=activation, batch_size=30, clip_norm=0.5)
    model = untrained(data, options)
    model.network.train()
    step = stepper(model, data, options)
    step(np.arange(30), kl_weight=1.0, seed=0)
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.network.parameters()])
    assert float(norm) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("products", ["float32", "bfloat16"])
def test_a_captured_graph_trains_as_the_cpu_does(data, products):
    options = TrainOptions(batch_size=30, dropout_rate=0.0, products=products)
    losses = []
    for device in ("cpu", "cuda"):
        model = untrained(data, options)
        model.network.to(device).train()
        model.network.products = products
        step = stepper(model, data, options)
        rows = np.random.default_rng(0).permutation(len(data))
        losses.append(
            np.mean(
                [
                    float(step(np.sort(rows[30 * i : 30 * i + 30]), kl_weight=1.0, seed=i))
                    for i in range(20)
                ]
            )
        )
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
