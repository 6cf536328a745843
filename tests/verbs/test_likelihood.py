"""`likelihood`, and what `train` makes of its file."""

import json

import pytest
from verbs.commands import DATA, Case, files_under, must, of_run, require_one_line, run

from scpress.model.fitted import load_model
from scpress.tables.likelihood import LikelihoodChoice

QUICK = (
    *("--preset", "dca", "--hidden", "8", "--n-latent", "2", "--batch-key", "null"),
    *("--max-steps", "40", "--validate-every", "20", "--kernels", "torch", "--allow-failed-fit"),
)
CASES = [
    Case(
        "no_folds",
        of_run("likelihood", *DATA, "--folds", "@counts.h5ad"),
        (r"obs\['fold'\] is missing",),
    ),
    Case(
        "auto_without_a_choice",
        of_run("train", *DATA, "--likelihood", "auto"),
        ("likelihood auto is chosen by `scpress likelihood`", "or name a likelihood"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


@pytest.fixture(scope="module")
def choice(run_folder, tmp_path_factory):
    """likelihood.json of the run, alone in its folder."""
    folder = tmp_path_factory.mktemp("likelihood")
    folds = folder / "folds.h5ad"
    must(of_run("thin", *DATA, "--folds", "1")(run_folder, folder), folds)
    words = of_run("likelihood", *DATA, *QUICK, "--model", "mine", "--seed", "4")
    must([*words(run_folder, folder), "--folds", folds], folder / "likelihood.json")
    folds.unlink()
    return folder / "likelihood.json"


def test_verb(choice):
    found = LikelihoodChoice.from_plain(json.loads(choice.read_text()), "x")
    assert (found.model, found.seed, found.n_folds) == ("mine", 4, 1)
    # No checkpoint is left.
    assert files_under(choice.parent) == ["likelihood.json"]


@pytest.mark.parametrize(("asked", "expected"), [("auto", "poisson"), ("zinb", "zinb")])
def test_a_model_has_the_chosen_likelihood_where_it_asks_for_it(
    run_folder, choice, tmp_path, asked, expected
):
    plain = json.loads(choice.read_text()) | {"chosen": "poisson"}
    (tmp_path / "choice.json").write_text(json.dumps(plain))
    words = of_run("train", *DATA, *QUICK, "--likelihood", asked)(run_folder, tmp_path)
    words += ["--likelihoods", tmp_path / "choice.json", "--history", tmp_path / "h.tsv"]
    must(words, tmp_path / "model.safetensors")
    model = load_model(tmp_path / "model.safetensors")
    assert model.config.likelihood == expected == model.record.options["likelihood"]


def test_a_damaged_choice_is_one_line(run_folder, tmp_path, capsys):
    (tmp_path / "choice.json").write_text("{}")
    words = of_run("train", *DATA, *QUICK, "--likelihood", "auto")(run_folder, tmp_path)
    words += ["--likelihoods", tmp_path / "choice.json", "--history", tmp_path / "h.tsv"]
    assert run([*words, "--output", tmp_path / "model.safetensors"]) == 2
    require_one_line("train", capsys.readouterr().err, "choice.json' lacks 'model'")
