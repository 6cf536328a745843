"""Who trains, and that the closed form is what training would come to."""

import numpy as np
import pytest
from builders import modelled, normalized_of, untrained

from scpress.config.options import TrainOptions
from scpress.model.baselines import fit_pca
from scpress.model.scoring import log_moments
from scpress.steps.train import train
from scpress.training import engines, loop, scvi_tools
from scpress.training.engines import fit_closed_form, fit_model
from scpress.training.validation import validate


@pytest.fixture
def data(pbmc):
    return modelled(pbmc, n_genes=40)


PCA = TrainOptions(preset="pca", n_latent=3)


def test_the_options_name_who_trains(data, monkeypatch):
    asked = []
    monkeypatch.setattr(
        engines, "fit", lambda *a, seed, checkpoint: asked.append(("ours", seed, checkpoint))
    )
    monkeypatch.setattr(
        scvi_tools, "fit_scvi_tools", lambda *a, seed: asked.append(("scvi-tools", seed))
    )
    for options in (TrainOptions(), TrainOptions(engine="scvi-tools")):
        fit_model(untrained(data, options), data, data, options, seed=4, checkpoint="a folder")
    assert asked == [("ours", 4, "a folder"), ("scvi-tools", 4)]
    fit = fit_model(untrained(data, PCA), data, data, PCA, seed=0)
    assert (fit.stopped, fit.best_step, len(asked)) == ("closed form", 0, 2)


def test_the_closed_form_is_pca_with_what_it_leaves_over_as_the_variance(data):
    data.batch = np.arange(len(data)) % 2  # PCA does not model it
    training, held_out = data.take(np.arange(600)), data.take(np.arange(600, 700))
    model = untrained(data, PCA, batches=("a", "b"))
    model.network.eta.weight.data.fill_(7.0)
    fit = fit_closed_form(model, training, held_out, seed=0)
    pca = fit_pca(training.X, training.size_factor, 3)
    cells = held_out.cells_of(model)
    z, sd = model.encode(cells)
    assert sd is None
    np.testing.assert_allclose(z, pca.encode(held_out.X, held_out.size_factor), atol=1e-4)
    decoded = model.network.decode(model._latent(z), cells)
    np.testing.assert_allclose(decoded.log_mu.detach(), pca.decode(z), atol=1e-4)
    # Variance of a gene, less that of what is decoded of it.
    _, variance = log_moments(training)
    fitted = pca.decode(pca.encode(training.X, training.size_factor))
    left = variance - fitted.astype(np.float64).var(axis=0, ddof=1)
    assert (left < 0.8 * variance).any()
    theta = np.exp(-decoded.log_theta.detach().numpy()[0])
    np.testing.assert_allclose(theta, np.maximum(left, 1e-6), rtol=1e-3)
    assert fit.best_loss == validate(model, held_out, seed=0).total
    assert fit.history[0]["train_loss"] == validate(model, training, seed=0).total
    assert fit.history[0]["validation_loss"] == fit.best_loss


def test_pca_preset_and_a_linear_gaussian_autoencoder_span_the_same_subspace(pbmc, monkeypatch):
    # With one variance for all genes the likelihood is the squared error; a free variance per gene
    # would make it factor analysis.
    initialize = loop.initialize

    def with_one_variance(network, data):
        initialize(network, data)
        network.log_theta.requires_grad_(requires_grad=False).fill_(0.0)

    monkeypatch.setattr(loop, "initialize", with_one_variance)
    normalized = normalized_of(pbmc, n_genes=40)
    # Its likelihood is off by the variance, so the verdict does not apply.
    common = {"n_latent": 2, "batch_key": None, "allow_failed_fit": True}
    pca, _ = train(pbmc, normalized, TrainOptions(preset="pca", **common), device="cpu")
    linear, _ = train(
        pbmc,
        normalized,
        TrainOptions(
            preset="dca", likelihood="gaussian", dispersion="gene", decoder="linear",
            hidden=(), norm="none", activation="linear", weight_decay=0.0, plateau=200,
            learning_rate=2e-2, batch_size=630, max_steps=800, patience=800, **common,
        ),
        device="cpu",
    )  # fmt: skip
    bases = [
        np.linalg.qr(model.network.eta.weight.detach().double().numpy())[0]
        for model in (pca, linear)
    ]
    cosines = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    assert cosines.min() > 0.99
