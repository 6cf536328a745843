"""Held-out scores against exact evidence, scipy and double loops."""

import dataclasses

import numpy as np
import torch
from builders import briefly_trained, modelled
from scipy.stats import multivariate_normal

from scpress.config.options import TrainOptions
from scpress.model.axes import resolve_config
from scpress.model.fitted import TrainedModel
from scpress.model.network import CountAutoencoder
from scpress.model.scoring import importance_weighted_nll, log_values, reconstruction_nll


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
