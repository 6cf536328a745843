"""`ensemble` on the files of a run: the models that `score` kept."""

import json

import pytest
from verbs.commands import DATA, Case, must, of_run, run

from scpress.model.fitted import load_model
from scpress.tables.scores import Scores

MODEL = ("--model-file", "@model.safetensors", "--model", "pca")
NAMES = ("1.safetensors", "2.safetensors")

CASES = [
    Case("no_models", of_run("ensemble", *DATA, "--folds", "@x"), ("required: --fold-models",)),
    Case(
        "no_folds",
        of_run("ensemble", *DATA, "--folds", "@counts.h5ad", "--fold-models", "@model.safetensors"),
        (r"obs\['fold'\] is missing",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


def test_verb(run_folder, tmp_path, capsys):
    """`score` keeps its models on request, each says what it lacked, and one seed is itself."""
    folds = tmp_path / "folds.h5ad"
    must(of_run("thin", *DATA)(run_folder, tmp_path), folds)
    score = [*of_run("score", *DATA, *MODEL)(run_folder, tmp_path), "--folds", folds]
    output = ["--output", tmp_path / "scores.json"]
    kept = [tmp_path / name for name in NAMES]
    assert run([*score, "--fold-models", *kept, *output]) == 0
    scores = Scores.from_plain(json.loads((tmp_path / "scores.json").read_text()), "x")
    for number, path in enumerate(kept, start=1):
        record = load_model(path).record
        assert record.without_fold == f"fold {number} of {scores.digest}"
        assert (record.model, record.seed) == ("pca", 0)
    words = [*of_run("ensemble", *DATA)(run_folder, tmp_path), "--folds", folds, "--model", "pca"]
    words += ["--fold-models", *kept]
    must(words, tmp_path / "ensemble.json")
    found = Scores.from_plain(json.loads((tmp_path / "ensemble.json").read_text()), "x")
    assert found.predictors[0].seed is None
    alone, together = (one.predictors[0].folds for one in (scores, found))
    assert [f.poisson for f in together] == [pytest.approx(f.poisson, rel=1e-6) for f in alone]
    whole = [*words[:-2], kept[0], run_folder / "model.safetensors"]
    assert run([*whole, "--output", tmp_path / "no.json"]) == 2
    assert "fold 2 has models of the seeds none" in capsys.readouterr().err
