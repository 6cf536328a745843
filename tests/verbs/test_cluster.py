"""`cluster`: the file is what the step makes with the seed that was given."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from verbs.commands import Case, of_run, run

from scpress.config.options import ClusterOptions
from scpress.counts.frames import plain_frame
from scpress.io.h5ad import read_h5ad, write_h5ad
from scpress.steps.choose import choose
from scpress.steps.cluster import cluster
from scpress.tables import results
from scpress.tables.scores import FoldScore, Predictor, Scores

CASES = [
    Case(
        "not_the_models_latent",
        of_run("cluster", "--latent", "@latent.h5ad", "--model", "vae"),
        (r"obsm\['X_vae'\] is missing", "obsm holds X_pca"),
    ),
    Case(
        "no_model", of_run("cluster", "--latent", "@latent.h5ad"), ("either --model or --choice",)
    ),
    Case(
        "latents_of_other_models",
        of_run("cluster", "--latent", "@latent.h5ad", "@latent.h5ad", "--model", "vae"),
        ("none of the 2 latents is of model 'vae'",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


def test_verb(tmp_path):
    rng = np.random.default_rng(0)
    points = 8 * np.eye(6)[rng.integers(0, 4, 400)] + rng.normal(size=(400, 6))
    obs = pd.DataFrame(index=[f"cell{number}" for number in range(400)])
    latent = ad.AnnData(obs=obs, obsm={"X_model": points.astype(np.float32)})
    write_h5ad(latent, tmp_path / "latent.h5ad")
    words = ["cluster", "--latent", tmp_path / "latent.h5ad", "--model", "model", "--no-umap"]
    words += ["--n-subsamples", "2", "--resolutions", "0.4", "--seed", "3"]
    assert run([*words, "--output", tmp_path / "clusters.h5ad"]) == 0
    written = read_h5ad(tmp_path / "clusters.h5ad")
    assert written.obs["leiden"].nunique() == 4
    assert "X_umap" not in written.obsm
    options = ClusterOptions(umap=False, n_subsamples=2, resolutions=(0.4,))
    expected = cluster(latent, options, model="model", seed=3)
    pd.testing.assert_frame_equal(written.obs, plain_frame(expected.obs))
    assert written.uns["scpress"]["cluster"]["seed"] == 3
    assert written.uns["scpress"]["cluster"]["n_seeds"] == 1
    assert (written.obsp["connectivities"] != expected.obsp["connectivities"]).nnz == 0
    results.CLUSTERS.require(written, "the file")


def test_the_latents_of_all_seeds_are_used_and_the_first_is_delivered(tmp_path):
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(index=[f"cell{number}" for number in range(60)])
    points = 8 * np.eye(3)[rng.integers(0, 3, 60)] + rng.normal(size=(60, 3))
    latents = [ad.AnnData(obs=obs, obsm={"X_m": points}), ad.AnnData(obs=obs)]
    latents[1].obsm["X_m"] = rng.normal(size=(60, 3))
    paths = [tmp_path / f"{number}.h5ad" for number in range(2)]
    for latent, path in zip(latents, paths, strict=True):
        write_h5ad(latent, path)
    words = ["--model", "m", "--no-umap", "--n-subsamples", "4", "--resolutions", "0.4"]
    assert run(["cluster", "--latent", *paths, *words, "--output", tmp_path / "clusters.h5ad"]) == 0
    written = read_h5ad(tmp_path / "clusters.h5ad")
    results.CLUSTERS.require(written, "the file")
    options = ClusterOptions(umap=False, n_subsamples=4, resolutions=(0.4,))
    expected = cluster(latents[0], options, model="m", others=latents[1:])
    pd.testing.assert_frame_equal(written.obs, plain_frame(expected.obs))
    assert written.uns["scpress"]["cluster"]["n_seeds"] == 2
    assert (written.obsp["connectivities"] != expected.obsp["connectivities"]).nnz == 0


def test_the_chosen_models_latent_is_clustered(tmp_path):
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(index=[f"cell{number}" for number in range(60)])
    for name in ("a", "b"):
        points = rng.normal(size=(60, 3)).astype(np.float32)
        write_h5ad(ad.AnnData(obs=obs, obsm={f"X_{name}": points}), tmp_path / f"{name}.h5ad")
    table = {"digest": "d", "n_cells": 60, "n_genes": 3, "n_molecules": 5}
    levels = {"observed_zeros": (0.9,), "mean_by_level": (0.1,)}
    tables = {}
    for name, loss in (("a", 9.0), ("b", 1.0), ("gene means", 5.0)):
        fold = FoldScore(
            poisson=(loss, loss),
            nb=(loss, loss),
            log_mse=1.0,
            poisson_by_level=(loss,),
            expected_zeros=(0.9,),
            dispersion=(1.0,),
        )
        tables[name] = Scores(**table, **levels, predictors=(Predictor(name=name, folds=(fold,)),))
    choice = choose([tables["a"], tables["b"]], tables["gene means"])
    (tmp_path / "choice.json").write_text(json.dumps(choice.as_plain()))
    words = ["cluster", "--latent", tmp_path / "a.h5ad", tmp_path / "b.h5ad", "--no-umap"]
    words += ["--n-subsamples", "2", "--resolutions", "0.4", "--choice", tmp_path / "choice.json"]
    assert run([*words, "--output", tmp_path / "clusters.h5ad"]) == 0
    record = read_h5ad(tmp_path / "clusters.h5ad").uns["scpress"]["cluster"]
    assert record["model"] == "b"
    # Both at once say two things.
    assert run([*words, "--model", "a", "--output", tmp_path / "clusters.h5ad"]) == 2
