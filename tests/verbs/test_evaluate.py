"""`evaluate`: one JSON of all seeds; latents that do not say theirs are refused."""

import json

import pytest
from verbs.commands import Case, mixed, of_run, require_one_line, run

from scpress.config.options import EvaluateOptions
from scpress.io.h5ad import read_h5ad, write_h5ad
from scpress.steps.evaluate import evaluate

CASES = [
    Case(
        "latent_of_other_cells_evaluate",
        mixed(
            "latent.h5ad",
            "evaluate",
            "--counts",
            "@counts.h5ad",
            "--latent",
            "@latent.h5ad",
            "--model",
            "pca",
        ),
        ("180 cells and latent of 'pca' 90", "Give files of one run"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


WRITING = of_run(
    "evaluate",
    *("--counts", "@counts.h5ad", "--latent", "@latent.h5ad", "--model", "pca"),
    *("--resolutions", "0.5", "--batch-key", "null"),
)


def test_a_full_disk_is_one_line_and_leaves_the_old_file(require_full_disk_refused):
    require_full_disk_refused(WRITING)


@pytest.fixture
def latents(run_folder, tmp_path):
    """The run's latent as if of seeds 0 and 1."""
    made = {}
    for seed in (0, 1):
        made[seed] = read_h5ad(run_folder / "latent.h5ad")
        made[seed].uns["scpress"]["seed"] = seed
        made[seed].obsm["X_pca"] = made[seed].obsm["X_pca"][:, seed:]
        write_h5ad(made[seed], tmp_path / f"{seed}.h5ad")
    return made


def evaluating(run_folder, folder, *files):
    flags = ("--model", "pca", "--resolutions", "0.5", "--batch-key", "null")
    words = of_run("evaluate", "--counts", "@counts.h5ad", *flags)(run_folder, folder)
    return [*words, "--latent", *files, "--output", folder / "evaluation.json"]


def test_verb(run_folder, latents, tmp_path, capsys):
    paths = [tmp_path / "1.h5ad", tmp_path / "0.h5ad"]
    assert run(evaluating(run_folder, tmp_path, *paths)) == 0
    found = json.loads((tmp_path / "evaluation.json").read_text())
    options = EvaluateOptions(resolutions=(0.5,), batch_key=None)
    obs = read_h5ad(run_folder / "counts.h5ad").obs
    assert found == evaluate(obs, latents, options, model="pca").as_plain()
    assert set(found["seeds"]) == {"0", "1"}
    assert found["seeds"]["0"] != found["seeds"]["1"]
    assert run(evaluating(run_folder, tmp_path, paths[1], paths[1])) == 2
    assert "two latents have the seed 0" in capsys.readouterr().err


def test_a_latent_without_a_seed_is_named(run_folder, tmp_path, capsys):
    latent = read_h5ad(run_folder / "latent.h5ad")
    del latent.uns["scpress"]["seed"]
    write_h5ad(latent, tmp_path / "none.h5ad")
    assert run(evaluating(run_folder, tmp_path, tmp_path / "none.h5ad")) == 2
    require_one_line("evaluate", capsys.readouterr().err, "none.h5ad' lacks 'seed'")
