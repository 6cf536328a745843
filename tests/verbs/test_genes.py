"""`genes`, and what `normalize` makes of its file."""

import json

import pytest
from verbs.commands import Case, files_under, must, of_run, require_one_line, run

from scpress.io.h5ad import read_h5ad
from scpress.tables.genes import GenesChoice

QUICK = (
    *("--hidden", "8", "--n-latent", "2", "--batch-key", "null", "--max-steps", "20"),
    *("--validate-every", "20", "--kernels", "torch", "--folds", "1", "--numbers", "30", "40"),
)
CASES = [
    Case(
        "no_number",
        of_run("genes", "--counts", "@counts.h5ad", "--n-top-genes", "many"),
        ("n_top_genes must be auto, null or a number; found 'many'",),
    ),
    Case(
        "no_ranking",
        of_run("genes", "--counts", "@counts.h5ad", "--flavor", "seurat"),
        ("flavor must be one of", "did you mean 'seurat_v3'"),
    ),
    Case(
        "too_few_allowed",
        of_run("genes", "--counts", "@counts.h5ad", "--max-genes", "20"),
        ("more than max_genes", "Raise max_genes"),
    ),
    Case(
        "auto_without_a_choice",
        of_run("normalize", "--counts", "@counts.h5ad", "--n-top-genes", "auto"),
        ("auto is chosen by `scpress genes`", "--genes"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


@pytest.fixture(scope="module")
def choice(run_folder, tmp_path_factory):
    """genes.json of the run, alone in its folder."""
    folder = tmp_path_factory.mktemp("genes")
    words = of_run("genes", "--counts", "@counts.h5ad", *QUICK, "--n-hidden", "4")
    words = [word for word in words(run_folder, folder) if word not in ("--hidden", "8")]
    words += ["--rank-within", "null", "--model", "mine", "--seed", "4", "--max-genes", "100"]
    must(words, folder / "genes.json")
    return folder / "genes.json"


def test_verb(choice):
    found = GenesChoice.from_plain(json.loads(choice.read_text()), "x")
    assert (found.model, found.seed, found.n_folds) == ("mine", 4, 1)
    assert [one.n_genes for one in found.candidates] == [30, 40]
    assert len(found.left_out) == 1
    # No checkpoint is left.
    assert files_under(choice.parent) == ["genes.json"]


@pytest.mark.parametrize(
    ("asked", "n_expected"), [(["--n-top-genes", "auto"], 30), (["--n-top-genes", "12"], 12)]
)
def test_the_genes_are_the_chosen_ones_where_they_are_asked_for(
    run_folder, choice, tmp_path, asked, n_expected
):
    plain = json.loads(choice.read_text()) | {"chosen": 30}
    (tmp_path / "genes.json").write_text(json.dumps(plain))
    words = of_run("normalize", "--counts", "@counts.h5ad")(run_folder, tmp_path)
    words += [*asked, "--genes", tmp_path / "genes.json"]
    must(words, tmp_path / "normalized.h5ad")
    assert read_h5ad(tmp_path / "normalized.h5ad").var["highly_variable"].sum() == n_expected


def test_where_all_genes_are_chosen_all_are_modelled(run_folder, choice, tmp_path):
    plain = json.loads(choice.read_text())
    plain["n_all"] = plain["chosen"]
    (tmp_path / "genes.json").write_text(json.dumps(plain))
    words = of_run("normalize", "--counts", "@counts.h5ad")(run_folder, tmp_path)
    words += ["--n-top-genes", "auto", "--genes", tmp_path / "genes.json"]
    must(words, tmp_path / "normalized.h5ad")
    assert read_h5ad(tmp_path / "normalized.h5ad").var["highly_variable"].all()


def test_a_damaged_choice_is_one_line(run_folder, tmp_path, capsys):
    (tmp_path / "genes.json").write_text("{}")
    words = of_run("normalize", "--counts", "@counts.h5ad")(run_folder, tmp_path)
    words += ["--n-top-genes", "auto", "--genes", tmp_path / "genes.json"]
    assert run([*words, "--output", tmp_path / "normalized.h5ad"]) == 2
    require_one_line("normalize", capsys.readouterr().err, "genes.json' lacks 'model'")
