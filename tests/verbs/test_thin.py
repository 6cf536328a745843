"""`thin`: the folds are those of the step; results of other cells are refused."""

import pytest
from verbs.commands import DATA, Case, mixed, of_run, run

from scpress.config.options import ThinOptions
from scpress.io.h5ad import read_h5ad
from scpress.io.results import read_result
from scpress.steps.thin import thin
from scpress.tables.results import FOLDS

CASES = [
    Case("no_folds", of_run("thin", *DATA, "--folds", "0"), ("folds is 0", "set folds to 1")),
    Case("too_many", of_run("thin", *DATA, "--folds", "6"), ("6 folds of 0.2", "lower folds")),
    Case("half", of_run("thin", *DATA, "--fraction", "0.6"), ("fraction must be at most 0.5",)),
    Case(
        "normalized_of_other_cells_thin",
        mixed("normalized.h5ad", "thin", *DATA),
        ("180", "90", "one run"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


def test_a_full_disk_is_one_line_and_leaves_the_old_file(require_full_disk_refused):
    require_full_disk_refused(of_run("thin", *DATA))


def test_verb(run_folder, tmp_path):
    words = of_run("thin", *DATA, "--folds", "3", "--fraction", "0.1", "--seed", "4")
    assert run([*words(run_folder, tmp_path), "--output", tmp_path / "folds.h5ad"]) == 0
    written = read_result(tmp_path / "folds.h5ad", FOLDS)
    parts = (read_h5ad(run_folder / name) for name in ("counts.h5ad", "normalized.h5ad"))
    expected = thin(*parts, ThinOptions(folds=3, fraction=0.1, seed=4))
    assert (written.X != expected.X).nnz == 0
    assert written.uns["scpress"]["thin"]["digest"] == expected.uns["scpress"]["thin"]["digest"]
