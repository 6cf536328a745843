"""Whole trainings on the CPU: reproducible, rolled back, refused; on a GPU where there is one."""

import logging
from functools import partial

import numpy as np
import pytest
import torch
from builders import brief_fit, brief_options, explode_at_step, modelled, normalized_of, untrained

from scpress.errors import FitFailedError, InputError
from scpress.steps import train as step
from scpress.steps.embed import embed
from scpress.training import loop
from scpress.training.stepper import CompiledStepper

# What is compared bit by bit, and scripted, is what the CPU does.
train = partial(step.train, device="cpu")


def _same(one, two):
    states = one.network.state_dict(), two.network.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_same_seed_gives_the_same_bits_and_another_seed_does_not(pbmc):
    normalized = normalized_of(pbmc)
    runs = [train(pbmc, normalized, brief_options(), seed=seed)[0] for seed in (0, 0, 1)]
    assert _same(runs[0], runs[1])
    assert not _same(runs[0], runs[2])


def test_training_does_not_touch_the_callers_random_state(pbmc):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train(pbmc, normalized_of(pbmc), brief_options())
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        ),
    ],
)
def test_non_finite_loss_rolls_back_with_a_lower_rate(pbmc, monkeypatch, caplog, device):
    explode_at_step(30, monkeypatch)
    with caplog.at_level(logging.WARNING, logger="scpress"):
        model, fitted, history = brief_fit(pbmc, device=device, max_steps=100)
    assert model.network.eta.weight.device.type == device
    assert "back to the last good weights" in caplog.text
    assert fitted.rollbacks == 1
    # Nothing was noted at step 40, where the loss was not finite, and the fit went on from there.
    assert history["step"].tolist() == [20, 60, 80, 100]
    rates = history["learning_rate"] / brief_options().first_rate
    assert rates.tolist() == pytest.approx([1, 0.5, 0.5, 0.5])
    assert np.isfinite(history.to_numpy()).all()
    assert all(torch.isfinite(value).all() for value in model.network.state_dict().values())


@pytest.mark.parametrize("encoder", ["variational", "deterministic"])
def test_the_weight_of_the_kl_rises_and_the_losses_are_means_over_steps(pbmc, monkeypatch, encoder):
    said = []
    call = CompiledStepper.__call__

    def listening(self, rows, *, kl_weight, seed):
        said.append((float(loss := call(self, rows, kl_weight=kl_weight, seed=seed)), kl_weight))
        return loss

    monkeypatch.setattr(CompiledStepper, "__call__", listening)
    _, _, history = brief_fit(pbmc, max_steps=50, kl_warmup_steps=40, encoder=encoder)
    losses, weights = np.array(said).T
    np.testing.assert_allclose(weights, np.minimum(1, np.arange(1, 51) / 40))
    # The last validation is of the ten steps since the one before.
    assert history["step"].tolist() == [20, 40, 50]
    means = [losses[:20].mean(), losses[20:40].mean(), losses[40:].mean()]
    np.testing.assert_allclose(history["train_loss"], means, rtol=1e-5)
    np.testing.assert_allclose(history["kl_weight"], [0.5, 1, 1])
    np.testing.assert_array_equal(history["cells_seen"], [20 * 64, 40 * 64, 50 * 64])
    together = history["validation_reconstruction"] + history["validation_kl"]
    np.testing.assert_allclose(history["validation_loss"], together, rtol=1e-6)
    assert (history["validation_kl"] > 0).all() == (encoder == "variational")


def test_the_first_output_is_the_gene_means_and_the_input_is_standardized(pbmc):
    for preset in ("scvi", "dca"):
        data = modelled(pbmc)
        data.continuous = np.random.default_rng(0).normal(5, 3, (len(data), 1)).astype(np.float32)
        options = brief_options(preset=preset, continuous_covariates=("depth",))
        model = untrained(data, options)
        loop.initialize(model.network, data)
        network = model.network.eval()
        cells = data.cells_of(model)
        # The heads' weights are small at first: the biases alone say what is predicted.
        with torch.no_grad():
            network.eta.weight.zero_()
            mu = network.decode(torch.zeros(len(data), model.n_latent), cells).log_mu.exp()
        np.testing.assert_allclose(mu.sum(dim=0).numpy(), data.X.sum(axis=0).A1 + 0.5, rtol=0.02)
        standard = cells.continuous.numpy()
        np.testing.assert_allclose([standard.mean(), standard.std()], [0, 1], atol=1e-4)
        if preset == "dca":
            values = np.log1p(data.X.toarray() / data.size_factor[:, None])
            ours = network._input(cells).numpy()
            np.testing.assert_allclose(ours.mean(axis=0), 0, atol=1e-4)
            # The variance counts one more cell, so that a gene seen once is not blown up.
            spread, all_genes = ours.std(axis=0), values.var(axis=0)
            often = all_genes > np.median(all_genes)
            np.testing.assert_allclose(spread[often], 1, atol=0.01)


