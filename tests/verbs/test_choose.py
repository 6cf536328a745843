"""`choose`: the models in the order of their files, and damage of a table in one line."""

import json

import pytest
from verbs.commands import require_one_line, run

from scpress.config.options import ChooseOptions
from scpress.steps.choose import choose
from scpress.tables.scores import FoldScore, Predictor, Scores


def table(name, loss, digest="a"):
    fold = FoldScore(
        poisson=(loss, loss + 1),
        nb=(loss, loss + 1),
        log_mse=1.0,
        poisson_by_level=(loss,),
        expected_zeros=(0.9,),
        dispersion=(1.0,),
    )
    return Scores(
        digest=digest,
        n_cells=2,
        n_genes=3,
        n_molecules=4,
        observed_zeros=(0.9,),
        mean_by_level=(0.1,),
        predictors=(Predictor(name=name, folds=(fold,)),),
    )


@pytest.fixture
def files(tmp_path):
    made = {"b": table("b", 1.0), "a": table("a", 1.0), "gene means": table("gene means", 5.0)}
    for name, one in made.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(one.as_plain()))
    return made


def words(folder, *names, flags=()):
    scores = [folder / f"{name}.json" for name in names]
    end = ["--baselines", folder / "gene means.json", "--output", folder / "out" / "choice.json"]
    return ["choose", "--scores", *scores, *flags, *end]


def test_verb(files, tmp_path):
    assert run(words(tmp_path, "b", "a", flags=("--loss", "nb", "--tolerance", "0"))) == 0
    found = json.loads((tmp_path / "out" / "choice.json").read_text())
    options = ChooseOptions(loss="nb", tolerance=0.0)
    expected = choose([files["b"], files["a"]], files["gene means"], options)
    assert found == expected.as_plain()
    # Of equals the first of the list.
    assert found["chosen"] == "b"


def test_seeds_together_are_read_from_files_of_their_own(files, tmp_path):
    together = table("a", 0.5)
    (tmp_path / "together.json").write_text(json.dumps(together.as_plain()))
    flags = ("--ensembles", tmp_path / "together.json")
    assert run(words(tmp_path, "b", "a", flags=flags)) == 0
    found = json.loads((tmp_path / "out" / "choice.json").read_text())
    expected = choose([files["b"], files["a"]], files["gene means"], ensembles=[together])
    assert found == expected.as_plain()
    assert [one["name"] for one in found["seeds_apart"]] == ["a"]


def test_a_damaged_table_is_one_line(files, tmp_path, capsys):
    plain = files["a"].as_plain()
    plain["predictors"][0]["folds"][0]["log_mse"] = -1
    (tmp_path / "a.json").write_text(json.dumps(plain))
    assert run(words(tmp_path, "a")) == 2
    require_one_line("choose", capsys.readouterr().err, "'log_mse' in .* is -1")
    assert not (tmp_path / "out").exists()


def test_scores_of_other_molecules_are_one_line(files, tmp_path, capsys):
    (tmp_path / "a.json").write_text(json.dumps(table("a", 1.0, digest="b").as_plain()))
    assert run(words(tmp_path, "a")) == 2
    require_one_line("choose", capsys.readouterr().err, "of other held-out molecules")
