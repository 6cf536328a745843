"""Denoised expression: expected molecules at a size factor of 1, in one batch."""

import dataclasses

import numpy as np
import pytest
from builders import briefly_trained, normalized_of

from scpress import settings
from scpress.config.options import DenoiseOptions
from scpress.errors import InputError
from scpress.model.modelled import modelled_counts
from scpress.steps.denoise import denoise, denoise_blocks


@pytest.fixture(scope="module")
def trained(simulated):
    return briefly_trained(simulated, batch_key="batch", max_steps=80)


def test_denoised_is_mu_over_the_size_factor_in_one_batch(simulated, trained):
    genes = (trained.genes[5], trained.genes[2])
    named = denoise(simulated, None, trained, DenoiseOptions(genes=genes))
    assert list(named.var_names) == list(genes)
    blocks = denoise_blocks(simulated, None, trained, DenoiseOptions())
    whole = np.concatenate([block for _, block in blocks])
    np.testing.assert_allclose(named.X, whole[:, [5, 2]], rtol=1e-5)
    # Expected molecules at a size factor of 1: they add up to about what was counted.
    library = normalized_of(simulated).obs["library_size"].to_numpy()
    columns = [simulated.var_names.get_loc(gene) for gene in trained.genes]
    counted = simulated.X[:, columns].sum(axis=1).A1 / (library / trained.median_library_size)
    assert np.corrcoef(whole.sum(axis=1), counted)[0, 1] > 0.5
    with pytest.raises(InputError, match="not modelled: nothing"):
        denoise(simulated, None, trained, DenoiseOptions(genes=("nothing",)))


def test_several_seeds_are_averaged_and_nothing_else_is(simulated, trained):
    other = briefly_trained(simulated, batch_key="batch", max_steps=20, seed=1)
    one, two = (denoise(simulated, None, model).X for model in (trained, other))
    assert not np.allclose(one, two, rtol=0.1)
    both = denoise(simulated, None, trained, others=[other])
    np.testing.assert_allclose(both.X, (one + two) / 2, rtol=1e-5)
    with pytest.raises(InputError, match=f"are of seed {trained.record.seed}"):
        denoise(simulated, None, trained, others=[trained])
    fewer = dataclasses.replace(other, genes=other.genes[::-1])
    with pytest.raises(InputError, match="differ in genes or options"):
        denoise(simulated, None, trained, others=[fewer])


def test_every_cell_is_decoded_in_the_reference_batch_whatever_its_own(simulated, trained):
    first, second = trained.config.batches
    swapped = simulated.copy()
    swapped.obs["batch"] = [first if b == second else second for b in simulated.obs["batch"]]
    found = {}
    for reference in (first, second):
        options = DenoiseOptions(reference_batch=reference)
        one, two = (denoise(cells, None, trained, options).X for cells in (simulated, swapped))
        np.testing.assert_array_equal(one, two)
        found[reference] = one
    assert not np.allclose(found[first], found[second], rtol=1e-3)
    largest = trained.config.batches[trained.reference_code(None)]
    np.testing.assert_array_equal(denoise(simulated, None, trained).X, found[largest])


def test_a_gene_is_named_by_id_or_by_a_symbol_of_its_own(simulated, trained):
    model = dataclasses.replace(trained, symbols=["A", "B", "B", *trained.symbols[3:]])
    options = DenoiseOptions(genes=("A", trained.genes[2]))
    assert denoise(simulated, None, model, options).var_names.tolist() == [
        trained.genes[0],
        trained.genes[2],
    ]
    with pytest.raises(InputError, match=r"not modelled: B\. A symbol of several genes"):
        denoise(simulated, None, model, DenoiseOptions(genes=("B",)))


@pytest.fixture(scope="module")
def of_dca(simulated):
    """A model as DCA's default is: theta and pi of every cell and gene."""
    return briefly_trained(simulated, preset="dca", batch_key="batch", max_steps=40)


@pytest.mark.parametrize("chunk_bytes", [20_000, 10**8])
def test_what_dca_gives_is_under_its_names(simulated, of_dca, monkeypatch, chunk_bytes):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    genes = (of_dca.genes[5], of_dca.genes[2])
    made = denoise(simulated, None, of_dca, DenoiseOptions(genes=genes, dca_keys=True))
    data = modelled_counts(simulated, None, of_dca)
    z = of_dca.encode(data.cells_of(of_dca))[0]
    data.batch[:] = of_dca.reference_code(None)
    cells = data.cells_of(of_dca)
    theta = np.exp(of_dca.log_theta(cells, z))[:, [5, 2]]
    pi = of_dca.extra_zero_fraction(cells, z)[:, [5, 2]]
    assert theta.std(axis=0).min() > 0
    np.testing.assert_allclose(made.obsm["X_dca"], z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made.obsm["X_dca_dispersion"], theta, rtol=1e-4)
    np.testing.assert_allclose(made.obsm["X_dca_dropout"], pi, rtol=1e-4)
    mean = np.exp(np.log(theta.astype(float)).mean(axis=0))
    np.testing.assert_allclose(made.var["X_dca_dispersion"], mean, rtol=1e-4)
    np.testing.assert_allclose(made.var["X_dca_dropout"], pi.mean(axis=0), rtol=1e-4)
    # DCA's own means are of the cell's size.
    mu = of_dca.mean_counts(cells, z)[:, [5, 2]]
    np.testing.assert_allclose(made.X * made.obs["size_factors"].to_numpy()[:, None], mu, rtol=1e-4)
    assert not denoise(simulated, None, of_dca, DenoiseOptions(genes=genes)).obsm


@pytest.mark.parametrize(
    ("likelihood", "keys"),
    [
        ("nb", {"X_dca_dispersion"}),
        ("poisson", set()),
        ("gaussian", set()),
        ("zinb", {"X_dca_dispersion", "X_dca_dropout"}),
    ],
)
def test_every_key_is_where_it_is_for_every_likelihood_that_has_it(simulated, likelihood, keys):
    """DCA has a dispersion that no cell changes in var alone."""
    changes = {"likelihood": likelihood, "dispersion": "gene", "max_steps": 20}
    model = briefly_trained(simulated, preset="dca", **changes)
    options = DenoiseOptions(genes=tuple(model.genes[:3]), dca_keys=True)
    made = denoise(simulated, None, model, options)
    assert set(made.obsm) == keys | {"X_dca"}
    assert set(made.var) == keys | {"gene_symbol"}
    for key in keys:
        assert made.obsm[key].shape == (600, 3)
    if keys:
        dispersion = made.obsm["X_dca_dispersion"]
        assert (dispersion == dispersion[0]).all()
        np.testing.assert_allclose(made.var["X_dca_dispersion"], dispersion[0], rtol=1e-6)
