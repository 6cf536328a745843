import dataclasses
import logging

import numpy as np
import pytest
import torch
from builders import explode_at_step, modelled, normalized_of

from scpress.config.options import TrainOptions
from scpress.errors import FitFailedError, InputError
from scpress.steps.train import train
from scpress.training import loop as training
from scpress.training.split import split_validation
from scpress.training.validation import HeldOutLoss

SHORT = TrainOptions(
    max_steps=60, validate_every=20, kl_warmup_steps=20, batch_size=64, batch_key=None
)


def short(**changes):
    return dataclasses.replace(SHORT, **changes)


def _same(one, two):
    states = one.network.state_dict(), two.network.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_same_seed_gives_the_same_bits_and_another_seed_does_not(pbmc):
    normalized = normalized_of(pbmc)
    runs = [train(pbmc, normalized, SHORT, seed=seed)[0] for seed in (0, 0, 1)]
    assert _same(runs[0], runs[1])
    assert not _same(runs[0], runs[2])


def test_training_does_not_touch_the_callers_random_state(pbmc):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train(pbmc, normalized_of(pbmc), SHORT)
    assert torch.equal(torch.rand(2), expected)


def _script_validation(monkeypatch, losses):
    """Make validation report these losses; returns the weights it saw at each of them."""
    seen = []

    def scripted(model, validation, *, seed):
        seen.append({name: t.clone() for name, t in model.network.state_dict().items()})
        loss = losses[len(seen) - 1] if len(seen) <= len(losses) else 200.0
        return HeldOutLoss(loss, loss, 0.0)

    monkeypatch.setattr(training, "validate", scripted)
    return seen


def test_best_weights_are_restored(pbmc, monkeypatch):
    seen = _script_validation(monkeypatch, [100.0, 90.0, 95.0])
    model, history = train(pbmc, normalized_of(pbmc), SHORT)
    assert len(seen) == len(history) == 3
    final = model.network.state_dict()
    assert all(torch.equal(final[name], value) for name, value in seen[1].items())
    assert not all(torch.equal(final[name], value) for name, value in seen[2].items())
    assert model.record["verdict"]["best_step"] == 40


def _train_watched(pbmc, monkeypatch, **changes):
    """What was validated at the end, and the weights before the first step and at every term."""
    seen = _script_validation(monkeypatch, [])
    weights = []
    average = training.TrainingState.average

    def watched(state):
        if not weights:
            weights.append({name: t.clone() for name, t in state.best.items()})
        weights.append({name: t.clone() for name, t in state._weights.items()})
        average(state)

    monkeypatch.setattr(training.TrainingState, "average", watched)
    train(pbmc, normalized_of(pbmc), short(validate_every=60, allow_failed_fit=True, **changes))
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
    seen = _script_validation(monkeypatch, [])
    train(pbmc, normalized_of(pbmc), short(max_steps=3, validate_every=2, allow_failed_fit=True))
    names = [name for name, value in seen[0].items() if value.is_floating_point()]
    assert len(seen) == 2
    assert any(not torch.equal(seen[0][name], seen[1][name]) for name in names)


def test_without_averaging_the_last_weights_are_validated(pbmc, monkeypatch):
    validated, weights = _train_watched(pbmc, monkeypatch, averaged_steps=0)
    assert all(torch.equal(value, weights[-1][name]) for name, value in validated.items())


def test_early_stopping_waits_for_the_patience_and_lowers_the_rate(pbmc, monkeypatch):
    _script_validation(monkeypatch, [100.0, 90.0])
    options = short(validate_every=10, max_steps=600, patience=100, plateau=40)
    _, history = train(pbmc, normalized_of(pbmc), options)
    assert history["step"].iloc[-1] == 20 + 100
    # Lowered at 60 and at 100, where 40 steps passed without a better loss.
    rates = history.set_index("step")["learning_rate"]
    first = options.first_rate
    assert rates[60] == first
    assert rates[70] == rates[100] == first / 2
    assert rates[110] == first / 4


