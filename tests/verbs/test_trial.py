"""`trial`: one place of a rung, and nothing beside its file."""

import json

import pytest
from verbs.commands import DATA, files_under, must, of_run, require_one_line, run

from scpress.config.options import TrainOptions
from scpress.model.fitted import record_options
from scpress.tables.search import Search, Trial, TrialScores


@pytest.fixture
def standing(run_folder, tmp_path):
    """Folder with folds.h5ad and search_0.json of two settings."""
    must(of_run("thin", *DATA, "--folds", "1")(run_folder, tmp_path), tmp_path / "folds.h5ad")
    options = TrainOptions(
        preset="dca", hidden=(8,), n_latent=2, batch_key=None, validate_every=20, kernels="torch"
    )
    start = Search(
        model="mine",
        given=record_options(options),
        steps=(40,),
        eta=2,
        rung=0,
        trials=(Trial(settings={}), Trial(settings={"n_latent": 3})),
        entered=(0, 1),
        preferred=(0,),
    )
    (tmp_path / "search_0.json").write_text(json.dumps(start.as_plain()))
    return tmp_path


def words_of(run_folder, folder, slot):
    words = of_run("trial", *DATA, "--slot", str(slot), "--seed", "4")(run_folder, folder)
    files = ["--folds", folder / "folds.h5ad", "--standing", folder / "search_0.json"]
    return [*words, *files]


def test_verb(run_folder, standing):
    output = standing / "search_0" / "1.json"
    output.parent.mkdir()
    must(words_of(run_folder, standing, 1), output)
    found = TrialScores.from_plain(json.loads(output.read_text()), "x")
    (predictor,) = found.scores.predictors
    assert (found.rung, found.slot) == (0, 1)
    assert (predictor.name, predictor.seed, len(predictor.folds)) == ("mine", 4, 1)
    # No checkpoint is left.
    assert files_under(output.parent) == ["1.json"]


def test_a_place_that_there_is_not_and_damage_are_one_line(run_folder, standing, capsys):
    output = ["--output", standing / "x.json"]
    assert run([*words_of(run_folder, standing, -1), *output]) == 2
    require_one_line("trial", capsys.readouterr().err, "slot must be at least 0; found -1")
    (standing / "search_0.json").write_text("{}")
    assert run([*words_of(run_folder, standing, 0), *output]) == 2
    require_one_line("trial", capsys.readouterr().err, "search_0.json' lacks 'model'")
    assert not (standing / "x.json").exists()
