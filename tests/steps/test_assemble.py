"""The joined AnnData: what scanpy does with it, whose columns are kept, and what is refused."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scpress import settings
from scpress.config.options import AssembleOptions
from scpress.counts.sizes import library_sizes, size_factors
from scpress.errors import InputError
from scpress.steps.assemble import _storable, assemble


def test_rows_of_numbers_are_stored_as_a_matrix_and_other_lists_by_number():
    assert _storable([[0.5, 1], (0.25, 0)]).tolist() == [[0.5, 1.0], [0.25, 0.0]]
    assert set(_storable([[1], [2, 3]])) == {"0", "1"}
    assert set(_storable([["a"], ["b"]])) == {"0", "1"}
    assert _storable({"views": [{"p": [[0.1, 0.9]], "none": None}]})["views"]["0"].keys() == {"p"}
    assert _storable([]).shape == (0,)


def results(counts, *, seed=0):
    """What the other steps would have made of some counts."""
    rng = np.random.default_rng(seed)
    names, n_obs = counts.obs_names, counts.n_obs
    sizes = library_sizes(counts.X)
    normalized = ad.AnnData(
        obs=pd.DataFrame({"library_size": sizes, "size_factor": size_factors(sizes)}, index=names),
        var=pd.DataFrame(
            {"highly_variable": np.arange(counts.n_vars) % 2 == 0}, index=counts.var_names
        ),
    )
    modelled = counts.var_names[::2]
    latent = ad.AnnData(
        obs=pd.DataFrame({"nll_m": rng.random(n_obs, dtype=np.float32)}, index=names),
        var=pd.DataFrame({"theta_m": np.ones(len(modelled), dtype=np.float32)}, index=modelled),
        obsm={"X_m": rng.normal(size=(n_obs, 4)).astype(np.float32)},
        uns={"scpress": {"model": "m", "seed": 3, "verdict": {"status": "ok", "why": None}}},
    )
    clusters = ad.AnnData(
        obs=pd.DataFrame(
            {"leiden": pd.Categorical((np.arange(n_obs) % 3).astype(str))}, index=names
        ),
        obsm={"X_umap": rng.normal(size=(n_obs, 2)).astype(np.float32)},
        uns={"scpress": {"cluster": {"chosen_resolution": 0.8, "tried": [{"a": 1}, {"a": None}]}}},
    )
    annotation = ad.AnnData(
        obs=pd.DataFrame(
            {
                "cell_type": pd.Categorical(np.where(np.arange(n_obs) % 3, "T cell", "unassigned")),
                "cell_type_confidence": rng.random(n_obs, dtype=np.float32),
            },
            index=names,
        ),
        uns={"scpress": {"annotate": {"panel": "immune"}}},
    )
    return normalized, {"m": latent}, clusters, annotation


@pytest.fixture(scope="module")
def users(simulated):
    """Counts of a user who has columns of the names we need."""
    counts = simulated.copy()
    del counts.uns["simulation"]
    counts.obs["leiden"] = pd.Categorical(np.where(np.arange(600) % 2, "mine", "yours"))
    counts.uns["leiden_colors"] = np.array(["#000000", "#ffffff"])
    counts.obsm["X_umap"] = np.ones((600, 2), dtype=np.float32)
    counts.obs["library_size"] = library_sizes(counts.X)
    counts.uns["scpress"] = {"genes_digest": "abc"}
    counts.uns["log1p"] = {"base": 2}
    return counts


@pytest.fixture(scope="module")
def joined(users):
    return assemble(users, *results(users))


@pytest.mark.parametrize("chunk_bytes", [20_000, 10**8])
def test_matrices_are_log_values_and_counts(users, monkeypatch, chunk_bytes):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    joined = assemble(users, *results(users))
    sizes = users.X.toarray().sum(axis=1)
    expected = np.log1p(users.X.toarray() / (sizes / np.median(sizes))[:, None])
    np.testing.assert_allclose(joined.X.toarray(), expected, rtol=1e-6)
    assert joined.X.dtype == np.float32
    assert joined.layers["counts"].dtype == np.int32
    assert (joined.layers["counts"] != users.X).nnz == 0


def test_everything_is_joined(joined):
    assert {"size_factor", "nll_m", "cell_type", "cell_type_confidence"} <= set(joined.obs)
    assert joined.obsm["X_m"].shape == (600, 4)
    record = joined.uns["scpress"]
    assert record["genes_digest"] == "abc"
    assert record["models"]["m"]["verdict"] == {"status": "ok"}
    assert record["cluster"]["chosen_resolution"] == 0.8
    assert record["annotate"] == {"panel": "immune"}


def test_genes_that_are_not_modelled_are_nan(joined):
    assert np.isnan(joined.var["theta_m"].to_numpy()[1::2]).all()
    assert (joined.var["theta_m"].to_numpy()[::2] == 1).all()


def test_columns_of_the_user_are_kept(users, joined):
    assert list(joined.obs["leiden_input"]) == list(users.obs["leiden"])
    assert list(joined.obs["leiden"].cat.categories) == ["0", "1", "2"]
    np.testing.assert_array_equal(joined.obsm["X_umap_input"], users.obsm["X_umap"])
    assert list(joined.uns["leiden_input_colors"]) == ["#000000", "#ffffff"]
    assert "leiden_colors" not in joined.uns
    assert (joined.uns["log1p_input"], joined.uns["log1p"]) == ({"base": 2}, {})


def test_equal_columns_are_not_doubled(joined):
    assert "library_size_input" not in joined.obs


def test_inputs_are_unchanged(users):
    before = users.copy()
    assemble(users, *results(users))
    pd.testing.assert_frame_equal(users.obs, before.obs)
    assert set(users.uns) == set(before.uns)
    assert set(users.obsm) == set(before.obsm)


def test_other_cells_are_an_error(users):
    normalized, latents, clusters, annotation = results(users)
    with pytest.raises(InputError, match="counts has 600 cells and cluster 600, not the same ones"):
        assemble(users, normalized, latents, clusters[::-1], annotation)
    strange = clusters.copy()
    strange.obs_names = [f"x{name}" for name in strange.obs_names]
    with pytest.raises(InputError, match="cell 1 is 'cell1' and 'xcell1'"):
        assemble(users, normalized, latents, strange, annotation)


def test_other_genes_are_an_error(users):
    normalized, latents, clusters, annotation = results(users)
    latents["m"].var_names = [f"x{name}" for name in latents["m"].var_names]
    with pytest.raises(InputError, match="not among the 300 genes"):
        assemble(users, normalized, latents, clusters, annotation)


def test_room_is_made_beside_what_is_already_kept(users):
    counts = users.copy()
    counts.obs["leiden_input"] = "older"
    joined = assemble(counts, *results(counts))
    assert set(joined.obs["leiden_input"]) == {"older"}
    assert list(joined.obs["leiden_input_input"]) == list(counts.obs["leiden"])


def test_columns_of_two_results_do_not_make_room_for_each_other(users):
    normalized, latents, clusters, annotation = results(users)
    subtypes = annotation.copy()
    subtypes.obs = pd.DataFrame(
        {"subtype": "a", "cell_type_confidence": np.float32(0.5)}, index=users.obs_names
    )
    joined = assemble(users, normalized, latents, clusters, annotation, subtypes)
    assert (joined.obs["cell_type_confidence"] == 0.5).all()
    assert "cell_type_confidence_input" not in joined.obs


def test_messages_of_all_steps_are_kept_once(users):
    normalized, latents, clusters, annotation = results(users)
    counts = users.copy()
    counts.uns["scpress"] = {"messages": np.array(["merged"])}
    normalized.uns["scpress"] = {"messages": np.array(["ranked", "merged"])}
    clusters.uns["scpress"]["messages"] = np.array(["clustered"])
    joined = assemble(counts, normalized, latents, clusters, annotation)
    assert list(joined.uns["scpress"]["messages"]) == ["merged", "ranked", "clustered"]


def models_of(users, **presets):
    """Latents of models of these presets, each with values of its own."""
    latents = {}
    for seed, (name, preset) in enumerate(presets.items()):
        latent = results(users, seed=seed)[1]["m"]
        latent.obs = latent.obs.rename(columns={"nll_m": f"nll_{name}"})
        latent.var = latent.var.rename(columns={"theta_m": f"theta_{name}"}) * (seed + 1)
        latent.obsm = {f"X_{name}": latent.obsm["X_m"]}
        latent.uns["scpress"] |= {"model": name, "options": {"preset": preset}}
        latents[name] = latent
    return latents


def joined_with(users, latents, primary=None, **asked):
    normalized, _, clusters, _ = results(users)
    if primary:
        clusters.uns["scpress"]["cluster"]["model"] = primary
    return assemble(users, normalized, latents, clusters, options=AssembleOptions(**asked))


@pytest.mark.parametrize(("primary", "chosen"), [(None, "ae"), ("vae", "ae"), ("late", "late")])
def test_dcas_keys_are_of_the_primary_model_or_of_the_first_of_its_preset(users, primary, chosen):
    latents = models_of(users, vae="scvi", ae="dca", late="dca")
    latents["late"].var["pi_mean_late"] = np.float32(0.25)
    joined = joined_with(users, latents, primary, dca_keys=True)
    np.testing.assert_array_equal(joined.obsm["X_dca"], latents[chosen].obsm[f"X_{chosen}"])
    pd.testing.assert_series_equal(
        joined.var["X_dca_dispersion"], joined.var[f"theta_{chosen}"], check_names=False
    )
    assert joined.var["X_dca_dispersion"].isna().sum() == 150  # genes that are not modelled
    assert ("X_dca_dropout" in joined.var) == (chosen == "late")
    assert "X_scVI" not in joined.obsm


def test_scvi_tools_key_is_of_the_model_of_its_preset(users):
    latents = models_of(users, ae="dca", vae="scvi")
    joined = joined_with(users, latents, scvi_keys=True)
    np.testing.assert_array_equal(joined.obsm["X_scVI"], latents["vae"].obsm["X_vae"])
    assert "X_dca" not in joined.obsm
    assert not {"X_dca", "X_scVI"} & set(joined_with(users, latents).obsm)


def test_keys_of_the_user_stay_until_theirs_are_asked_for(users):
    counts = users.copy()
    counts.obsm["X_dca"] = np.ones((600, 2), dtype=np.float32)
    latents = models_of(counts, ae="dca")
    untouched = joined_with(counts, latents)
    np.testing.assert_array_equal(untouched.obsm["X_dca"], counts.obsm["X_dca"])
    joined = joined_with(counts, latents, dca_keys=True)
    np.testing.assert_array_equal(joined.obsm["X_dca_input"], counts.obsm["X_dca"])
    np.testing.assert_array_equal(joined.obsm["X_dca"], latents["ae"].obsm["X_ae"])


def test_a_model_that_is_named_as_the_key_keeps_it(users):
    latents = models_of(users, ae="dca", dca="dca")
    with pytest.raises(InputError, match="of model 'ae' was asked for, and is the latent of model"):
        joined_with(users, latents, dca_keys=True)
    joined = joined_with(users, latents, "dca", dca_keys=True)
    np.testing.assert_array_equal(joined.obsm["X_dca"], latents["dca"].obsm["X_dca"])
    assert "X_dca_input" not in joined.obsm


@pytest.mark.parametrize("asked", ["dca_keys", "scvi_keys"])
def test_keys_without_a_model_of_their_preset_are_refused(users, asked):
    latents = models_of(users, linear="pca") | results(users)[1]
    with pytest.raises(InputError, match=r"no model is of it; found linear \(pca\), m \(None\)"):
        joined_with(users, latents, **{asked: True})