def test_validation_cells_are_random_stratified_and_the_same_for_every_seed(pbmc):
    strata = np.repeat([0, 1], [900, 100])
    kept, held_out = split_validation(strata, 0.1)
    assert len(held_out) == 100
    assert abs((strata[held_out] == 1).sum() - 10) <= 1
    assert held_out.min() < 100
    assert len(np.intersect1d(kept, held_out)) == 0
    one, two = (train(pbmc, normalized_of(pbmc), short(max_steps=60), seed=s)[0] for s in (0, 1))
    np.testing.assert_array_equal(one.validation_cells, two.validation_cells)


def test_non_finite_loss_rolls_back_with_a_lower_rate(pbmc, monkeypatch, caplog):
    explode_at_step(30, monkeypatch)
    with caplog.at_level(logging.WARNING, logger="scpress"):
        model, history = train(pbmc, normalized_of(pbmc), short(max_steps=100))
    assert "back to the last good weights" in caplog.text
    assert model.record["verdict"]["rollbacks"] == 1
    assert history["learning_rate"].iloc[-1] == pytest.approx(SHORT.first_rate / 2)
    assert all(torch.isfinite(p).all() for p in model.network.parameters())


def test_a_loss_that_never_turns_finite_fails(pbmc, monkeypatch):
    loss = training.CountAutoencoder.loss

    def explode(self, cells, **keywords):
        value = loss(self, cells, **keywords)
        return value._replace(total=value.total * float("nan"))

    monkeypatch.setattr(training.CountAutoencoder, "loss", explode)
    with pytest.raises(FitFailedError, match="non-finite"):
        train(pbmc, normalized_of(pbmc), short(validate_every=2))


def test_a_fit_worse_than_the_gene_means_fails(pbmc):
    with pytest.raises(FitFailedError, match="the fit failed"):
        train(pbmc, normalized_of(pbmc), short(max_steps=1, learning_rate=1e-6))
    options = short(max_steps=1, learning_rate=1e-6, allow_failed_fit=True)
    kept, _ = train(pbmc, normalized_of(pbmc), options)
    assert kept.record["verdict"]["status"] == "failed"


@pytest.mark.parametrize("preset", ["scvi", "dca", "ldvae", "pca"])
def test_presets_beat_the_gene_means_on_real_counts(pbmc, preset):
    model, history = train(pbmc, normalized_of(pbmc), short(preset=preset, max_steps=150))
    verdict = model.record["verdict"]
    assert verdict["score"] < verdict["gene_mean_nll"]
    assert history["validation_loss"].notna().all()


def test_covariates_reach_the_decoder(simulated):
    options = short(batch_key="batch", continuous_covariates=("depth",), allow_failed_fit=True)
    counts = simulated.copy()
    counts.obs["depth"] = np.linspace(0, 1, counts.n_obs)
    model, _ = train(counts, normalized_of(counts), options)
    assert model.config.n_batches == 2
    assert float(model.network.continuous_mean[0]) == pytest.approx(0.5, abs=0.05)
    data = modelled(counts)
    z = np.zeros((4, 10), dtype=np.float32)
    mu = []
    for code, depth in ((0, 0.0), (1, 0.0), (0, 1.0)):
        cells = model.cells(
            data.X[:4], np.ones(4), np.full(4, code), np.full((4, 1), depth, dtype=np.float32)
        )
        mu.append(model.mean_counts(cells, z))
    assert not np.allclose(mu[0], mu[1])
    assert not np.allclose(mu[0], mu[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_key": "donor"}, "batch_key 'donor' is not a column"),
        ({"continuous_covariates": ("age",)}, "continuous covariate 'age' is not a column"),
        ({"continuous_covariates": ("bulk_labels",)}, "must be a number for every cell"),
        ({"n_latent": 500}, "n_latent must be at most"),
    ],
)
def test_bad_options_are_one_clear_line(pbmc, options, message):
    with pytest.raises(InputError, match=message):
        train(pbmc, normalized_of(pbmc), short(**options))


def test_too_few_cells(pbmc):
    few = pbmc[:5].copy()
    with pytest.raises(InputError, match="at least 10 cells; found 5"):
        train(few, normalized_of(few), SHORT)
