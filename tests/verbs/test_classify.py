"""`classify`: the step's record and weights, or one line."""

import json

import pytest
from verbs.commands import run

from scpress.config.cohort import CohortOptions
from scpress.config.simulation import SimulateOptions
from scpress.io.h5ad import write_h5ad
from scpress.io.rows import read_rows
from scpress.steps.cohort import cohort
from scpress.steps.simulate import simulate
from scpress.tables.classification import Classification, Weight


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("classify") / "cohort.h5ad"
    options = SimulateOptions(n_cells=240, n_genes=25, n_types=2, n_donors=8, donor_genes=4)
    made = cohort(simulate(options, seed=0), options=CohortOptions(type_key="label", min_cells=5))
    write_h5ad(made, path)
    return path


def words(path, folder, *more):
    made = ["--output", folder / "c.json", "--weights", folder / "c.tsv"]
    return ["classify", "--cohort", path, *made, "--n-permutations", "20", *more]


def test_the_verb_writes_a_record_and_weights_that_can_be_read(path, tmp_path):
    assert run(words(path, tmp_path, "--condition-key", "condition", "--n-repeats", "1")) == 0
    record = Classification.from_plain(json.loads((tmp_path / "c.json").read_text()), "it")
    # Without batches there are no covariates.
    assert [one.name for one in record.views] == ["composition", "pseudobulk", "components"]
    assert set(read_rows(tmp_path / "c.tsv", Weight)["view"]) <= {one.name for one in record.views}


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--condition-key", "sample"], "'sample' is 'donor1' for 1 donor"),
        (["--condition-key", "condition", "--views", "latent"], "fitted again"),
        ([], "nothing is compared"),
    ],
)
def test_bad_input_is_one_line_and_no_file(path, tmp_path, capsys, more, line):
    assert run(words(path, tmp_path, *more)) == 2
    assert line in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
