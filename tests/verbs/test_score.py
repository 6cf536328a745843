"""`score` on the files of a run: options and seed are the model's, bits the same."""

import json
import os
import signal

import anndata as ad
import pytest
from verbs.commands import DATA, Case, files_under, must, of_run, run

from scpress.model.fitted import load_model
from scpress.tables.scores import Scores
from scpress.training.state import TrainingState

MODEL = ("--model-file", "@model.safetensors", "--model", "pca")


@pytest.fixture(scope="module")
def folds(run_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("folds") / "folds.h5ad"
    must(of_run("thin", *DATA)(run_folder, path.parent), path)
    return path


CASES = [
    Case(
        "no_folds",
        of_run("score", *DATA, *MODEL, "--folds", "@counts.h5ad"),
        (r"obs\['fold'\] is missing",),
    ),
    Case("no_model", of_run("score", *DATA, "--folds", "@x"), ("required: --model-file",)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


def test_verb(run_folder, folds, tmp_path):
    words = [*of_run("score", *DATA, *MODEL)(run_folder, tmp_path), "--folds", folds]
    must(words, tmp_path / "scores.json")
    found = Scores.from_plain(json.loads((tmp_path / "scores.json").read_text()), "x")
    (predictor,) = found.predictors
    assert (predictor.name, predictor.seed, len(predictor.folds)) == ("pca", 0, 2)
    assert found.digest == ad.read_h5ad(folds).uns["scpress"]["thin"]["digest"]
    must(words, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "scores.json").read_bytes()


def test_models_are_kept_of_every_fold_or_of_none(run_folder, folds, tmp_path, capsys):
    words = [*of_run("score", *DATA, *MODEL)(run_folder, tmp_path), "--folds", folds]
    words += ["--fold-models", tmp_path / "1.safetensors", "--output", tmp_path / "scores.json"]
    assert run(words) == 2
    assert "needs one file for each of 2 folds; found 1." in capsys.readouterr().err
    assert files_under(tmp_path) == []


def test_folds_of_other_cells_are_refused(run_folder, folds, tmp_path, capsys):
    other = ad.read_h5ad(folds)[::2].copy()
    other.write_h5ad(tmp_path / "other.h5ad")
    words = [*of_run("score", *DATA, *MODEL)(run_folder, tmp_path)]
    words += ["--folds", tmp_path / "other.h5ad", "--output", tmp_path / "scores.json"]
    assert run(words) == 2
    assert "Give files of one run." in capsys.readouterr().err
    assert files_under(tmp_path) == ["other.h5ad"]


def test_a_model_that_does_not_say_how_it_was_trained_is_refused(
    run_folder, folds, tmp_path, capsys
):
    model = load_model(run_folder / "model.safetensors")
    model.record = type(model.record)()
    model.save(tmp_path / "bare.safetensors")
    words = ["score", *of_run("", *DATA)(run_folder, tmp_path)[1:], "--folds", folds]
    words += ["--model-file", tmp_path / "bare.safetensors", "--output", tmp_path / "scores.json"]
    assert run(words) == 2
    assert "does not say how it was trained" in capsys.readouterr().err


def test_a_killed_score_goes_on_to_the_same_bits(run_folder, folds, tmp_path, monkeypatch):
    """SIGTERM in the second training: its checkpoint stays, and the first one's too."""
    flags = ("--preset", "dca", "--hidden", "8", "--n-latent", "2", "--batch-key", "null")
    flags += ("--max-steps", "40", "--validate-every", "20", "--allow-failed-fit")
    flags += ("--kernels", "torch")
    model = ["--history", tmp_path / "h.tsv"]
    must(
        [*of_run("train", *DATA, *flags)(run_folder, tmp_path), *model], tmp_path / "m.safetensors"
    )
    words = [*of_run("score", *DATA)(run_folder, tmp_path), "--folds", folds]
    words += ["--model-file", tmp_path / "m.safetensors", "--checkpoints", tmp_path / "kept"]
    must(words, tmp_path / "whole.json")
    assert not (tmp_path / "kept").exists()
    note, noted = TrainingState.note, []

    def note_and_end(self, row):
        note(self, row)
        noted.append(row)
        if len(noted) == 3:  # the first of the second training's two
            os.kill(os.getpid(), signal.SIGTERM)

    again = [*words, "--output", tmp_path / "again.json"]
    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "note", note_and_end)
        assert run(again) == 128 + signal.SIGTERM
    assert len(list((tmp_path / "kept").iterdir())) == 2
    assert not (tmp_path / "again.json").exists()
    assert run(again) == 0
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert not (tmp_path / "kept").exists()
