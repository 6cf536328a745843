"""`perturbation`: the step's record and responses, or one line and no file."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from verbs.commands import run

from scpress.config.cohort import CohortOptions
from scpress.io.h5ad import write_h5ad
from scpress.io.results import read_record, read_result
from scpress.steps.cohort import cohort
from scpress.tables.response import RESPONSES, Perturbation


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Three donors of one type, control and treated."""
    path = tmp_path_factory.mktemp("treated") / "cohort.h5ad"
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"donor": np.repeat(["a", "b", "c"], 8), "treated": ["no", "yes"] * 12})
    obs.index = [f"c{one}" for one in range(24)]
    cells = ad.AnnData(sparse.csr_matrix(rng.poisson(9.0, (24, 6))), obs=obs)
    options = CohortOptions(split_by="treated", type_key=None, min_cells=1, min_type_cells=1)
    write_h5ad(cohort(cells, options=options), path)
    return path


def words(path, folder, key):
    made = ["--output", folder / "p.json", "--responses", folder / "p.h5ad"]
    return ["perturbation", "--cohort", path, "--condition-key", key, *made]


def test_the_verb_writes_a_record_and_responses(path, tmp_path):
    assert run(words(path, tmp_path, "treated")) == 0
    record = read_record(tmp_path / "p.json", Perturbation)
    assert record.donors == ("a", "b", "c")
    responses = read_result(tmp_path / "p.h5ad", RESPONSES)
    assert responses.obs["donor"].tolist() == ["a", "b", "c"]


def test_a_column_that_is_not_there_is_one_line_and_no_file(path, tmp_path, capsys):
    assert run(words(path, tmp_path, "drug")) == 2
    assert "condition_key names 'drug'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
