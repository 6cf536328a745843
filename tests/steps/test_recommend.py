"""Counts that were hidden on purpose are predicted, scored and ranked; steps know of the gaps."""

import dataclasses

import numpy as np
import pytest
from builders import brief_options, normalized_of, panels_of
from scipy.stats import nbinom

from scpress.config.options import DenoiseOptions
from scpress.config.recommend import RecommendOptions
from scpress.counts.measured import measured_in
from scpress.errors import InputError
from scpress.model.fitted import load_model
from scpress.model.modelled import modelled_counts
from scpress.steps.denoise import denoise
from scpress.steps.embed import embed
from scpress.steps.recommend import recommend, score_imputation
from scpress.steps.train import train


@pytest.fixture(scope="module")
def panels(simulated):
    return panels_of(simulated)


@pytest.fixture(scope="module")
def model(panels):
    options = brief_options(
        likelihood="nb", max_steps=300, validate_every=50, learning_rate=5e-3, batch_key="sample"
    )
    return train(*panels, options, device="cpu")[0]


@pytest.fixture(scope="module")
def recommended(panels, model):
    return recommend(
        *panels,
        [model],
        RecommendOptions(n_genes=30, n_neighbors=5, reference_batch="whole"),
    )


def test_a_model_of_all_samples_predicts_hidden_counts_better_than_gene_means(recommended):
    record = recommended.uns["scpress"]["recommend"]
    assert record["predictors"] == ["model", "gene means", "neighbors"]
    assert record["explained"][1] == 0
    assert record["explained"][0] > 0.02
    assert record["recall"][0] > record["recall"][1]
    assert record["n_genes"] == 60
    entries = recommended.var["imputation_entries"].to_numpy()
    explained = recommended.var["imputation_explained"].to_numpy()
    assert ((entries > 0) == np.isfinite(explained)).all()
    assert (entries > 0).sum() == 60


def test_only_genes_that_a_cell_was_not_measured_for_are_named_the_most_probable_first(
    panels, model, recommended
):
    counts, normalized = panels
    named, p = recommended.obsm["recommended"], recommended.obsm["recommended_p"]
    whole = counts.obs["sample"].to_numpy() == "whole"
    assert (named[whole] == -1).all()
    assert np.isnan(p[whole]).all()
    measured = measured_in(counts)
    for cell in np.flatnonzero(~whole)[:20]:
        assert not measured.mask(slice(cell, cell + 1))[0, named[cell]].any()
    assert (np.diff(p[~whole], axis=1) <= 0).all()
    # By the model's own distribution, in the batch that measured the genes.
    denoised = denoise(counts, normalized, model, DenoiseOptions(impute=True))
    cell = int(np.flatnonzero(~whole)[3])
    mu = denoised.X[cell] * normalized.obs["size_factor"].iloc[cell]
    theta = np.exp(model.network.log_theta.detach().numpy()[0])
    present = 1 - nbinom.pmf(0, theta, theta / (theta + mu))
    np.testing.assert_allclose(p[cell], present[named[cell]], rtol=1e-3)
    absent = ~measured.mask(slice(cell, cell + 1))[0]
    assert set(named[cell]) == set(np.flatnonzero(absent)[np.argsort(-present[absent])[:30]])


def test_denoised_values_are_missing_unless_they_are_asked_for(panels, model):
    counts, normalized = panels
    mask = measured_in(counts).mask()
    plain = denoise(counts, normalized, model)
    np.testing.assert_array_equal(np.isnan(plain.X), ~mask)
    imputed = denoise(counts, normalized, model, DenoiseOptions(impute=True))
    np.testing.assert_array_equal(imputed.X[mask], plain.X[mask])
    assert (imputed.X > 0).all()
    assert imputed.var["imputation_explained"].notna().sum() == 60
    with pytest.raises(InputError, match="found new cells"):
        denoise(counts, None, model, DenoiseOptions(impute=True))


def test_a_gene_is_decoded_where_it_was_measured_whatever_the_reference(panels, model):
    found = [
        denoise(*panels, model, DenoiseOptions(impute=True, reference_batch=batch)).X
        for batch in ("whole", "panel")
    ]
    everywhere = measured_in(panels[0]).everywhere
    np.testing.assert_array_equal(found[0][:, ~everywhere], found[1][:, ~everywhere])
    assert not np.allclose(found[0][:, everywhere], found[1][:, everywhere], rtol=1e-3)


def test_new_cells_of_fewer_genes_are_read_as_not_measured(panels, model):
    counts, normalized = panels
    of_all = embed(counts, normalized, model)
    panel = counts[counts.obs["sample"] == "panel"].copy()
    fewer = panel[:, panel.varm["measured"][:, 1]].copy()
    del fewer.varm["measured"]
    options = dataclasses.replace(DenoiseOptions(), max_missing_fraction=0.5)
    latent = embed(fewer, None, model, options).obsm["X_model"]
    at = counts.obs_names.get_indexer(fewer.obs_names)
    np.testing.assert_allclose(latent, of_all.obsm["X_model"][at], atol=1e-5)
    assert not np.allclose(
        latent, _as_zeros(panel, model), atol=0.05
    )  # what zeros would have given


def _as_zeros(panel, model):
    plain = panel.copy()
    del plain.varm["measured"]
    return embed(plain, None, model).obsm["X_model"]


def test_the_file_of_a_model_keeps_what_was_measured(panels, model, tmp_path):
    model.save(tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert loaded.config == model.config
    assert loaded.config.masked
    panel = loaded.config.batches.index("panel")
    np.testing.assert_array_equal(
        loaded.network.measured.numpy()[panel], panels[0].varm["measured"][:, 1]
    )
    assert loaded.network.measured[1 - panel].all()


def test_a_model_of_complete_counts_refuses_gaps_in_its_genes(simulated, panels):
    counts, normalized = panels
    whole = simulated[:, counts.var_names].copy()
    options = brief_options(allow_failed_fit=True, max_steps=20)
    plain, _ = train(whole, normalized_of(whole), options, device="cpu")
    with pytest.raises(InputError, match="not measured in all samples, and the model was trained"):
        modelled_counts(counts, normalized, plain)
    with pytest.raises(InputError, match=r"nothing to recommend\. Merge"):
        recommend(whole, normalized, [plain])


def test_cells_of_another_training_are_not_scored(panels, model):
    counts, normalized = panels
    some = np.arange(0, 599)
    with pytest.raises(InputError, match="trained on 600 cells and there are 599"):
        score_imputation(counts[some].copy(), normalized[some].copy(), [model])


@pytest.mark.parametrize("options", [{"preset": "pca"}, {"preset": "contractive"}])
def test_what_needs_all_genes_is_refused(panels, options):
    with pytest.raises(InputError, match="needs every gene measured in every cell"):
        train(*panels, brief_options(**options), device="cpu")
