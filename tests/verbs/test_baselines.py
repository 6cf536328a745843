"""`baselines`: the ranks that were asked for, on the folds of the run."""

import json

import pytest
from verbs.commands import DATA, Case, must, of_run

from scpress.tables.scores import Scores

CASES = [
    Case(
        "no_rank",
        of_run("baselines", *DATA, "--folds", "@counts.h5ad", "--pca-ranks", "0"),
        ("pca_ranks must be at least 1; found 0",),
    ),
    Case(
        "no_folds",
        of_run("baselines", *DATA, "--folds", "@counts.h5ad"),
        (r"obs\['fold'\] is missing",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


def test_verb(run_folder, tmp_path):
    must(of_run("thin", *DATA, "--folds", "1")(run_folder, tmp_path), tmp_path / "folds.h5ad")
    words = of_run("baselines", *DATA, "--pca-ranks", "2", "--nmf-ranks", "2")
    words = [*words(run_folder, tmp_path), "--folds", tmp_path / "folds.h5ad"]
    must(words, tmp_path / "baselines.json")
    found = Scores.from_plain(json.loads((tmp_path / "baselines.json").read_text()), "x")
    names = [one.name for one in found.predictors]
    assert names == ["gene means", "PCA 2", "PCA of Pearson residuals 2", "NMF 2"]
    assert {len(one.folds) for one in found.predictors} == {1}
