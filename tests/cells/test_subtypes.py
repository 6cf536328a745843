"""Groups with planted subtypes, batches, gradients and nothing; what each is refused for."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.cells import subtypes as module
from scpress.cells.markers import MARKER_COLUMNS
from scpress.cells.stability import Agreement, adjusted_rand_index
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


PLANTED = SimulateOptions(n_cells=240, n_genes=300, n_types=1, n_subtypes=2)


@pytest.mark.parametrize(("low", "kept"), [(0.69, False), (0.7, True)])
def test_a_split_is_believed_by_the_lower_end_of_its_agreement(monkeypatch, low, kept):
    monkeypatch.setattr(
        module, "summarize_agreement", lambda _: Agreement(mean=0.95, low=low, high=1.0)
    )
    _, found = _find(PLANTED, 0, max_subtypes=2)
    assert found.labels.max() == int(kept)
    assert ("do not come back" in found.candidates[0]["verdict"]) is not kept
    assert found.candidates[0]["ari_mean"] == 0.95


def _keep_any_split(monkeypatch, labels_of):
    """Every number of subtypes is supported, with these labels and no markers."""

    def split(points, proposing, second, size_factor, genes, k, options, rng):
        row = {"n_subtypes": k, "ari_low": 1.0, "verdict": "kept"}
        return labels_of(k), pd.DataFrame(columns=MARKER_COLUMNS), row

    monkeypatch.setattr(module, "_try_split", split)


def test_of_the_supported_numbers_of_subtypes_the_largest_is_kept(monkeypatch):
    options = SimulateOptions(n_cells=300, n_genes=300, n_types=1, n_subtypes=3)
    planted = simulate_counts(options, seed=0).subtype
    # With two, the second and the third are one.
    _keep_any_split(monkeypatch, lambda k: np.minimum(planted, k - 1))
    _, found = _find(options, 0, max_subtypes=3)
    assert [row["verdict"] for row in found.candidates] == ["kept", "kept"]
    assert adjusted_rand_index(planted, found.labels) > 0.9
    assert found.reason.startswith("3 subtypes")


@pytest.mark.parametrize(("n_cells", "kept"), [(19, False), (20, True)])
def test_a_subtype_that_all_molecules_leave_too_small_is_none(monkeypatch, n_cells, kept):
    _keep_any_split(monkeypatch, lambda k: np.arange(240) % k)
    final = (np.arange(240) < n_cells).astype(int)
    monkeypatch.setattr(module, "nearest_center", lambda points, centers: final)
    _, found = _find(PLANTED, 0, max_subtypes=2, min_subtype_cells=20)
    if kept:
        np.testing.assert_array_equal(found.labels, final)
    else:
        assert found.labels.max() == 0
        assert found.candidates[0]["verdict"] == "a subtype is too small"


@pytest.mark.parametrize(("n_held_out", "tested"), [(2, False), (3, True)])
def test_a_subtype_of_fewer_than_three_held_out_cells_is_not_tested(n_held_out, tested):
    rng = np.random.default_rng(0)
    far = np.arange(200) < 40
    points = rng.normal(size=(200, 3)) + 30 * far[:, None]
    proposing = np.arange(200) < 100
    proposing[:40] = np.arange(40) >= n_held_out
    counts = sparse.csr_matrix(rng.poisson(1.0, (200, 6)))
    arguments = (points, proposing, counts, np.ones(200), np.arange(6).astype(str), 2)
    _, _, row = module._try_split(*arguments, SubtypeOptions(), rng)
    assert row["ari_low"] == 1.0
    assert (row["fewest_markers"] >= 0) is tested
    assert ("has only 40 cells" in row["verdict"]) is not tested


def test_one_fold_proposes_and_the_other_is_tested_in_the_other_cells(monkeypatch):
    seen = {}
    split, project, find = module.split_counts, module.project_cells, module.find_markers

    def splitting(*arguments, **keywords):
        seen["first"], seen["second"] = split(*arguments, **keywords)
        return seen["first"], seen["second"]

    def projecting(counts, size_factor, sample, *, fit):
        seen.setdefault("projected", (counts, size_factor, fit))
        return project(counts, size_factor, sample, fit=fit)

    def finding(counts, size_factor, *arguments, **keywords):
        seen["tested"] = counts, size_factor
        assert keywords["against_each"]
        return find(counts, size_factor, *arguments, **keywords)

    for name, wrapped in (
        ("split_counts", splitting),
        ("project_cells", projecting),
        ("find_markers", finding),
    ):
        monkeypatch.setattr(module, name, wrapped)
    _, found = _find(PLANTED, 0, max_subtypes=2)
    assert found.labels.max() == 1
    proposed_by, half_sizes, proposing = seen["projected"]
    assert proposed_by is seen["first"]
    assert proposing.sum() == 120
    tested, tested_sizes = seen["tested"]
    # Each fold has half of the molecules, so cells have half their size.
    np.testing.assert_array_equal(tested.toarray(), seen["second"][~proposing].toarray())
    np.testing.assert_array_equal(tested_sizes, half_sizes[~proposing])
