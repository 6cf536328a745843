"""`learning_curve` on the files of a run: which model it is of, and that it goes on when killed."""

import json
import os
import signal

import pytest
from verbs.commands import DATA, Case, files_under, must, of_run, run

from scpress.steps import learning_curve as step
from scpress.tables.learning_curve import LearningCurve
from scpress.training.state import TrainingState

ONE = ("--model-files", "@model.safetensors", "--models", "pca", "--halvings", "2")
TWO = ("--model-files", "@model.safetensors", "@model.safetensors", "--models", "pca", "b")
CASES = [
    Case(
        "no_folds",
        of_run("learning_curve", *DATA, *ONE, "--folds", "@counts.h5ad"),
        (r"obs\['fold'\] is missing",),
    ),
    Case(
        "no_halvings",
        of_run("learning_curve", *DATA, *ONE[:-2], "--folds", "@FOLDS"),
        ("halvings is 0, which is no curve",),
    ),
    Case(
        "several_models",
        of_run("learning_curve", *DATA, *TWO, "--folds", "@FOLDS"),
        ("which model is it. Give one, or --choice",),
    ),
    Case(
        "fewer_names",
        of_run("learning_curve", *DATA, *TWO[:-1], "--folds", "@FOLDS"),
        ("2 files of models and 1 names",),
    ),
]


@pytest.fixture(scope="module")
def folds(run_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("folds") / "folds.h5ad"
    must(of_run("thin", *DATA)(run_folder, path.parent), path)
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused, folds):
    def words(run_folder, folder):
        return [folds if "FOLDS" in str(one) else one for one in case.words(run_folder, folder)]

    require_refused(Case(case.name, words, case.says))


def test_verb(run_folder, folds, tmp_path):
    words = [*of_run("learning_curve", *DATA, *ONE)(run_folder, tmp_path), "--folds", folds]
    must(words, tmp_path / "curve.json")
    found = LearningCurve.from_plain(json.loads((tmp_path / "curve.json").read_text()), "x")
    # Some 180 cells have no curve, and say so.
    assert (found.model, found.points, found.n_folds) == ("pca", (), 2)


def test_a_killed_curve_goes_on_to_the_same_bits(run_folder, folds, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "MIN_CELLS", 40)
    monkeypatch.setattr(step, "MIN_SIZES", 2)
    flags = ("--preset", "dca", "--hidden", "8", "--n-latent", "2", "--batch-key", "null")
    flags += ("--max-steps", "20", "--validate-every", "20", "--allow-failed-fit")
    flags += ("--kernels", "torch", "--batch-size", "32")
    history = ["--history", tmp_path / "h.tsv"]
    must(
        [*of_run("train", *DATA, *flags)(run_folder, tmp_path), *history],
        tmp_path / "m.safetensors",
    )
    words = [*of_run("learning_curve", *DATA)(run_folder, tmp_path), "--folds", folds]
    words += ["--model-files", tmp_path / "m.safetensors", "--models", "m", "--repeats", "1"]
    words += ["--halvings", "1", "--checkpoints", tmp_path / "kept"]
    must(words, tmp_path / "whole.json")
    assert not (tmp_path / "kept").exists()
    found = LearningCurve.from_plain(json.loads((tmp_path / "whole.json").read_text()), "x")
    assert len(found.points) == 2
    note, noted = TrainingState.note, []

    def note_and_end(self, row):
        note(self, row)
        noted.append(row)
        if len(noted) == 3:  # of the second run's first training
            os.kill(os.getpid(), signal.SIGTERM)

    again = [*words, "--output", tmp_path / "again.json"]
    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "note", note_and_end)
        assert run(again) == 128 + signal.SIGTERM
    assert len(list((tmp_path / "kept").iterdir())) == 3
    assert not (tmp_path / "again.json").exists()
    assert run(again) == 0
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert "kept" not in " ".join(files_under(tmp_path))
