"""The latent of cells that were trained on, of new ones, and of other gene lists."""

import numpy as np
import pytest
import torch
from builders import briefly_trained, normalized_of

from scpress.config.options import EmbedOptions
from scpress.errors import InputError
from scpress.steps.embed import embed, modelled_blocks


@pytest.fixture(scope="module")
def trained(simulated):
    return briefly_trained(simulated, batch_key="batch", max_steps=80)


def test_embed_of_the_training_cells_equals_a_direct_pass(simulated, trained):
    latent = embed(simulated, normalized_of(simulated), trained, name="vae")
    columns = [simulated.var_names.get_loc(gene) for gene in trained.genes]
    library = normalized_of(simulated).obs["library_size"].to_numpy()
    codes = trained.batch_codes(simulated.obs)
    cells = trained.cells(
        simulated.X[:, columns], library / trained.median_library_size, codes, None
    )
    mean, sd = trained.encode(cells)
    np.testing.assert_allclose(latent.obsm["X_vae"], mean, atol=1e-5)
    np.testing.assert_allclose(latent.obsm["X_vae_sd"], sd, atol=1e-5)
    nll = -trained.log_likelihood(cells, mean)
    np.testing.assert_allclose(latent.obs["nll_vae"], nll, rtol=1e-4)
    assert latent.var["theta_vae"].between(1e-3, 1e4).all()
    assert latent.var["pi_mean_vae"].between(0, 1).all()
    assert latent.uns["scpress"]["verdict"]["n_steps"] == 80


def test_embed_does_not_depend_on_the_block_size(simulated, trained, monkeypatch):
    whole = embed(simulated, None, trained).obsm["X_model"]
    monkeypatch.setattr("scpress.settings.chunk_bytes", 20_000)
    np.testing.assert_allclose(embed(simulated, None, trained).obsm["X_model"], whole, atol=1e-5)


def test_new_cells_are_matched_by_gene_id_whatever_the_order(simulated, trained):
    whole = embed(simulated, None, trained).obsm["X_model"]
    order = np.random.default_rng(0).permutation(simulated.n_vars)
    shuffled = simulated[:, order].copy()
    # The library is the cell's total over the same genes, so nothing else may change.
    np.testing.assert_allclose(embed(shuffled, None, trained).obsm["X_model"], whole, atol=1e-5)


def test_missing_genes_are_named_and_limited(simulated, trained, caplog):
    lacking = simulated[:, [g for g in simulated.var_names if g != trained.genes[3]]].copy()
    with caplog.at_level("INFO", logger="scpress"):
        embed(lacking, None, trained)
    assert trained.genes[3] in caplog.text
    with pytest.raises(InputError, match=trained.genes[3]):
        embed(lacking, None, trained, EmbedOptions(max_missing_fraction=0.0))
    foreign = simulated.copy()
    foreign.var_names = [f"other{i}" for i in range(foreign.n_vars)]
    foreign.var["gene_symbol"] = foreign.var_names
    with pytest.raises(InputError, match="another gene list"):
        embed(foreign, None, trained)


def test_cells_that_were_held_out_are_marked_among_those_of_the_training(simulated, trained):
    normalized = normalized_of(simulated)
    marked = embed(simulated, normalized, trained).obs["is_validation_model"]
    assert np.flatnonzero(marked).tolist() == trained.validation_cells.tolist()
    # Other cells have other positions.
    fewer = embed(simulated[:-1].copy(), normalized[:-1].copy(), trained)
    assert "is_validation_model" not in fewer.obs


def test_what_differs_by_cell_is_averaged_over_all_cells(simulated, monkeypatch):
    model = briefly_trained(simulated, dispersion="gene-cell")
    with torch.no_grad():
        model.network.log_theta.weight.normal_()
        model.network.pi_logits.weight.normal_()
    normalized = normalized_of(simulated)
    ((_, block),) = modelled_blocks(simulated, normalized, model)
    cells = block.cells_of(model)
    z = model.encode(cells)[0]
    monkeypatch.setattr("scpress.settings.chunk_bytes", 20_000)
    var = embed(simulated, normalized, model).var
    theta = np.exp(model.log_theta(cells, z).astype(np.float64).mean(axis=0))
    np.testing.assert_allclose(var["theta_model"], theta, rtol=1e-4)
    pi = model.extra_zero_fraction(cells, z).astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(var["pi_mean_model"], pi, rtol=1e-4)


def test_a_cell_without_molecules_is_scored(simulated, trained):
    empty = simulated[:3].copy()
    empty.X = empty.X * 0
    latent = embed(empty, None, trained)
    assert np.isfinite(latent.obsm["X_model"]).all()
    assert np.isfinite(latent.obs["nll_model"]).all()
