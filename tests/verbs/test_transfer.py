"""`transfer` on the files of a run: new cells are named by its labels."""

import anndata as ad
import numpy as np
import pytest
from verbs.commands import DATA, Case, must, of_run

from scpress.model.fitted import load_model

MODEL = ("--model-file", "@model.safetensors", "--output-model", "m.safetensors")
OF_LABELS = ("--labels-column", "label")
CASES = [
    Case("no_query", of_run("transfer", *DATA, *MODEL, *OF_LABELS), ("there is no query",)),
    Case(
        "no_labels",
        of_run("transfer", *DATA, *MODEL, "--query", "@s2_raw.h5ad"),
        ("give --labels-column or --annotation",),
    ),
    Case(
        "other_genes",
        of_run("transfer", *DATA, *MODEL, *OF_LABELS, "--query", "@latent.h5ad"),
        ("latent.h5ad",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


def test_verb(run_folder, tmp_path):
    words = of_run("transfer", *DATA, *OF_LABELS, "--query", "@s2_raw.h5ad")(run_folder, tmp_path)
    flags = ("--preset", "dca", "--hidden", "8", "--n-latent", "4", "--batch-key", "null")
    flags += ("--max-steps", "60", "--validate-every", "20", "--allow-failed-fit")
    training = of_run("train", *DATA, *flags)(run_folder, tmp_path)
    must([*training, "--history", tmp_path / "h.tsv"], tmp_path / "one.safetensors")
    words += ["--model-file", tmp_path / "one.safetensors", "--model", "dca", "--max-steps", "20"]
    must([*words, "--output-model", tmp_path / "wide.safetensors"], tmp_path / "transfer.h5ad")
    found = ad.read_h5ad(tmp_path / "transfer.h5ad")
    query = ad.read_h5ad(run_folder / "s2_raw.h5ad")
    assert found.obs_names.tolist() == [f"query_{name}" for name in query.obs_names]
    assert np.isfinite(found.obsm["X_dca"]).all()
    assert load_model(tmp_path / "wide.safetensors").config.batches == ("reference", "query")
    assert found.uns["scpress"]["transfer"]["model"] == "dca"
