"""A linear decoder's traversal is its loadings; any decoder's is what it expects at two places."""

import numpy as np
import pytest
from builders import modelled, untrained, with_covariates

from scpress.config.options import TrainOptions
from scpress.model.traversals import DEPTH, cells_of_depth, loadings, traverse

MOVED, FROM, TO = 1, -0.7, 1.1


def model_of(data, batches=(), covariates=(), **axes):
    """A model whose weights are drawn and whose numbers beside them are none of the usual ones."""
    options = TrainOptions(
        batch_key="batch" if batches else None,
        continuous_covariates=covariates,
        **({"n_latent": 3, "hidden": (8,)} | axes),
    )
    model = untrained(data, options, batches)
    model.median_library_size = 321.0
    model.batch_sizes = (10, 30) if batches else ()
    return model


@pytest.fixture(scope="module")
def data(simulated):
    return modelled(simulated, n_genes=30)


def moved(model, n_cells=5):
    """The latents of some cells with one dimension at its start and at its end."""
    z = np.random.default_rng(0).normal(size=(n_cells, model.n_latent)).astype(np.float32)
    start, end = z.copy(), z.copy()
    start[:, MOVED], end[:, MOVED] = FROM, TO
    return start, end


@pytest.mark.parametrize("preset", ["ldvae", "pca"])
def test_the_traversal_of_a_linear_decoder_is_its_loadings(data, preset):
    axes = {"hidden": ()} if preset == "pca" else {"library": "size_factor"}
    model = model_of(data, preset=preset, **axes)
    found = traverse(model, moved(model)).log2_fold_change
    expected = loadings(model)[:, MOVED] * (TO - FROM) / np.log(2)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found[1], expected, atol=1e-5)
    assert np.all(found[0] == 0)


def test_where_genes_share_molecules_the_loadings_are_left_but_for_one_number(data):
    model = model_of(data, preset="ldvae")
    assert model.config.library == "observed"
    found = traverse(model, moved(model)).log2_fold_change[1]
    differences = found - loadings(model)[:, MOVED] * (TO - FROM) / np.log(2)
    np.testing.assert_allclose(differences, differences[0], atol=1e-5)


@pytest.mark.parametrize("preset", ["scvi", "dca"])
def test_another_decoder_is_asked_for_what_it_expects(data, preset):
    model = model_of(data, preset=preset)
    assert loadings(model) is None
    start, end = moved(model)
    found = traverse(model, (start, end))
    before, after = (model.mean_counts(cells_of_depth(model, len(z)), z) for z in (start, end))
    changes = np.log2(after.astype(float) / before).mean(axis=0)
    np.testing.assert_allclose(found.log2_fold_change[1], changes, atol=1e-5)
    np.testing.assert_allclose(found.expected[1], after.mean(axis=0), rtol=1e-4)
    if preset == "scvi":
        np.testing.assert_allclose(found.expected.sum(axis=1), DEPTH, rtol=1e-4)


def test_log_values_expect_molecules_at_their_depth(data):
    model = model_of(data, preset="pca", hidden=())
    (z, _) = moved(model)
    found = traverse(model, (z,)).expected[0]
    at_median = model.mean_counts(cells_of_depth(model, len(z)), z)
    size_factor = DEPTH / model.median_library_size
    np.testing.assert_allclose(found, at_median.mean(axis=0), rtol=1e-4)
    assert float(cells_of_depth(model, 1).size_factor) == pytest.approx(size_factor)


def test_cells_are_of_the_largest_batch_and_of_the_mean_of_a_covariate(simulated):
    data = with_covariates(simulated)
    model = model_of(data, ("a", "b"), ("age",), preset="ldvae", encode_covariates=True)
    model.network.continuous_mean.fill_(5.0)
    cells = cells_of_depth(model, 3)
    assert cells.batch.tolist() == [1, 1, 1]
    assert cells.continuous.tolist() == [[0.0]] * 3
    assert loadings(model).shape == (200, 3)
    start, end = moved(model)
    changes = traverse(model, (start, end)).log2_fold_change[1]
    expected = loadings(model)[:, MOVED] * (TO - FROM) / np.log(2)
    np.testing.assert_allclose(changes - changes.mean(), expected - expected.mean(), atol=1e-4)
