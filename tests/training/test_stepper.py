"""One step of the optimizer: clipped, moved as Adam moves, at the same bits from a seed."""

import numpy as np
import pytest
import torch
from builders import untrained, with_covariates

from scpress.config.options import TrainOptions
from scpress.model import likelihoods as lk
from scpress.training.loop import stepper
from scpress.training.stepper import PartStepper, build_optimizer

EACH_STEPPER = pytest.mark.parametrize("activation", ["relu", "elu"])  # by hand, by autograd


@pytest.fixture
def data(pbmc):
    return with_covariates(pbmc)


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


@EACH_STEPPER
def test_gradients_below_the_limit_are_left_alone(data, activation):
    found = []
    for clip_norm in (1e9, 1.01, 0.99):
        # The limit as a multiple of the norm there is, which the first round measures.
        limit = clip_norm if clip_norm == 1e9 else clip_norm * found[0].norm().item()
        options = TrainOptions(activation=activation, batch_size=30, clip_norm=limit)
        model = untrained(data, options)
        model.network.train()
        stepper(model, data, options)(np.arange(30), kl_weight=1.0, seed=0)
        found.append(torch.cat([p.grad.flatten() for p in model.network.parameters()]).clone())
    assert torch.equal(found[0], found[1])
    torch.testing.assert_close(found[2], 0.99 * found[0])


@pytest.mark.parametrize("dispersion", ["gene", "gene-batch", "gene-cell"])
def test_what_is_one_number_per_gene_is_not_decayed(data, dispersion):
    options = TrainOptions(dispersion=dispersion, batch_size=30, weight_decay=0.3)
    network = untrained(data, options, ("a", "b")).network
    decays = {
        p.data_ptr(): group["weight_decay"]
        for group in build_optimizer(network, options).param_groups
        for p in group["params"]
    }
    found = {name for name, p in network.named_parameters() if decays[p.data_ptr()] == 0}
    theta = "log_theta.bias" if dispersion == "gene-cell" else "log_theta"
    assert found == {"eta.bias", "pi_logits.bias", theta}
    assert {decay for decay in decays.values() if decay} == {0.3}


@EACH_STEPPER
def test_a_step_is_of_its_rows_and_its_seed(data, activation):
    options = TrainOptions(activation=activation, batch_size=30, learning_rate=1e-3)

    def after(rows, seed, kl_weight=1.0):
        model = untrained(data, options, ("a", "b"))
        model.network.train()
        loss = stepper(model, data, options)(rows, kl_weight=kl_weight, seed=seed)
        return float(loss), model.network.z_mean.weight.detach().clone()

    one, other = np.arange(30), np.arange(30, 60)
    first = after(one, 0)
    assert first[0] == after(one, 0)[0]
    assert torch.equal(first[1], after(one, 0)[1])
    for changed in (after(one, 1), after(other, 0), after(one, 0, 0.0)):
        assert changed[0] != first[0]
        assert not torch.equal(changed[1], first[1])


@EACH_STEPPER
def test_theta_is_kept_within_its_range(data, activation):
    options = TrainOptions(activation=activation, batch_size=30, learning_rate=0.1)
    model = untrained(data, options)
    model.network.train()
    theta = model.network.log_theta.detach()
    theta[:] = lk.LOG_THETA_MAX
    step = stepper(model, data, options)
    for seed in range(3):
        step(np.arange(30), kl_weight=1.0, seed=seed)
    assert float(theta.min()) >= lk.LOG_THETA_MIN
    assert float(theta.max()) <= lk.LOG_THETA_MAX
    assert float(theta.min()) < lk.LOG_THETA_MAX  # it moves, and is not stuck at its bound


def test_what_is_not_free_stays_at_its_bits(data):
    options = TrainOptions(batch_size=30, weight_decay=0.1, hidden=(8,), encode_covariates=True)
    model = untrained(data, options, ("a", "b"))
    network = model.network
    mask = torch.zeros_like(network.encoder.linear[0].weight)
    mask[:, -1] = 1
    before = {name: value.clone() for name, value in network.state_dict().items()}
    step = PartStepper(model, data, options, {"encoder.linear.0.weight": mask})
    assert step.is_frozen
    network.eval()
    losses = [float(step(np.arange(30), kl_weight=1.0, seed=0)) for _ in range(20)]
    assert losses[-1] < losses[0]
    for name, value in network.state_dict().items():
        moved = value != before[name]
        if name == "encoder.linear.0.weight":
            # A unit that no cell switches on has no gradient.
            assert moved[:, -1].any()
            moved = moved[:, :-1]
        assert not moved.any(), name
