"""`donor_subtypes`: the step's record, table and cohort, or one line."""

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
from scpress.tables.donor_subtypes import DonorSubtypes


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("donor_subtypes") / "cohort.h5ad"
    rng = np.random.default_rng(0)
    mean = np.full((12, 8), 40.0)
    mean[:6, :4] *= 5
    mean[6:, 4:] *= 5
    obs = pd.DataFrame({"late": -1.0, "dead": 1}, index=[f"d{one:02d}" for one in range(12)])
    obs["donor"] = obs.index
    cells = ad.AnnData(sparse.csr_matrix(rng.poisson(mean)), obs=obs)
    options = CohortOptions(type_key=None, min_cells=1, min_type_cells=1)
    write_h5ad(cohort(cells, options=options), path)
    return path


def words(path, folder, *more):
    made = ["--output", folder / "s.json", "--table", folder / "s.tsv", "--donors", folder / "s.h5"]
    made += ["--n-rotations", "99", "--n-permutations", "19", "--n-resamples", "2"]
    return ["donor_subtypes", "--cohort", path, "--max-subtypes", "2", *made, *more]


def test_the_verb_writes_a_record_a_table_and_the_cohort(path, tmp_path):
    assert run(words(path, tmp_path)) == 0
    record = DonorSubtypes.from_plain(json.loads((tmp_path / "s.json").read_text()), "it")
    assert record.verdict == "2 donor subtypes of 6, 6 donors, by pseudobulk."
    table = pd.read_csv(tmp_path / "s.tsv", sep="\t")
    names = ["donor", "donor_subtype", "donor_subtype_confidence", "pseudobulk_group"]
    assert list(table) == names
    made = ad.read_h5ad(tmp_path / "s.h5")
    assert made.obs["donor_subtype"].tolist() == table["donor_subtype"].tolist()


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--time-key", "late", "--event-key", "dead"], "times are numbers of 0 and more"),
        (["--annotation", "a.h5ad"], "--annotation says what cells are; give their --counts"),
        (["--views", "genes"], "views must be one of composition, pseudobulk, latent"),
    ],
)
def test_what_cannot_be_is_one_line_and_no_file(path, tmp_path, capsys, more, line):
    assert run(words(path, tmp_path, *more)) == 2
    assert line in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
