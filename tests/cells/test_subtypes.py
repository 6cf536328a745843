"""Groups with planted subtypes, batches, gradients and nothing; what each is refused for."""

import numpy as np
import pytest

from scpress.cells.stability import adjusted_rand_index
from scpress.cells.subtypes import find_subtypes
from scpress.config.options import SimulateOptions, SubtypeOptions
from scpress.counts.simulation import simulate_counts
from scpress.counts.sizes import library_sizes, size_factors


def _find(options, seed, **changes):
    truth = simulate_counts(options, seed=seed)
    genes = np.array([f"gene{number + 1}" for number in range(options.n_genes)])
    found = find_subtypes(
        truth.counts,
        size_factors(library_sizes(truth.counts)),
        genes,
        truth.batch,
        SubtypeOptions(**changes),
        rng=np.random.default_rng(seed),
    )
    return truth, found


@pytest.mark.parametrize("seed", range(3))
def test_homogeneous_type_has_no_subtypes(seed):
    options = SimulateOptions(n_cells=200, n_genes=300, n_types=1, n_batches=2)
    _, found = _find(options, seed)
    assert found.labels.max() == 0
    assert "no supported subtypes" in found.reason
    assert found.markers.empty


def test_stable_gradient_of_depth_has_no_markers_in_held_out_molecules():
    options = SimulateOptions(n_cells=300, n_genes=300, n_types=1, library_size_sd=0.9)
    _, found = _find(options, 0, min_stability=0.3)
    # It is stable enough to be tested, and then it is the held-out molecules that refuse it.
    assert "markers of its own in held-out molecules" in found.candidates[0]["verdict"]
    assert found.labels.max() == 0


@pytest.mark.parametrize("n_subtypes", [2, 3])
def test_planted_subtypes_are_found_with_their_markers(n_subtypes):
    options = SimulateOptions(n_cells=300, n_genes=400, n_types=1, n_subtypes=n_subtypes)
    truth, found = _find(options, 0)
    assert adjusted_rand_index(truth.subtype, found.labels) > 0.9
    planted = truth.subtype_fold_change > 1
    for label in range(n_subtypes):
        subtype_of = np.bincount(truth.subtype[found.labels == label]).argmax()
        names = found.markers.loc[found.markers["group"] == label, "gene"]
        numbers = names.str.removeprefix("gene").astype(int).to_numpy() - 1
        assert len(numbers) >= 3
        assert planted[subtype_of, numbers].mean() >= 0.9


def test_batches_are_no_subtypes():
    options = SimulateOptions(
        n_cells=300, n_genes=300, n_types=1, n_batches=2, batch_fold_change=2.5
    )
    truth, found = _find(options, 0)
    assert found.labels.max() == 0
    blind = find_subtypes(
        truth.counts,
        size_factors(library_sizes(truth.counts)),
        np.arange(300).astype(str),
        np.zeros(300, dtype=int),
        SubtypeOptions(max_subtypes=2),
        rng=np.random.default_rng(0),
    )
    # Without the sample the same cells fall apart: the centring is what prevents it.
    assert adjusted_rand_index(truth.batch, blind.labels) > 0.9


def test_small_and_silent_groups_have_a_reason():
    options = SimulateOptions(n_cells=40, n_genes=100, n_types=1)
    assert "40 cells are fewer than min_cells=60" in _find(options, 0)[1].reason
    quiet = SimulateOptions(n_cells=100, n_genes=4, n_types=1, mean_library_size=1)
    truth = simulate_counts(quiet, seed=0)
    found = find_subtypes(
        truth.counts[:, :3],
        np.ones(100),
        np.array(list("abc")),
        np.zeros(100, dtype=int),
        SubtypeOptions(),
        rng=np.random.default_rng(0),
    )
    assert "variable genes are detected" in found.reason
