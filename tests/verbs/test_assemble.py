"""`assemble`: the streamed file is what the step makes, and scanpy uses it."""

import json
from dataclasses import replace

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import scanpy as sc
import torch

from scpress import settings
from scpress.counts.frames import plain_frame
from scpress.io.h5ad import read_h5ad, write_h5ad
from scpress.model.fitted import load_model
from scpress.steps.assemble import assemble
from scpress.steps.denoise import denoise

mpl.use("Agg")
import pytest
from verbs.commands import DATA, Case, mixed, of_run, run

CASES = [
    Case(
        "latent_of_other_cells",
        mixed(
            "latent.h5ad",
            "assemble",
            *DATA,
            "--latents",
            "@latent.h5ad",
            "--clusters",
            "@clusters.h5ad",
        ),
        ("counts has 180 cells and latent of pca 90", "Give files of one run"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


WRITING = of_run("assemble", *DATA, "--latents", "@latent.h5ad", "--clusters", "@clusters.h5ad")


def test_a_full_disk_is_one_line_and_leaves_the_old_file(require_full_disk_refused):
    require_full_disk_refused(WRITING)


@pytest.fixture
def inputs(run_folder, tmp_path):
    """The run's files with types and a layout, and the command that joins them."""
    names = ("counts", "normalized", "latent", "clusters")
    parts = {name: read_h5ad(run_folder / f"{name}.h5ad") for name in names}
    clusters, n_obs = parts["clusters"], parts["counts"].n_obs
    layout = np.random.default_rng(0).normal(size=(n_obs, 2))
    clusters.obsm["X_umap"] = layout.astype(np.float32)
    clusters.write_h5ad(tmp_path / "clusters.h5ad")
    types = np.where(np.arange(n_obs) % 3, "T cell", "unassigned")
    obs = pd.DataFrame({"cell_type": pd.Categorical(types)}, index=clusters.obs_names)
    parts["annotation"] = ad.AnnData(obs=obs)
    parts["annotation"].write_h5ad(tmp_path / "annotation.h5ad")
    words = of_run("assemble", *DATA, "--latents", "@latent.h5ad")(run_folder, tmp_path)
    words += ["--clusters", tmp_path / "clusters.h5ad"]
    words += ["--annotation", tmp_path / "annotation.h5ad"]
    return parts, [*words, "--output", tmp_path / "scpress.h5ad"]


def joined_of(parts):
    counts, normalized, latent, clusters, annotation = parts.values()
    return assemble(counts, normalized, {"pca": latent}, clusters, annotation)


def test_verb_streams_what_the_step_makes_and_scanpy_uses_it(inputs, tmp_path, monkeypatch):
    parts, words = inputs
    joined = joined_of(parts)
    # Many blocks: later ones must have their own cells' size factors.
    monkeypatch.setattr(settings, "chunk_bytes", 20_000)
    assert run(words) == 0
    written = sc.read_h5ad(tmp_path / "scpress.h5ad")
    assert (written.X != joined.X).nnz == 0
    assert (written.layers["counts"] != joined.layers["counts"]).nnz == 0
    assert written.layers["counts"].dtype == np.int32
    pd.testing.assert_frame_equal(plain_frame(written.obs), plain_frame(joined.obs))
    assert list(written.var) == list(joined.var)
    assert written.uns["scpress"]["models"]["pca"]["model"] == "pca"

    sc.pl.umap(written, color=["leiden", "cell_type", written.var_names[0]], show=False)
    sc.tl.rank_genes_groups(written, "cell_type", method="wilcoxon")
    sc.pp.neighbors(written, use_rep="X_pca")
    sc.tl.dendrogram(written, "cell_type", use_rep="X_pca")
    written.write_h5ad(tmp_path / "again.h5ad")
    again = sc.read_h5ad(tmp_path / "again.h5ad")
    assert (again.X != joined.X).nnz == 0


def test_what_verbs_of_donors_say_is_in_uns(inputs, tmp_path):
    _, words = inputs
    plain = {"donor_key": "donor", "split_by": "", "types": ["T", "B"], "min_type_cells": 3}
    plain |= {"model": "", "left_out": ["d3 (2 cells)"], "varying": [], "varying_example": []}
    donors = ad.AnnData(np.ones((2, 1), dtype=np.int64), uns={"scpress": {"cohort": plain}})
    write_h5ad(donors, tmp_path / "cohort.h5ad")
    tested = {"cell_type": "T", "n_reference": 3, "n_case": 4, "n_genes": 9, "n_found": 1}
    record = {"condition_key": "sex", "levels": ["f", "m"], "held_constant": [], "max_fdr": 0.05}
    record["types"] = [tested | {"reason": ""}]
    (tmp_path / "biomarkers.json").write_text(json.dumps(record))
    nothing = {"donor_key": "donor", "n_donors": 2, "verdict": "none.", "view": "", "views": []}
    nothing |= {"donor": ["d1", "d2"], "donor_subtype": ["all"] * 2, "confidence": None}
    (tmp_path / "subtypes.json").write_text(json.dumps(nothing | {"associations": []}))
    given = ["--cohort", tmp_path / "cohort.h5ad", "--biomarkers", tmp_path / "biomarkers.json"]
    given += ["--donor-subtypes", tmp_path / "subtypes.json"]
    assert run([*words, *given]) == 0
    says = sc.read_h5ad(tmp_path / "scpress.h5ad").uns["scpress"]
    assert says["cohort"]["left_out"].tolist() == ["d3 (2 cells)"]
    assert says["biomarkers"]["types"]["0"]["n_found"] == 1
    assert says["donor_subtypes"]["donor_subtype"].tolist() == ["all", "all"]
    assert "confidence" not in says["donor_subtypes"]
    assert "survival" not in says


def test_denoised_layer_needs_a_model(inputs, tmp_path, capsys):
    _, words = inputs
    assert run([*words, "--denoised-layer"]) == 2
    assert "--model-file" in capsys.readouterr().err
    assert not (tmp_path / "scpress.h5ad").exists()


def test_denoised_layer_is_the_model_s(inputs, run_folder, tmp_path):
    parts, words = inputs
    path = run_folder / "model.safetensors"
    assert run([*words, "--denoised-layer", "--model-file", path]) == 0
    layer = sc.read_h5ad(tmp_path / "scpress.h5ad").layers["denoised"]
    model = load_model(path)
    modelled = parts["counts"].var_names.isin(model.genes)
    assert 0 < modelled.sum() < len(modelled)
    assert np.isnan(layer[:, ~modelled]).all()
    expected = denoise(parts["counts"], parts["normalized"], model)
    columns = parts["counts"].var_names.get_indexer(expected.var_names)
    np.testing.assert_allclose(layer[:, columns], expected.X, rtol=1e-5)


def test_keys_of_a_preset_that_no_model_has_are_one_line(inputs, tmp_path, capsys):
    _, words = inputs
    assert run([*words, "--scvi-keys"]) == 2
    assert "no model is of it; found pca (pca)" in capsys.readouterr().err
    assert not (tmp_path / "scpress.h5ad").exists()


def test_scanpy_finds_scvi_tools_latent_where_it_looks(inputs, run_folder, tmp_path):
    """Whatever the model is named."""
    parts, words = inputs
    latent = parts["latent"].copy()
    latent.uns["scpress"]["options"]["preset"] = "scvi"
    latent.write_h5ad(tmp_path / "latent.h5ad")
    words[words.index(run_folder / "latent.h5ad")] = tmp_path / "latent.h5ad"
    assert run([*words, "--scvi-keys"]) == 0
    written = sc.read_h5ad(tmp_path / "scpress.h5ad")
    np.testing.assert_array_equal(written.obsm["X_scVI"], latent.obsm["X_pca"])
    sc.pp.neighbors(written, use_rep="X_scVI")


def test_of_several_models_the_clustered_one_denoises(inputs, run_folder, tmp_path, capsys):
    _, words = inputs
    path = run_folder / "model.safetensors"
    other = load_model(path)
    other.record = replace(other.record, model="other")
    with torch.no_grad():
        other.network.eta.bias.zero_()
    other.save(tmp_path / "other.safetensors")
    layers = []
    for files in ([path], [tmp_path / "other.safetensors", path]):
        assert run([*words, "--denoised-layer", "--model-file", *files]) == 0
        layers.append(sc.read_h5ad(tmp_path / "scpress.h5ad").layers["denoised"])
    np.testing.assert_array_equal(layers[0], layers[1])
    refused = {(path, path): "two of the models to average are of seed 0. Give one of each."}
    refused |= {(tmp_path / "other.safetensors",) * 2: "none of the model files is of 'pca'."}
    for files, message in refused.items():
        assert run([*words, "--denoised-layer", "--model-file", *files]) == 2
        assert message in capsys.readouterr().err


def test_the_denoised_layer_is_the_mean_of_all_seeds(inputs, run_folder, tmp_path):
    _, words = inputs
    model = load_model(run_folder / "model.safetensors")
    model.record = replace(model.record, seed=1)
    with torch.no_grad():
        model.network.eta.bias.add_(1.0)
    model.save(tmp_path / "1.safetensors")
    layers = []
    files = [run_folder / "model.safetensors", tmp_path / "1.safetensors"]
    for chosen in (files[:1], files[1:], files):
        assert run([*words, "--denoised-layer", "--model-file", *chosen]) == 0
        layers.append(sc.read_h5ad(tmp_path / "scpress.h5ad").layers["denoised"])
    assert not np.allclose(layers[0], layers[1], equal_nan=True)
    np.testing.assert_allclose(layers[2], (layers[0] + layers[1]) / 2, rtol=1e-5)


def test_twice_the_same_model_is_an_error(inputs, run_folder, capsys):
    _, words = inputs
    at = words.index(run_folder / "latent.h5ad")
    assert run([*words[:at], words[at], *words[at:]]) == 2
    assert "two latents are of model 'pca'" in capsys.readouterr().err


def test_a_latent_without_a_name_is_an_error(inputs, run_folder, tmp_path, capsys):
    parts, words = inputs
    ad.AnnData(obs=parts["counts"].obs[[]]).write_h5ad(tmp_path / "latent.h5ad")
    words[words.index(run_folder / "latent.h5ad")] = tmp_path / "latent.h5ad"
    assert run(words) == 2
    assert "does not say its model" in capsys.readouterr().err
