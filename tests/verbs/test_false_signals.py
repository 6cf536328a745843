"""`false_signals` on the files of a run: whose model it takes, and the options of other steps."""

import json

import pytest
from verbs.commands import DATA, Case, files_under, must, of_run

from scpress.config.options import ClusterOptions, SubtypeOptions
from scpress.steps import false_signals as step
from scpress.tables.false_signals import FalseSignals

MODEL = ("--model-files", "@model.safetensors", "--models", "pca")
GIVEN = (*DATA, "--clusters", "@clusters.h5ad", "--subtypes", "@SUBTYPES")


def case(name, words, *says):
    return Case(name, of_run("false_signals", *GIVEN, *words), says)


CASES = [
    case("no_copies", MODEL, "copies is 0, which compares nothing"),
    case(
        "another_model",
        (*MODEL[:-1], "vae", "--copies", "1"),
        r"model 'pca' is not among those given \(vae\)",
    ),
    case("no_json", (*MODEL, "--cluster-options", "n=3"), "options are a JSON object.*found 'n=3'"),
    case(
        "unknown_option",
        (*MODEL, "--subtype-options", '{"n": 3}'),
        "unknown option 'n'; known: groupby",
    ),
]


@pytest.fixture(scope="module")
def subtypes(run_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("subtypes")
    words = of_run("subtype", *DATA, "--clusters", "@clusters.h5ad", "--groupby", "leiden")
    must([*words(run_folder, folder), "--markers", folder / "m.tsv"], folder / "subtypes.h5ad")
    return folder / "subtypes.h5ad"


def with_subtypes(words, subtypes):
    return [subtypes if str(word).endswith("SUBTYPES") else word for word in words]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused, subtypes):
    require_refused(
        Case(case.name, lambda *paths: with_subtypes(case.words(*paths), subtypes), case.says)
    )


def test_verb(run_folder, subtypes, tmp_path, monkeypatch):
    given = []

    def noted(*arguments, **keywords):
        given.append((arguments, keywords))
        return step_itself(*arguments, **keywords)

    step_itself = step.false_signals
    monkeypatch.setattr(step, "false_signals", noted)
    words = of_run("false_signals", *GIVEN, *MODEL, "--copies", "1", "--max-fdr", "0.01")
    words = with_subtypes(words(run_folder, tmp_path), subtypes)
    words += ["--cluster-options", '{"resolutions": [0.5], "n_subsamples": 2}']
    words += ["--subtype-options", '{"n_subsamples": 3}']
    must(words, tmp_path / "signals.json")
    ((*_, training, _, steps), keywords) = given[0]
    assert steps == step.Steps(
        ClusterOptions(resolutions=(0.5,), n_subsamples=2), SubtypeOptions(n_subsamples=3), 0.01
    )
    assert (training.preset, training.n_latent, keywords["seed"]) == ("pca", 5, 0)
    found = FalseSignals.from_plain(json.loads((tmp_path / "signals.json").read_text()), "x")
    assert (found.model, found.n_genes, len(found.copies)) == ("pca", 100, 1)
    assert found.data.n_clusters >= 1
    # No checkpoint is left.
    assert files_under(tmp_path) == ["signals.json"]
    must(words, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "signals.json").read_bytes()
