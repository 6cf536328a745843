"""`cohort`: what the step makes of the files, with the model that the clusters are of."""

import numpy as np
import pytest
from verbs.commands import run

from scpress.config.simulation import SimulateOptions
from scpress.io.h5ad import read_h5ad, write_h5ad
from scpress.steps.simulate import simulate
from scpress.tables.cohort import COHORT


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    path = tmp_path_factory.mktemp("cohort") / "counts.h5ad"
    options = SimulateOptions(n_cells=90, n_genes=20, n_types=2, n_donors=3, donor_genes=5)
    write_h5ad(simulate(options, seed=0), path)
    return path


def words(counts, output, *more):
    return ["cohort", "--counts", counts, "--output", output, "--type-key", "label", *more]


def test_the_verb_writes_a_cohort_that_can_be_read_as_one(counts, tmp_path):
    path = tmp_path / "cohort.h5ad"
    assert run(words(counts, path, "--min-cells", "30")) == 0
    made, cells = read_h5ad(path), read_h5ad(counts)
    COHORT.require(made, "it")
    assert made.obs_names.tolist() == ["donor1", "donor2", "donor3"]
    np.testing.assert_array_equal(np.asarray(made.X.sum(axis=0)), np.asarray(cells.X.sum(axis=0)))
    assert made.obsm["type_cells"].to_numpy().sum() == 90


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--min-cells", "31"], "0 donors of at least 31 cells"),
        (["--donor-key", "who"], "obs has no column 'who' of donors"),
        (["--latent", "latent.h5ad"], "which model are the latents of? Give --clusters"),
    ],
)
def test_bad_input_is_one_line_and_no_file(counts, tmp_path, capsys, more, line):
    path = tmp_path / "cohort.h5ad"
    assert run(words(counts, path, *more)) == 2
    assert line in capsys.readouterr().err
    assert not path.exists()
