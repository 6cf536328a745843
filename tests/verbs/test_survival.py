"""`survival`: the step's record and table, or one line."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from verbs.commands import run

from scpress.config.cohort import CohortOptions
from scpress.io.h5ad import write_h5ad
from scpress.steps.cohort import cohort
from scpress.tables.survival import Survival


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("survival") / "cohort.h5ad"
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"days": rng.exponential(5, 24), "dead": 1, "late": -1.0})
    obs["donor"] = obs.index = [f"d{one:02d}" for one in range(24)]
    cells = ad.AnnData(sparse.csr_matrix(rng.poisson(9.0, (24, 6))), obs=obs)
    options = CohortOptions(type_key=None, min_cells=1, min_type_cells=1)
    write_h5ad(cohort(cells, options=options), path)
    return path


def words(path, folder, time):
    made = ["--output", folder / "s.json", "--risks", folder / "s.tsv", "--n-repeats", "1"]
    made += ["--n-folds", "2", "--n-permutations", "1"]
    return ["survival", "--cohort", path, "--time-key", time, "--event-key", "dead", *made]


def test_the_verb_writes_a_record_and_a_table(path, tmp_path):
    assert run(words(path, tmp_path, "days")) == 0
    record = Survival.from_plain(json.loads((tmp_path / "s.json").read_text()), "it")
    assert record.n_events == 24
    table = pd.read_csv(tmp_path / "s.tsv", sep="\t")
    assert list(table) == ["donor", "time", "event", "risk"]


def test_negative_times_are_one_line_and_no_file(path, tmp_path, capsys):
    assert run(words(path, tmp_path, "late")) == 2
    assert "times are numbers of 0 and more; found -1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
