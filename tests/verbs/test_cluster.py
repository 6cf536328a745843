"""`cluster`: the file is what the step makes with the seed that was given."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from verbs.commands import Case, of_run, run

from scpress.config.options import ClusterOptions
from scpress.counts.frames import plain_frame
from scpress.io.h5ad import read_h5ad, write_h5ad
from scpress.steps.cluster import cluster
from scpress.tables import results

CASES = [
    Case(
        "not_the_models_latent",
        of_run("cluster", "--latent", "@latent.h5ad", "--model", "vae"),
        (r"obsm\['X_vae'\] is missing", "obsm holds X_pca"),
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
