"""Held-out scores against exact evidence, scipy and double loops."""

import dataclasses

import numpy as np
import pytest
import torch
from builders import briefly_trained, modelled, untrained
from scipy import sparse
from scipy.stats import laplace, multinomial, multivariate_normal, nbinom, norm, poisson

from scpress.config.options import TrainOptions
from scpress.model import scoring
from scpress.model.axes import resolve_config
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts
from scpress.model.network import CountAutoencoder
from scpress.model.scoring import (
    fit_log_values,
    gene_mean_nll,
    importance_weighted_nll,
    library_of,
    log_moments,
    log_values,
    moment_theta,
    presence_share,
    reconstruction_nll,
)


def test_importance_weighting_tightens_with_draws_and_bounds_the_evidence(pbmc):
    model = briefly_trained(pbmc)
    data = modelled(pbmc).take(model.validation_cells)
    few, many = (importance_weighted_nll(model, data, n_draws=n).mean() for n in (2, 100))
    assert many < few
    assert reconstruction_nll(model, data).mean() < many


def test_importance_weighting_is_exact_for_a_linear_gaussian_model(pbmc):
    # With q(z|x) the true posterior the weights are constant, so any K gives log p(x): x is
    # N(b, W W' + D). The posterior of factor analysis is N(V W' D^-1 (x-b), V), V = (I+W'D^-1W)^-1;
    # a loading with orthogonal columns in the metric D^-1 makes V diagonal, as our q is.
    data = modelled(pbmc, n_genes=12).take(np.arange(30))
    config = resolve_config(TrainOptions(preset="pca", batch_key=None, n_latent=3), n_genes=12)
    network = CountAutoencoder(dataclasses.replace(config, encoder="variational", prior="kl"))
    rng = np.random.default_rng(0)
    loading = np.linalg.qr(rng.normal(size=(12, 3)))[0] * np.array([1.0, 0.7, 0.4])
    variance, mean = 0.3, rng.normal(size=12)
    posterior = 1 / (1 + (loading**2).sum(axis=0) / variance)
    with torch.no_grad():
        network.input_mean.copy_(torch.from_numpy(mean))
        network.eta.weight.copy_(torch.from_numpy(loading))
        network.eta.bias.copy_(torch.from_numpy(mean))
        network.log_theta.fill_(-np.log(variance))
        network.z_mean.weight.copy_(torch.from_numpy((posterior / variance * loading).T))
        network.z_mean.bias.zero_()
        network.z_log_variance.weight.zero_()
        network.z_log_variance.bias.copy_(torch.from_numpy(np.log(posterior - 1e-4)))
    model = TrainedModel(network.eval(), [], [], 1.0)
    truth = -multivariate_normal(mean, loading @ loading.T + variance * np.eye(12)).logpdf(
        log_values(data).toarray()
    )
    np.testing.assert_allclose(importance_weighted_nll(model, data, n_draws=3), truth, rtol=1e-4)


def test_each_cell_has_its_score_whatever_the_blocks(pbmc, monkeypatch):
    data = modelled(pbmc, n_genes=30).take(np.arange(20))
    model = untrained(data, TrainOptions(n_latent=3))
    whole = reconstruction_nll(model, data)
    alone = [float(reconstruction_nll(model, data.take([i]))[0]) for i in range(20)]
    np.testing.assert_allclose(whole, alone, rtol=1e-5)
    scores = importance_weighted_nll(model, data, n_draws=50)
    monkeypatch.setattr(scoring, "_BLOCK_CELLS", 7)
    np.testing.assert_allclose(reconstruction_nll(model, data), whole, rtol=1e-6)
    # Other blocks, other draws: the scores move a little, and differ more between cells.
    blocks = importance_weighted_nll(model, data, n_draws=50)
    assert np.corrcoef(blocks, scores)[0, 1] > 0.95


def test_a_deterministic_model_has_no_evidence(pbmc):
    data = modelled(pbmc, n_genes=30)
    model = untrained(data, TrainOptions(preset="dca", n_latent=3))
    with pytest.raises(ValueError, match="has no p"):
        importance_weighted_nll(model, data)


