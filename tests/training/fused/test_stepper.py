"""Steps that wait for each other: the same bits one by one, together, resumed, sent or resident."""

import dataclasses

import numpy as np
import pytest
import torch
from builders import brief_fit, brief_options

from scpress.errors import InterruptedTrainingError
from scpress.training import loop
from scpress.training.checkpoints import Checkpoint
from scpress.training.fused import plain
from scpress.training.fused.stepper import FusedStepper


def _rows(step):
    return np.sort(np.random.default_rng(step).permutation(90)[:30])


def _run(step, n, *, alone=()):
    """Sum of the losses of n steps; those in `alone` do not wait for the next."""
    total = 0.0
    for i in range(n):
        total += float(step(_rows(i), kl_weight=0.1 * i, seed=i))
        if i in alone:
            total += float(step.finish())
    return total + float(step.finish())


@pytest.mark.parametrize("resident", [True, False])
def test_the_bits_are_the_same_however_steps_wait(fused, resident):
    expected = fused()
    losses = _run(expected, 7)
    for alone in ((), range(7), (1, 2)):
        step = fused(resident=resident)
        assert _run(step, 7, alone=alone) == pytest.approx(losses, rel=1e-6)
        assert step.is_idle
        for value, other in zip(step.state(), expected.state(), strict=True):
            assert torch.equal(value, other)
    assert float(expected.weights.step) == 7


def test_a_step_waits_until_there_are_enough(fused):
    step = fused()
    before = step.weights.values.clone()
    for i in range(step.n_steps - 1):
        assert step(_rows(i), kl_weight=1.0, seed=i) == 0.0
    assert not step.is_idle
    assert torch.equal(step.weights.values, before)
    assert step(_rows(9), kl_weight=1.0, seed=9) > 0
    assert step.is_idle
    assert not torch.equal(step.weights.values, before)
    assert step.finish() == 0.0


def test_genes_that_were_not_measured_are_left_to_autograd(fused):
    network = fused().network
    assert FusedStepper.is_for(network)
    network.config = dataclasses.replace(network.config, masked=True)
    assert not FusedStepper.is_for(network)


@pytest.mark.parametrize("what", ["rows", "seed", "kl_weight"])
def test_a_step_is_of_its_rows_its_seed_and_its_weight(fused, what):
    given = {"rows": _rows(0), "kl_weight": 1.0, "seed": 5}
    other = given | {"rows": _rows(1), "kl_weight": 0.5, "seed": 6}
    found = []
    for one in (given, given, given | {what: other[what]}):
        step = fused(dropout_rate=0.2)
        step(one["rows"], kl_weight=one["kl_weight"], seed=one["seed"])
        step.finish()
        found.append(step.weights.values.clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_weight_of_kl_is_of_the_kl_prior_alone(fused):
    found = []
    for weight in (0.0, 1.0):
        step = fused(preset="scvi", prior="none", encoder="variational")
        step(_rows(0), kl_weight=weight, seed=5)
        step.finish()
        found.append(step.weights.values.clone())
    assert torch.equal(*found)


def test_weights_that_changed_between_two_replays_are_cast_again(fused):
    step = fused(products="bfloat16")
    _run(step, 1)
    step.weights.values[:4] += 1
    step.gradients.heads.cast()
    expected = step.gradients.heads.halves.clone()
    step.gradients.heads.halves.zero_()
    step._do = type("", (), {"draw": lambda *_: None})
    step.compute(0)
    assert torch.equal(step.gradients.heads.halves, expected)


@pytest.fixture
def on_cpu(monkeypatch):
    """Whole trainings take fused steps on the CPU."""
    monkeypatch.setattr(loop, "stepper", lambda *given: FusedStepper(*given, plain))


BRIEF = {"max_steps": 23, "validate_every": 8, "kl_warmup_steps": 5, "batch_size": 64}


@pytest.fixture(scope="module")
def few(pbmc):
    return pbmc[:160, :200].copy()


def test_a_fused_training_is_as_good_as_one_of_the_cpu(few, monkeypatch):
    losses = []
    for fused_ in (False, True):
        if fused_:
            monkeypatch.setattr(loop, "stepper", lambda *given: FusedStepper(*given, plain))
        _, _, history = brief_fit(few, **BRIEF)
        assert history["step"].tolist() == [8, 16, 23]
        losses.append(history[["train_loss", "validation_loss"]].to_numpy())
    # Only the draws of dropout and noise are others.
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.03)


@pytest.mark.parametrize("save_at", [3, 13])
def test_a_training_resumes_to_the_same_bits(few, on_cpu, tmp_path, monkeypatch, save_at):
    expected, _, history = brief_fit(few, **BRIEF)
    checkpoint = Checkpoint(tmp_path, minutes=1e9)
    call, calls = FusedStepper.__call__, {"n": 0}

    def ending(self, rows, **keywords):
        loss = call(self, rows, **keywords)
        calls["n"] += 1
        if calls["n"] == save_at:
            checkpoint._note(15, None)
        return loss

    monkeypatch.setattr(FusedStepper, "__call__", ending)
    with pytest.raises(InterruptedTrainingError):
        brief_fit(few, checkpoint=checkpoint, **BRIEF)
    # It is saved where no step waits.
    assert calls["n"] == (5 if save_at == 3 else 15)
    model, _, resumed = brief_fit(few, checkpoint=Checkpoint(tmp_path, minutes=1e9), **BRIEF)
    assert calls["n"] == 23
    assert resumed.equals(history)
    for name, value in expected.network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], value), name


def test_a_non_finite_loss_is_rolled_back(few, on_cpu, monkeypatch):
    call, calls = FusedStepper.__call__, {"n": 0}

    def exploding(self, rows, **keywords):
        loss = call(self, rows, **keywords)
        calls["n"] += 1
        if calls["n"] == 12:
            self.weights.values.fill_(float("nan"))
        return loss

    monkeypatch.setattr(FusedStepper, "__call__", exploding)
    _, fitted, history = brief_fit(few, **BRIEF)
    assert fitted.rollbacks == 1
    assert np.isfinite(history["validation_loss"]).all()
    rates = history["learning_rate"].tolist()
    assert rates[0] == brief_options(**BRIEF).first_rate
    assert rates[-1] == brief_options(**BRIEF).plateau_factor * rates[0]
