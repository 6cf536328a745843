"""`search`: what is drawn for a model as its flags say it, the likelihood from its file."""

import json

import pytest
from verbs.commands import DATA, Case, files_under, must, of_run

from scpress.tables.likelihood import Candidate, LikelihoodChoice
from scpress.tables.search import Search

CASES = [
    Case(
        "no_folds",
        of_run("search", *DATA, "--folds", "@counts.h5ad", "--axes", "hidden=[[8]]"),
        (r"obs\['fold'\] is missing",),
    ),
    Case(
        "auto_without_a_search",
        of_run("train", *DATA, "--n-latent", "auto"),
        ("n_latent auto is chosen by `scpress search`", "or a number"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


def test_verb(run_folder, tmp_path):
    folds = tmp_path / "folds.h5ad"
    must(of_run("thin", *DATA, "--folds", "1")(run_folder, tmp_path), folds)
    one = Candidate(likelihood="nb", loss=1.0, difference=0.0, error=0.0)
    choice = LikelihoodChoice(
        model="mine",
        seed=0,
        n_cells=9,
        n_folds=1,
        chosen="nb",
        best="nb",
        candidates=(one,),
        inflated_genes=(),
    )
    (tmp_path / "likelihood.json").write_text(json.dumps(choice.as_plain()))
    words = of_run("search", *DATA, "--model", "mine", "--preset", "dca", "--ae-type", "nb")
    base = [*words(run_folder, tmp_path), "--folds", folds, "--batch-key", "null"]
    axes = ("--axes", "hidden=[[8], [4, 4]]", "epsilon=[0.1]", "--trials", "2", "--seed", "3")
    must([*base, "--n-latent", "auto", *axes], tmp_path / "search_0.json")
    found = Search.from_plain(json.loads((tmp_path / "search_0.json").read_text()), "x")
    assert found.model == "mine"
    assert (found.given["likelihood"], found.given["n_latent"]) == ("nb", "auto")
    assert len(found.trials) == 2
    assert found.trials[1].settings["epsilon"] == 0.1
    # The likelihood that molecules chose is that of the trials.
    words = of_run("search", *DATA, "--likelihood", "auto", "--axes", "epsilon=[0.1]")
    more = ["--folds", folds, "--likelihoods", tmp_path / "likelihood.json"]
    must([*words(run_folder, tmp_path), *more], tmp_path / "second.json")
    assert json.loads((tmp_path / "second.json").read_text())["given"]["likelihood"] == "nb"
    assert "checkpoints" not in files_under(tmp_path)