@pytest.mark.parametrize("seed", [0, 1])
def test_draws_are_the_seeds(pbmc, seed):
    data = modelled(pbmc, n_genes=30).take(np.arange(20))
    model = untrained(data, TrainOptions(n_latent=3))
    one, two, other = (
        importance_weighted_nll(model, data, n_draws=3, seed=s) for s in (seed, seed, seed + 5)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.fixture
def halves():
    """Training and held-out cells; one gene is in no training cell, another in no cell at all."""
    rng = np.random.default_rng(0)
    means = rng.gamma(0.5, 2, size=12)
    depth = rng.lognormal(0, 0.4, size=80)
    counts = rng.negative_binomial(1.5, 1.5 / (1.5 + depth[:, None] * means))
    counts[:60, 3] = 0
    counts[60:, 3] = 1
    counts[:, 4] = 0
    data = ModelledCounts(sparse.csr_matrix(counts), depth / np.median(depth))
    return data.take(slice(0, 60)), data.take(slice(60, 80))


@pytest.mark.parametrize("library", ["observed", "size_factor"])
@pytest.mark.parametrize("likelihood", ["zinb", "nb", "poisson"])
def test_the_gene_means_alone_by_double_loops(halves, likelihood, library, monkeypatch):
    monkeypatch.setattr(scoring, "_BLOCK_CELLS", 7)
    training, held_out = halves
    options = TrainOptions(n_latent=2, likelihood=likelihood, library=library)
    network = untrained(training, options).network
    ours = gene_mean_nll(network, training, held_out)

    def libraries(data):
        if library == "observed":
            return [max(1, row.sum()) for row in data.X.toarray()]
        return data.size_factor.tolist()

    x, scale = training.X.toarray().astype(float), libraries(training)
    total = 0.0
    for j in range(12):
        share = x[:, j].sum() / sum(scale)
        # E[x^2] = mu + mu^2 (1 + 1/theta), summed over the cells.
        squares = sum((share * s) ** 2 for s in scale)
        over = ((x[:, j] ** 2).sum() - x[:, j].sum()) / squares - 1 if squares else -1
        theta = min(max(1 / max(over, 1e-4), 1e-3), 1e4)
        for row, s in zip(held_out.X.toarray(), libraries(held_out), strict=True):
            # A gene that was never seen counts half a molecule.
            mu = max(share, 0.5 / sum(scale)) * s
            if likelihood == "poisson":
                total += poisson.logpmf(row[j], mu)
            else:
                total += nbinom.logpmf(row[j], theta, theta / (theta + mu))
    assert ours == pytest.approx(-total / 20, rel=1e-4)


def test_the_gene_means_alone_of_log_values(halves):
    training, held_out = halves
    network = untrained(training, TrainOptions(n_latent=2, likelihood="gaussian")).network
    mean, variance = log_moments(training)
    values = np.log1p(held_out.X.toarray() / held_out.size_factor[:, None])
    expected = -norm.logpdf(values, mean, np.sqrt(variance)).sum(axis=1).mean()
    assert gene_mean_nll(network, training, held_out) == pytest.approx(expected, rel=1e-4)


def test_the_gene_medians_alone(halves):
    training, held_out = halves
    network = untrained(training, TrainOptions(n_latent=2, likelihood="laplace")).network
    values = np.log1p(training.X.toarray() / training.size_factor[:, None])
    median = np.median(values, axis=0)
    assert (median > 0).any()
    assert (median == 0).any()
    scale = np.abs(values - median).mean(axis=0)
    scale = (60 * scale + scale.mean()) / 61
    found = fit_log_values(training, "laplace")
    np.testing.assert_allclose(found, [median, scale], rtol=1e-5)
    values = np.log1p(held_out.X.toarray() / held_out.size_factor[:, None])
    expected = -laplace.logpdf(values, median, scale).sum(axis=1).mean()
    assert gene_mean_nll(network, training, held_out) == pytest.approx(expected, rel=1e-4)


def test_presence_by_its_most_probable_share(halves):
    training, held_out = halves
    network = untrained(training, TrainOptions(n_latent=2, likelihood="bernoulli")).network
    library = np.maximum(training.X.sum(axis=1).A1, 1)
    share = presence_share(training, library)
    present = training.X.toarray() > 0
    for j, s in enumerate(share):
        counted = np.clip(present[:, j].sum(), 0.5, 59.5)
        assert (1 - np.exp(-library * s)).sum() == pytest.approx(counted, rel=1e-6)
    present = held_out.X.toarray() > 0
    p = 1 - np.exp(-np.maximum(held_out.X.sum(axis=1).A1, 1)[:, None] * share)
    expected = -np.where(present, np.log(p), np.log(1 - p)).sum(axis=1).mean()
    assert gene_mean_nll(network, training, held_out) == pytest.approx(expected, rel=1e-4)


def test_a_multinomial_by_the_shares_of_all_cells(halves):
    training, held_out = halves
    network = untrained(training, TrainOptions(n_latent=2, likelihood="multinomial")).network
    total = training.X.sum(axis=0).A1
    share = np.maximum(total, 0.5)
    X = held_out.X.toarray()
    expected = -multinomial.logpmf(X, X.sum(axis=1), share / share.sum()).mean()
    assert gene_mean_nll(network, training, held_out) == pytest.approx(expected, rel=1e-4)


def test_moments_count_one_more_cell_of_the_mean_variance(halves, monkeypatch):
    training, _ = halves
    values = np.log1p(training.X.toarray() / training.size_factor[:, None])
    plain = values.var(axis=0)
    assert plain[3] == 0
    for chunk_bytes in (10**8, 1000):
        monkeypatch.setattr("scpress.settings.chunk_bytes", chunk_bytes)
        mean, variance = log_moments(training)
        np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(variance, (60 * plain + plain.mean()) / 61, rtol=1e-4)


def test_the_dispersion_by_moments_finds_the_one_that_was_drawn_with():
    rng = np.random.default_rng(1)
    library, theta = rng.uniform(50, 500, size=20_000), np.array([0.5, 2.0, 8.0])
    mu = library[:, None] * [0.01, 0.02, 0.005]
    X = sparse.csr_matrix(rng.negative_binomial(theta, theta / (theta + mu)))
    share = X.sum(axis=0).A1 / library.sum()
    data = ModelledCounts(X, library)
    np.testing.assert_allclose(1 / moment_theta(data, library, share), 1 / theta, atol=0.05)
    # Less spread than Poisson, or no molecule, has no dispersion: the end of the range.
    constant = sparse.csr_matrix(np.tile([2, 0, 0], (50, 1)))
    data = ModelledCounts(constant, np.ones(50))
    found = moment_theta(data, np.ones(50), np.array([2.0, 0.0, 0.0]))
    assert found[0] == pytest.approx(1e4, rel=1e-3)


def test_the_library_is_the_total_of_the_modelled_genes_or_the_size_factor():
    data = ModelledCounts(sparse.csr_matrix(np.array([[0, 0], [3, 4]])), np.array([0.1, 2.0]))
    assert library_of(data, "observed").tolist() == [1, 7]
    assert library_of(data, "size_factor").tolist() == [0.1, 2]
