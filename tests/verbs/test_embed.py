"""`embed`: what the step makes of the run's cells and of new ones; models of other genes."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from verbs.commands import DATA, MODEL, Case, mixed, of_run, run, truncated

from scpress.counts.frames import plain_frame
from scpress.io.h5ad import read_h5ad
from scpress.model.fitted import load_model
from scpress.steps.embed import embed


def other_genes(run_folder, folder):
    counts = ad.read_h5ad(run_folder / "counts.h5ad")
    counts.var = pd.DataFrame(index=[f"GENE{i}" for i in range(counts.n_vars)])
    counts.write_h5ad(folder / "other.h5ad")
    model = ["--model-file", run_folder / "model.safetensors"]
    return ["embed", "--counts", folder / "other.h5ad", *model]


CASES = [
    Case(
        "truncated_model",
        truncated("model.safetensors", "embed", *DATA, *MODEL),
        ("model.safetensors' is not a readable model file", "Train again"),
    ),
    Case(
        "no_model",
        of_run("embed", *DATA, "--model-file", "no.safetensors"),
        ("no such model file: 'no.safetensors'",),
    ),
    Case(
        "model_of_other_genes",
        other_genes,
        ("the model knows 100 genes and 100 of them are missing", "another gene list"),
    ),
    Case(
        "normalized_of_other_cells_embed",
        mixed("normalized.h5ad", "embed", *DATA, *MODEL),
        ("180", "90", "one run"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


WRITING = of_run("embed", *DATA, *MODEL)


def test_a_full_disk_is_one_line_and_leaves_the_old_file(require_full_disk_refused):
    require_full_disk_refused(WRITING)


def test_verb_names_the_latent_and_says_what_it_is_of(run_folder, tmp_path):
    words = of_run("embed", *DATA, *MODEL[:2], "--model", "mine")(run_folder, tmp_path)
    assert run([*words, "--output", tmp_path / "latent.h5ad"]) == 0
    written = read_h5ad(tmp_path / "latent.h5ad")
    counts, normalized = (read_h5ad(run_folder / f"{n}.h5ad") for n in ("counts", "normalized"))
    model = load_model(run_folder / "model.safetensors")
    expected = embed(counts, normalized, model, name="mine")
    np.testing.assert_array_equal(written.obsm["X_mine"], expected.obsm["X_mine"])
    pd.testing.assert_frame_equal(written.obs, plain_frame(expected.obs))
    assert written.obs["is_validation_mine"].any()
    assert written.uns["scpress"]["seed"] == 0


def test_new_cells_need_no_normalized(run_folder, tmp_path):
    words = of_run("embed", "--counts", "@s2.h5ad", *MODEL)(run_folder, tmp_path)
    assert run([*words, "--output", tmp_path / "latent.h5ad"]) == 0
    written, known = read_h5ad(tmp_path / "latent.h5ad"), read_h5ad(run_folder / "latent.h5ad")
    same = known[written.obs_names].obsm["X_pca"]
    np.testing.assert_allclose(written.obsm["X_pca"], same, rtol=1e-4, atol=1e-5)
    assert "is_validation_pca" not in written.obs
