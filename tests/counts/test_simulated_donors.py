import numpy as np
import pytest

from scpress.config.simulation import SimulateOptions
from scpress.counts.simulated_donors import simulate_donors
from scpress.errors import InputError

OPTIONS = SimulateOptions(
    n_cells=6000, n_genes=60, n_types=3, n_donors=8, donor_genes=10, donor_sd=0.0, n_batches=2
)


def made(seed=0, **changes):
    return simulate_donors(SimulateOptions(**{**vars(OPTIONS), **changes}), seed=seed)


def shares(truth, cells):
    """[genes] Part of the molecules of some cells."""
    counts = np.asarray(truth.counts[cells].sum(axis=0)).ravel()
    return counts / counts.sum()


def test_conditions_kinds_and_batches_are_balanced_against_each_other():
    truth = made(n_donors=24)
    for one, other in (("condition", "batch"), ("condition", "kind"), ("batch", "kind")):
        pairs = getattr(truth, one) * 2 + getattr(truth, other)
        assert np.bincount(pairs).tolist() == [6, 6, 6, 6], (one, other)


def test_a_confounded_condition_is_a_batch():
    truth = made(confounded=True)
    np.testing.assert_array_equal(truth.condition, truth.batch)
    assert set(truth.condition) == {0, 1}
    with pytest.raises(InputError, match="confounded needs n_batches 2"):
        made(confounded=True, n_batches=1)


@pytest.mark.parametrize(
    ("key", "group"), [("condition_effect", "condition"), ("donor_subtype_effect", "kind")]
)
def test_an_effect_on_composition_makes_the_first_type_so_many_times_as_frequent(key, group):
    truth = made(**{key: "composition"}, donor_fold_change=3.0, donor_composition_sd=0.0)
    second = getattr(truth, group)[truth.donor] == 1
    first, other = (
        np.mean(truth.cell_type[cells] == 0) / np.mean(truth.cell_type[cells] == 1)
        for cells in (second, ~second)
    )
    assert first / other == pytest.approx(3.0, rel=0.15)


@pytest.mark.parametrize(
    ("key", "group"), [("condition_effect", "condition"), ("donor_subtype_effect", "kind")]
)
def test_an_effect_on_expression_is_in_the_first_type_half_up_and_half_down(key, group):
    truth = made(**{key: "expression"}, n_batches=1, theta=100.0)
    planted = getattr(truth, f"{group}_fold_change")
    assert np.sum(planted == 2.0) == np.sum(planted == 0.5) == 5
    second = getattr(truth, group)[truth.donor] == 1
    for cell_type, expected in ((0, planted), (1, np.ones(60))):
        of_type = truth.cell_type == cell_type
        found = shares(truth, second & of_type) / shares(truth, ~second & of_type)
        np.testing.assert_allclose(found / np.median(found), expected, rtol=0.25)


def test_condition_and_kind_change_no_gene_together():
    truth = made(condition_effect="expression", donor_subtype_effect="expression")
    assert not np.any((truth.condition_fold_change != 1) & (truth.kind_fold_change != 1))
    with pytest.raises(InputError, match="donor_genes is 31 and n_genes 60"):
        made(donor_genes=31)


def test_donors_differ_by_their_own_expression_and_composition():
    still, moved = (made(donor_sd=sd, n_batches=1, n_types=1, theta=1e3) for sd in (0.0, 0.5))
    for truth, low, high in ((still, 0.0, 0.1), (moved, 0.4, 0.6)):
        logs = np.log([shares(truth, truth.donor == donor) for donor in range(8)])
        assert low < np.median(logs.std(axis=0, ddof=1)) < high


def test_the_seed_makes_the_counts():
    assert (made(1).counts != made(1).counts).nnz == 0
    assert (made(1).counts != made(2).counts).nnz > 0
