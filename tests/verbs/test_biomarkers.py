"""`biomarkers`: the step's table and record, or one line."""

import json

import pandas as pd
import pytest
from verbs.commands import run

from scpress.config.cohort import BiomarkersOptions, CohortOptions
from scpress.config.simulation import SimulateOptions
from scpress.io.h5ad import write_h5ad
from scpress.io.rows import read_rows
from scpress.steps.biomarkers import biomarkers
from scpress.steps.cohort import cohort
from scpress.steps.simulate import simulate
from scpress.tables.cohort import Biomarker, Biomarkers


@pytest.fixture(scope="module")
def donors(tmp_path_factory):
    path = tmp_path_factory.mktemp("biomarkers") / "cohort.h5ad"
    options = SimulateOptions(n_cells=240, n_genes=25, n_types=1, n_donors=6, donor_genes=4)
    made = cohort(simulate(options, seed=0), options=CohortOptions(type_key="label", min_cells=5))
    write_h5ad(made, path)
    return made, path


def test_the_verb_writes_what_the_step_finds(donors, tmp_path):
    made, path = donors
    table, record = tmp_path / "b.tsv", tmp_path / "b.json"
    words = ["biomarkers", "--cohort", path, "--condition-key", "condition", "--output", table]
    assert run([*words, "--record", record, "--n-resamples", "1"]) == 0
    options = BiomarkersOptions(condition_key="condition", n_resamples=1)
    expected, said = biomarkers(made, options)
    pd.testing.assert_frame_equal(read_rows(table, Biomarker), expected, check_dtype=False)
    assert Biomarkers.from_plain(json.loads(record.read_text()), "it") == said


def test_a_column_that_is_not_there_is_one_line_and_no_file(donors, tmp_path, capsys):
    words = ["biomarkers", "--cohort", donors[1], "--output", tmp_path / "b.tsv"]
    words += ["--record", tmp_path / "b.json", "--condition-key", "diagnosis"]
    assert run(words) == 2
    assert "condition_key names 'diagnosis'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
