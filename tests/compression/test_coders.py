"""The codes that are compared: each encodes, and decodes from what was stored alone."""

import numpy as np
import pytest
import torch
from builders import modelled, two_programs, untrained
from scipy import sparse

from scpress.compression import coders
from scpress.compression.distortion import poisson_deviance
from scpress.config.options import TrainOptions
from scpress.model.modelled import ModelledCounts


def all_coders(data):
    share = coders.fit_gene_shares(data)
    model = untrained(data, TrainOptions(preset="ldvae", n_latent=2, hidden=(8,)))
    return {
        "gene mean": coders.GeneMeanCoder(share),
        "pca": next(coders.fit_pca_coders(data, [2])),
        "nmf": coders.fit_nmf(data.X, share, 2),
        "model": coders.ModelCoder(model),
    }


def decoded(coder, data):
    library = coders.expand(coder.library(data))
    return coder.decode(coder.weights, library, coder.encode(data))


@pytest.mark.parametrize("name", ["gene mean", "pca", "nmf", "model"])
def test_a_code_decodes_to_positive_means_of_the_cells_totals(name):
    data, _ = two_programs()
    mu = decoded(all_coders(data)[name], data)
    assert mu.shape == data.X.shape
    assert (mu > 0).all()
    total = np.asarray(data.X.sum(axis=1)).ravel()
    np.testing.assert_allclose(mu.sum(axis=1), total, rtol=1e-3 if name != "nmf" else 0.1)


@pytest.mark.parametrize("name", ["pca", "nmf"])
def test_planted_programs_are_found_again(name):
    data, truth = two_programs()
    mu = decoded(all_coders(data)[name], data)
    assert np.median(np.abs(mu - truth) / truth) < 0.1
    rate = decoded(all_coders(data)["gene mean"], data)
    assert np.median(np.abs(rate - truth) / truth) > 0.3


def test_gene_shares_are_of_molecules_and_of_no_gene_zero():
    X = sparse.csr_matrix(np.array([[3, 0, 0], [0, 1, 0]], dtype=np.int32))
    share = coders.fit_gene_shares(ModelledCounts(X, np.ones(2)))
    np.testing.assert_allclose(share, [0.75, 0.25, 0.125])


def test_a_models_latent_is_moved_to_where_its_decoder_explains_more():
    data, _ = two_programs()
    coder = all_coders(data)["model"]
    model = coder.model
    before, _ = model.encode(data.cells_of(model))
    library = coders.expand(coder.library(data))
    after = coder.encode(data)
    deviances = [
        poisson_deviance(data.X, coder.decode(coder.weights, library, z)) for z in (before, after)
    ]
    assert deviances[1] < 0.99 * deviances[0]


def test_no_step_from_a_models_latent_explains_the_cell_better():
    data, _ = two_programs(n_obs=50)
    model = untrained(data, TrainOptions(preset="scvi", n_latent=2, hidden=(8,)))
    with torch.no_grad():
        model.network.pi_logits.weight.mul_(30)
        model.network.eta.weight.mul_(0.5)
    coder = coders.ModelCoder(model)
    library = coders.expand(coder.library(data))

    def cost(z):
        mu = coder.decode(coder.weights, library, z)
        return (mu - data.X.toarray() * np.log(mu)).sum(axis=1) + np.square(z).sum(axis=1) / 2

    z = coder.encode(data)
    for step in ([0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]):
        assert np.mean(cost(z) <= cost(z + np.array(step, dtype=np.float32))) > 0.95


def test_the_scale_of_nmfs_factors_does_not_matter():
    data, _ = two_programs()
    coder = all_coders(data)["nmf"]
    z, weights = coder.encode(data), coder.weights
    coder.nmf.components_[0] *= 10
    scaled = coders.NmfCoder(coder.nmf, coders.fit_gene_shares(data))
    np.testing.assert_allclose(scaled.weights["loadings"], weights["loadings"], rtol=1e-4)
    np.testing.assert_allclose(scaled.encode(data), z, atol=0.05)


def test_a_prior_keeps_the_latent_near_zero():
    data, _ = two_programs()
    free = untrained(data, TrainOptions(preset="ldvae", n_latent=2, hidden=(8,), prior="none"))
    held = untrained(data, TrainOptions(preset="ldvae", n_latent=2, hidden=(8,)))
    sizes = [np.square(coders.ModelCoder(model).encode(data)).mean() for model in (free, held)]
    assert sizes[1] < sizes[0]


def test_a_models_dispersion_is_not_stored(pbmc):
    data = modelled(pbmc, n_genes=30)
    for preset in ("scvi", "dca"):
        model = untrained(data, TrainOptions(preset=preset, hidden=(8,), n_latent=2))
        coder = coders.ModelCoder(model)
        assert set(model.decoder_state()) - set(coder.weights) <= {
            "log_theta",
            "log_theta.weight",
            "log_theta.bias",
        }
        assert not any("theta" in name for name in coder.weights)
        cells = data.cells_of(model)
        z = coder.encode(data)
        mu = model.mean_counts(cells, z) * (1 - model.extra_zero_fraction(cells, z))
        read = coder.decode(coder.weights, coders.expand(coder.library(data)), z)
        np.testing.assert_allclose(read, mu, rtol=2e-3)


def test_whole_numbers_are_compact_and_come_back():
    total = np.array([0, 7, 300], dtype=np.float64)
    assert coders.compact(total).dtype == np.uint16
    assert coders.compact(np.array([0.5, 2])).dtype == np.float16
    assert coders.compact(np.array([0.5, 1e6])).dtype == np.float32
    assert coders.compact(np.array([-1.0, 2])).dtype == np.float16
    read = coders.expand({"total": coders.compact(total), "batch": np.array([1], np.uint8)})
    np.testing.assert_array_equal(read["total"], total)
    assert (read["total"].dtype, read["batch"].dtype) == (np.float32, np.int64)


def test_ranks_of_pca_are_cut_from_one_fit():
    data, _ = two_programs()
    two, three = coders.fit_pca_coders(data, [2, 3])
    np.testing.assert_array_equal(three.weights["components"][:2], two.weights["components"])
    assert two.encode(data).shape == (400, 2)