@pytest.mark.parametrize(
    "axes",
    [
        {"preset": "denoising"},
        {"preset": "denoising", "gene_mask": 0.0, "molecule_thinning": 0.5, "input_noise": 0.3},
        {"preset": "sparse"},
        {"preset": "wae", "prior_shape": "mixture"},
        {"preset": "aae", "prior_shape": "ball"},
        {"likelihood": "multinomial"},
        {"likelihood": "bernoulli"},
        {"likelihood": "laplace"},
        {"preset": "contractive"},
        {"preset": "dca", "pi_ridge": 1.0, "tied_weights": True},
        {"hidden": (32, 32, 32), "residual": True},
    ],
)
def test_every_axis_is_trained_and_beats_the_gene_means(pbmc, axes):
    options = brief_options(**axes | {"max_steps": 120, "kl_warmup_steps": 200})
    model, history = train(pbmc, normalized_of(pbmc), options)
    assert model.record.verdict.status == "ok"
    found = embed(pbmc, normalized_of(pbmc), model)
    (latent,) = (found.obsm[key] for key in found.obsm if not key.endswith("_sd"))
    assert np.isfinite(latent).all()
    assert latent.std(axis=0).max() > 0.1
    penalized = ("sparse", "contractive", "wae", "aae")
    is_penalized = options.pi_ridge or options.preset in penalized
    assert ("validation_penalty" in history) == bool(is_penalized)
    if is_penalized:
        parts = ["validation_reconstruction", "validation_kl", "validation_penalty"]
        np.testing.assert_allclose(
            history[parts].sum(axis=1), history["validation_loss"], rtol=1e-5
        )
        if options.prior_shape is None:  # a squared mmd without bias is around 0
            assert (history["validation_penalty"] > 0).all()


def test_a_penalty_makes_what_it_is_on_smaller(pbmc):
    of_latent, of_slope = [], []
    for weight in (0.0, 20.0):
        model, _, _ = brief_fit(pbmc, preset="sparse", latent_l1=weight, max_steps=100)
        data = modelled(pbmc)
        of_latent.append(np.abs(model.encode(data.cells_of(model))[0]).mean())
        model, _, history = brief_fit(pbmc, preset="contractive", contractive=weight + 1e-6)
        of_slope.append(history["validation_penalty"].iloc[-1] / (weight + 1e-6))
    assert of_latent[1] < 0.5 * of_latent[0]
    assert of_slope[1] < 0.5 * of_slope[0]


def test_a_loss_that_never_turns_finite_fails(pbmc, monkeypatch):
    loss = loop.CountAutoencoder.loss

    def explode(self, cells, **keywords):
        value = loss(self, cells, **keywords)
        return value._replace(total=value.total * float("nan"))

    monkeypatch.setattr(loop.CountAutoencoder, "loss", explode)
    with pytest.raises(FitFailedError, match="non-finite"):
        train(pbmc, normalized_of(pbmc), brief_options(validate_every=2))


def _verdict(model, counts):
    """What the latent of a model says of its fit."""
    return embed(counts, None, model).uns["scpress"]["verdict"]


def test_a_fit_worse_than_the_gene_means_fails(pbmc):
    with pytest.raises(FitFailedError, match="the fit failed"):
        train(pbmc, normalized_of(pbmc), brief_options(max_steps=1, learning_rate=1e-6))
    options = brief_options(max_steps=1, learning_rate=1e-6, allow_failed_fit=True)
    kept, _ = train(pbmc, normalized_of(pbmc), options)
    assert _verdict(kept, pbmc)["status"] == "failed"


@pytest.mark.parametrize("preset", ["scvi", "dca", "ldvae", "pca"])
def test_presets_beat_the_gene_means_on_real_counts(pbmc, preset):
    model, history = train(pbmc, normalized_of(pbmc), brief_options(preset=preset, max_steps=150))
    verdict = _verdict(model, pbmc)
    assert verdict["score"] < verdict["gene_mean_nll"]
    assert history["validation_loss"].notna().all()


def test_covariates_reach_the_decoder(simulated):
    options = brief_options(
        batch_key="batch", continuous_covariates=("depth",), allow_failed_fit=True
    )
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
        train(pbmc, normalized_of(pbmc), brief_options(**options))


def test_too_few_cells(pbmc):
    few = pbmc[:5].copy()
    with pytest.raises(InputError, match="at least 10 cells; found 5"):
        train(few, normalized_of(few), brief_options())
