"""`reference` on the files of a run, and what `annotate` makes of it."""

import pickle

import anndata as ad
import numpy as np
import pytest
from builders import celltypist_model
from verbs.commands import DATA, Case, must, of_run

CASES = [
    Case(
        "no_column",
        of_run(
            "reference", *DATA, "--reference", "@s1_raw.h5ad", "--model-file", "@model.safetensors"
        ),
        ("labels_column 'cell_type' is not in obs",),
    ),
    Case(
        "no_model",
        of_run("reference", *DATA, "--reference", "@s1_raw.h5ad"),
        ("give --model-file",),
    ),
    Case(
        "no_pickle",
        of_run("reference", *DATA, "--reference", "absent.pkl"),
        ("absent.pkl",),
    ),
    Case(
        "not_named_yet",
        of_run(
            *("annotate", *DATA, "--clusters", "@clusters.h5ad", "--reference", "r.h5ad"),
            *("--markers", "m.tsv"),
        ),
        ("run `scpress reference` with it",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


def test_verb_and_what_annotate_makes_of_it(run_folder, tmp_path):
    words = of_run("reference", *DATA, "--reference", "@s1_raw.h5ad")(run_folder, tmp_path)
    words += ["--model-file", run_folder / "model.safetensors", "--labels-column", "bulk_labels"]
    must(words, tmp_path / "reference.h5ad")
    named = ad.read_h5ad(tmp_path / "reference.h5ad")
    words = of_run("annotate", *DATA, "--clusters", "@clusters.h5ad")(run_folder, tmp_path)
    words += ["--names", tmp_path / "reference.h5ad", "--markers", tmp_path / "m.tsv"]
    must([*words, "--min-confidence", "0.7"], tmp_path / "annotation.h5ad")
    found = ad.read_h5ad(tmp_path / "annotation.h5ad")
    sure = named.obs["cell_type_confidence"].to_numpy() >= 0.7
    assert 0 < sure.sum() < len(sure)
    expected = np.where(sure, named.obs["cell_type"].astype(str), "unassigned")
    assert (found.obs["cell_type"].astype(str) == expected).all()
    assert (found.obs["reference_p"] == named.obs["reference_p"]).all()
    record = found.uns["scpress"]["annotate"]
    assert record["reference"]["source"] == "s1_raw.h5ad"
    assert record["method"] == "labelled cells"


def test_verb_with_a_model_of_genes(run_folder, tmp_path):
    symbols = ad.read_h5ad(run_folder / "counts.h5ad").var["gene_symbol"].tolist()
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(celltypist_model(symbols[:4])))
    words = of_run("reference", *DATA, "--reference", str(path))(run_folder, tmp_path)
    must(words, tmp_path / "reference.h5ad")
    found = ad.read_h5ad(tmp_path / "reference.h5ad")
    assert set(found.obs["cell_type"]) <= {"B", "NK", "T"}
    assert found.uns["scpress"]["reference"]["n_missing_genes"] == 0
