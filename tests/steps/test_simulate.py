"""The AnnData of a simulation: its truth is the arrays', cell by cell and gene by gene."""

import numpy as np
import pytest

from scpress.config.options import SimulateOptions
from scpress.counts.simulated_donors import simulate_donors
from scpress.counts.simulation import simulate_counts
from scpress.steps.simulate import simulate

OPTIONS = SimulateOptions(n_cells=90, n_genes=25, n_types=3, n_subtypes=2, n_batches=2)


def test_counts_and_truth_are_the_arrays():
    made, truth = simulate(OPTIONS, seed=4), simulate_counts(OPTIONS, seed=4)
    assert (truth.counts != made.X).nnz == 0
    assert made.obs["label"].tolist() == [f"type{number + 1}" for number in truth.cell_type]
    assert made.obs["batch"].tolist() == [f"batch{number + 1}" for number in truth.batch]
    np.testing.assert_array_equal(made.obs["true_library_size"], truth.library_size)
    np.testing.assert_array_equal(made.var["true_theta"], truth.theta)
    np.testing.assert_array_equal(made.var["true_fraction"], truth.baseline)
    record = made.uns["simulation"]
    for name in ("type_fold_change", "subtype_fold_change", "batch_fold_change"):
        np.testing.assert_array_equal(record[name], getattr(truth, name))
    assert record["seed"] == 4
    assert record["options"]["n_cells"] == 90


def test_a_sample_is_a_batch_and_only_the_first_type_has_subtypes():
    made, truth = simulate(OPTIONS, seed=0), simulate_counts(OPTIONS, seed=0)
    assert made.obs["sample"].tolist() == made.obs["batch"].tolist()
    names = made.obs["true_subtype"].astype(str)
    first = made.obs["label"] == "type1"
    expected = [f"type1.{number + 1}" for number in truth.subtype[first]]
    assert names[first].tolist() == expected
    assert names[~first].tolist() == made.obs["label"][~first].tolist()


def test_without_subtypes_the_first_type_keeps_its_name():
    made = simulate(SimulateOptions(n_cells=30, n_genes=10, n_types=2), seed=0)
    assert made.obs["true_subtype"].tolist() == made.obs["label"].tolist()


def test_a_donor_is_a_sample_with_its_condition_and_batch():
    options = SimulateOptions(n_cells=90, n_genes=25, n_donors=6, n_batches=2, donor_genes=4)
    made, truth = simulate(options, seed=0), simulate_donors(options, seed=0)
    assert (truth.counts != made.X).nnz == 0
    assert made.obs["sample"].tolist() == made.obs["donor"].tolist()
    assert made.obs["donor"].tolist() == [f"donor{one + 1}" for one in truth.donor]
    cases = truth.condition[truth.donor] == 1
    assert ((made.obs["condition"] == "case") == cases).all()
    assert made.obs["batch"].tolist() == [f"batch{one + 1}" for one in truth.batch[truth.donor]]
    assert made.obs["label"].tolist() == [f"type{one + 1}" for one in truth.cell_type]
    kinds = made.uns["simulation"]["kind_fold_change"]
    np.testing.assert_array_equal(kinds, truth.kind_fold_change)


@pytest.mark.parametrize("seed", [0, 1])
def test_names_are_unique_and_the_same_for_every_seed(seed):
    made = simulate(OPTIONS, seed=seed)
    assert made.obs_names[:2].tolist() == ["cell1", "cell2"]
    assert made.var_names[-1] == "gene25"
    assert made.var["gene_symbol"].tolist() == made.var_names.tolist()
    assert made.obs_names.is_unique
