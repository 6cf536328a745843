"""What a training goes on from: the averaged weights, the last good state, the best one."""

import math

import pytest
import torch
from builders import brief_fit, brief_options, explode_at_step, script_validation

from scpress.errors import FitFailedError
from scpress.training import loop
from scpress.training.checkpoints import Checkpoint
from scpress.training.stepper import Stepper


def _train_watched(pbmc, monkeypatch, **changes):
    """What was validated at the end, and the weights before the first step and at every term."""
    seen = script_validation(monkeypatch, [])
    weights = []
    average = loop.TrainingState.average

    def watched(state):
        if not weights:
            weights.append({name: t.clone() for name, t in state.best.items()})
        weights.append({name: t.clone() for name, t in state._weights.items()})
        average(state)

    monkeypatch.setattr(loop.TrainingState, "average", watched)
    brief_fit(pbmc, validate_every=60, **changes)
    return seen[-1], weights


def test_an_exponential_average_of_the_weights_is_validated(pbmc, monkeypatch):
    validated, weights = _train_watched(pbmc, monkeypatch, averaged_steps=20)
    for name, value in validated.items():
        if not value.is_floating_point():
            assert torch.equal(value, weights[-1][name])
            continue
        assert len(weights) == 1 + 60 / 5
        expected = weights[0][name].double()
        # Every fifth step is a term: the early ones weigh more, the later ones 5/20.
        for n in range(1, 13):
            expected += max(0.25, 9 / (n + 9)) * (weights[n][name].double() - expected)
        torch.testing.assert_close(value, expected.float(), rtol=1e-5, atol=1e-6)
        if value.numel() and "weight" in name:
            assert not torch.equal(value, weights[-1][name])


def test_a_validation_between_two_terms_is_a_term(pbmc, monkeypatch):
    seen = script_validation(monkeypatch, [])
    brief_fit(pbmc, max_steps=3, validate_every=2)
    names = [name for name, value in seen[0].items() if value.is_floating_point()]
    assert len(seen) == 2
    assert any(not torch.equal(seen[0][name], seen[1][name]) for name in names)


def test_without_averaging_the_last_weights_are_validated(pbmc, monkeypatch):
    validated, weights = _train_watched(pbmc, monkeypatch, averaged_steps=0)
    assert all(torch.equal(value, weights[-1][name]) for name, value in validated.items())


def test_best_weights_are_restored(pbmc, monkeypatch):
    seen = script_validation(monkeypatch, [100.0, 90.0, 95.0])
    model, fitted, history = brief_fit(pbmc)
    assert len(seen) == len(history) == 3
    final = model.network.state_dict()
    assert all(torch.equal(final[name], value) for name, value in seen[1].items())
    assert not all(torch.equal(final[name], value) for name, value in seen[2].items())
    assert (fitted.best_step, fitted.best_loss) == (40, 90.0)


def test_a_rollback_goes_back_to_all_of_the_last_good_state(pbmc, monkeypatch):
    # Before each step: weights, what Adam remembers, and how far a step goes.
    states = []
    call = Stepper.__call__

    def watched(self, rows, **keywords):
        tensors = dict(self.network.state_dict())
        for i, slots in enumerate(self.optimizer.state.values()):
            tensors |= {f"adam.{i}.{name}": value for name, value in slots.items()}
        states.append({name: value.detach().clone() for name, value in tensors.items()})
        rates.append(self.optimizer.param_groups[0]["lr"])
        return call(self, rows, **keywords)

    rates = []
    monkeypatch.setattr(Stepper, "__call__", watched)
    explode_at_step(45, monkeypatch)
    _, _, history = brief_fit(pbmc, max_steps=80, plateau_factor=0.25)
    assert history["step"].tolist() == [20, 40, 80]
    assert all(torch.equal(value, states[40][name]) for name, value in states[60].items())
    assert not torch.equal(states[40]["eta.weight"], states[20]["eta.weight"])
    first = brief_options().first_rate
    assert rates == pytest.approx([first] * 60 + [first / 4] * 20)
    # Other noise than before, or the same would happen again.
    assert not torch.equal(states[61]["eta.weight"], states[41]["eta.weight"])


def test_what_is_given_up_is_said_with_the_rate_it_had(pbmc, monkeypatch):
    script_validation(monkeypatch, [100.0] + [math.nan] * 100)
    with pytest.raises(FitFailedError, match=r"non-finite 9 times, last at step 20 .* rate 3\.1"):
        brief_fit(pbmc, validate_every=2)
    # Eight of them in a row are borne.
    script_validation(monkeypatch, [100.0] + [math.nan] * 8)
    _, fitted, history = brief_fit(pbmc, validate_every=2)
    assert fitted.rollbacks == 8
    assert history["step"].tolist() == [2, *range(20, 61, 2)]


def test_a_saved_state_is_gone_on_from_with_its_best_and_its_rate(pbmc, tmp_path, monkeypatch):
    # The best loss is the first one: it, and the weights it was of, come from the file.
    losses = [90.0, *([100.0] * 8)]
    changes = {"max_steps": 90, "validate_every": 10, "kl_warmup_steps": 0, "plateau": 30}
    seen = script_validation(monkeypatch, losses)
    whole, _, history = brief_fit(pbmc, **changes)
    best = seen[0]
    assert all(torch.equal(best[name], v) for name, v in whole.network.state_dict().items())
    update, steps = Stepper.update, []

    def interrupting(self, *arguments):
        steps.append(1)
        if len(steps) == 75:
            raise KeyboardInterrupt
        return update(self, *arguments)

    with monkeypatch.context() as patch:
        script_validation(patch, losses)
        patch.setattr(Stepper, "update", interrupting)
        with pytest.raises(KeyboardInterrupt):
            brief_fit(pbmc, checkpoint=Checkpoint(tmp_path, minutes=0.0), **changes)
    script_validation(monkeypatch, losses[7:])
    resumed, fitted, again = brief_fit(
        pbmc, checkpoint=Checkpoint(tmp_path, minutes=1e9), **changes
    )
    assert (fitted.best_step, fitted.best_loss) == (10, 90.0)
    assert again.equals(history)
    assert again["learning_rate"].iloc[-1] == brief_options().first_rate / 4
    assert all(torch.equal(best[name], v) for name, v in resumed.network.state_dict().items())
