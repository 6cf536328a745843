"""Drawn cells have the means, variances and zeros of the model's distribution."""

import dataclasses

import numpy as np
import pytest
from builders import briefly_trained, normalized_of
from scipy import sparse, stats

from scpress.config.generate import GenerateOptions
from scpress.errors import InputError
from scpress.model.fitted import TrainedModel
from scpress.steps.generate import generate

N_DRAWN = 4000


@pytest.fixture(scope="module")
def model(simulated):
    return briefly_trained(simulated, preset="scvi", hidden=(8,), n_latent=2)


def means_set(monkeypatch, mu, theta, pi):
    """Give every cell of a model one distribution."""
    n = len(mu)
    monkeypatch.setattr(TrainedModel, "mean_counts", lambda _, cells, z: np.tile(mu, (len(z), 1)))
    monkeypatch.setattr(TrainedModel, "log_theta", lambda *_: np.full((1, n), np.log(theta)))
    monkeypatch.setattr(
        TrainedModel, "extra_zero_fraction", lambda _, cells, z: np.full((len(z), n), pi)
    )


def test_drawn_counts_have_the_mean_variance_and_zeros_of_zinb(simulated, model, monkeypatch):
    mu = np.linspace(0.2, 8, model.config.n_genes)
    theta, pi = 2.0, 0.3
    means_set(monkeypatch, mu, theta, pi)
    X = generate(simulated, None, model, GenerateOptions(n_cells=N_DRAWN)).X
    assert sparse.isspmatrix_csr(X)
    assert X.dtype == np.int32
    found = X.toarray()
    np.testing.assert_allclose(found.mean(), ((1 - pi) * mu).mean(), rtol=0.01)
    second = (1 - pi) * (mu + mu**2 * (1 + 1 / theta))
    np.testing.assert_allclose(
        found.var(axis=0).mean(), (second - ((1 - pi) * mu) ** 2).mean(), rtol=0.03
    )
    zeros = pi + (1 - pi) * stats.nbinom(theta, theta / (theta + mu)).pmf(0)
    np.testing.assert_allclose((found == 0).mean(axis=0), zeros, atol=0.04)


def test_latents_are_of_the_posterior_or_of_the_prior(simulated, model, monkeypatch):
    seen = []
    real = TrainedModel.mean_counts
    monkeypatch.setattr(
        TrainedModel, "mean_counts", lambda m, cells, z: seen.append(z) or real(m, cells, z)
    )
    monkeypatch.setattr(
        TrainedModel,
        "encode",
        lambda _, cells: tuple(np.full((len(cells.total), 2), v, "f4") for v in (50, 3)),
    )
    for source, mean, deviation in (("posterior", 50, 3), ("prior", 0, 1)):
        seen.clear()
        generate(simulated, None, model, GenerateOptions(n_cells=2000, source=source))
        z = np.concatenate(seen)
        assert z.mean() == pytest.approx(mean, abs=0.05 * deviation)
        assert z.std() == pytest.approx(deviation, rel=0.05)


def test_cells_are_of_the_groups_and_batch_and_size_that_are_asked_for(simulated):
    counts = simulated.copy()
    counts.obs["donor"] = np.where(np.arange(counts.n_obs) % 3 == 0, "a", "b")
    model = briefly_trained(counts, preset="scvi", hidden=(8,), n_latent=2, batch_key="donor")
    sizes = normalized_of(counts)
    asked = GenerateOptions(n_cells=600, key="donor", groups=("a",), library_size=500, batch="b")
    drawn = generate(counts, sizes, model, asked)
    # Every given cell once before one is there twice.
    is_a = counts.obs["donor"] == "a"
    times = drawn.obs["drawn_from"].value_counts()
    assert set(times.index) == set(counts.obs_names[is_a])
    assert times.max() - times.min() <= 1
    assert set(drawn.obs["donor"]) == {"b"}
    assert list(drawn.var_names) == model.genes
    # Of the expected molecules the modelled genes have their share of the given cells'.
    X = counts[is_a, model.genes].X
    share = np.asarray(X.sum(axis=1)).ravel() / sizes.obs["library_size"].to_numpy()[is_a]
    assert drawn.X.sum() / 600 == pytest.approx(500 * share.mean(), rel=0.1)
    own = dataclasses.replace(asked, library_size=None, batch=None)
    drawn = generate(counts, sizes, model, own)
    assert set(drawn.obs["donor"]) == {"a"}
    assert drawn.X.sum() / 600 == pytest.approx(X.sum() / is_a.sum(), rel=0.15)


def test_a_seed_is_a_draw_and_the_record_says_that_it_is_one(simulated, model):
    options = GenerateOptions(n_cells=300)
    first = generate(simulated, None, model, options, seed=4)
    again = generate(simulated, None, model, options, seed=4)
    assert (first.X != again.X).nnz == 0
    other = generate(simulated, None, model, options, seed=5)
    assert (first.X != other.X).nnz > 0
    record = first.uns["simulation"]
    assert (record["seed"], record["options"]["n_cells"]) == (4, 300)
    assert (record["options"]["source"], record["likelihood"]) == ("posterior", "zinb")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"key": "label"}, "key is 'label' and groups has 0 values"),
        ({"key": "lable", "groups": ("a",)}, "key 'lable' is no obs column"),
        ({"key": "label", "groups": ("odd",)}, r"groups: no cell has 'odd' in obs\['label'\]"),
        ({"batch": "odd"}, "reference_batch must be one of the training batches"),
    ],
)
def test_cells_that_are_not_there_are_refused(simulated, model, changes, says):
    with pytest.raises(InputError, match=says):
        generate(simulated, None, model, GenerateOptions(n_cells=5, **changes))


def test_models_that_draw_nothing_are_refused(simulated):
    pca = briefly_trained(simulated, preset="pca", n_latent=2)
    with pytest.raises(InputError, match="likelihood 'gaussian' draws no counts"):
        generate(simulated, None, pca)
    dca = briefly_trained(simulated, preset="dca", hidden=(8,), n_latent=2)
    assert generate(simulated, None, dca, GenerateOptions(n_cells=5)).n_obs == 5
    with pytest.raises(InputError, match="the model's prior is 'none'"):
        generate(simulated, None, dca, GenerateOptions(n_cells=5, source="prior"))
