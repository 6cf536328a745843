"""`rank`: from the files of a rung to the settings that `train` uses."""

import json

import pytest
from steps.test_rank import result, standing
from verbs.commands import DATA, must, of_run, require_one_line, run

from scpress.config.options import TrainOptions
from scpress.model.fitted import load_model, record_options
from scpress.tables.search import Search

OPTIONS = TrainOptions(preset="pca", n_latent="auto", batch_key=None, allow_failed_fit=True)


@pytest.fixture
def search(tmp_path):
    """search.json of four sizes of latent, of which the second is chosen."""
    start = standing(4, preferred=(0, 1, 2, 3)).as_plain()
    start["given"] = record_options(OPTIONS)
    (tmp_path / "search_0.json").write_text(json.dumps(start))
    files = []
    for slot, above in enumerate((3.0, 0.0, 0.0, 0.0)):
        files.append(tmp_path / f"{slot}.json")
        files[-1].write_text(json.dumps(result(slot, above).as_plain()))
    words = ["rank", "--standing", tmp_path / "search_0.json", "--trials", *files]
    must(words, tmp_path / "search.json")
    return tmp_path / "search.json"


def test_a_model_is_trained_with_what_was_chosen(run_folder, search, tmp_path):
    assert Search.from_plain(json.loads(search.read_text()), "x").chosen == 1
    words = of_run("train", *DATA, "--preset", "pca", "--batch-key", "null")(run_folder, tmp_path)
    words += ["--search", search, "--history", tmp_path / "h.tsv"]
    must([*words, "--n-latent", "auto"], tmp_path / "model.safetensors")
    model = load_model(tmp_path / "model.safetensors")
    assert model.config.n_latent == 2 == model.record.options["n_latent"]
    # Of another size of the same model, that is what counts.
    must([*words, "--n-latent", "3"], tmp_path / "three.safetensors")
    assert load_model(tmp_path / "three.safetensors").config.n_latent == 3


def test_a_search_that_is_not_at_its_end_is_one_line(run_folder, search, tmp_path, capsys):
    words = of_run("train", *DATA, "--preset", "pca", "--n-latent", "auto")(run_folder, tmp_path)
    words += ["--search", tmp_path / "search_0.json", "--history", tmp_path / "h.tsv"]
    assert run([*words, "--output", tmp_path / "model.safetensors"]) == 2
    require_one_line("train", capsys.readouterr().err, "the settings of m is not at its end")


def test_a_place_without_a_file_is_one_line(search, tmp_path, capsys):
    words = ["rank", "--standing", tmp_path / "search_0.json", "--trials", tmp_path / "0.json"]
    assert run([*words, "--output", tmp_path / "x.json"]) == 2
    require_one_line("rank", capsys.readouterr().err, "has no result in place 1.")
