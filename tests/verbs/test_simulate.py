"""`simulate`: what the step makes of the options and the seed."""

import numpy as np
import pandas as pd
from verbs.commands import Case, of_run, run

from scpress.config.options import SimulateOptions
from scpress.counts.frames import plain_frame
from scpress.io.h5ad import read_h5ad
from scpress.steps.simulate import simulate

WRITING = of_run("simulate", "--n-cells", "50", "--n-genes", "60")


def test_a_full_disk_is_one_line_and_leaves_the_old_file(require_full_disk_refused):
    require_full_disk_refused(WRITING)


def test_verb_writes_what_the_step_makes_with_the_seed(tmp_path):
    words = ["simulate", "--n-cells", "40", "--n-genes", "30", "--n-types", "2", "--seed", "5"]
    assert run([*words, "--output", tmp_path / "s.h5ad"]) == 0
    written = read_h5ad(tmp_path / "s.h5ad")
    expected = simulate(SimulateOptions(n_cells=40, n_genes=30, n_types=2), seed=5)
    assert (written.X != expected.X).nnz == 0
    pd.testing.assert_frame_equal(written.obs, plain_frame(expected.obs))
    pd.testing.assert_frame_equal(written.var, plain_frame(expected.var))
    record, made = written.uns["simulation"], expected.uns["simulation"]
    assert record["seed"] == 5
    np.testing.assert_array_equal(record["type_fold_change"], made["type_fold_change"])


def test_a_seed_below_zero_is_one_line(require_refused):
    words = of_run("simulate", "--seed", "-1")
    require_refused(Case("seed", words, ("seed must be at least 0; found -1",)))
