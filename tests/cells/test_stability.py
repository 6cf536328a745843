import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from scpress.cells.stability import (
    adjusted_rand_index,
    draw_subsamples,
    found_again,
    match_clusters,
    merge_unstable,
    sort_by_size,
    summarize_agreement,
)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_adjusted_rand_index_is_scikit_learns(pairs):
    first, second = (np.array(values) for values in zip(*pairs, strict=True))
    expected = adjusted_rand_score(first, second)
    assert adjusted_rand_index(first, second) == pytest.approx(expected, abs=1e-12)


def test_subsamples_have_the_size_and_no_row_twice():
    rng = np.random.default_rng(0)
    drawn = list(draw_subsamples(50, n_subsamples=4, fraction=0.8, rng=rng))
    assert [len(set(rows)) for rows in drawn] == [40] * 4
    assert not np.array_equal(drawn[0], drawn[1])


def test_interval_holds_the_middle_of_the_values():
    summary = summarize_agreement([0.0] + [0.9] * 19)
    assert summary.mean == pytest.approx(0.855)
    assert summary.low > 0.8
    assert summarize_agreement([0.0] * 4 + [0.9] * 16).low == 0.0


def test_match_clusters_names_each_cluster_by_the_one_it_mostly_lies_in():
    reference = np.array([0, 0, 0, 1, 1, 2])
    found = np.array([5, 5, 7, 7, 7, 9])
    assert match_clusters(reference, found).tolist() == [0, 0, 1, 1, 1, 2]


def test_a_cell_is_found_again_where_it_lies_with_most_of_its_cluster():
    labels = np.array([0, 0, 0, 1, 1, 1])
    rows = np.arange(5)
    # The cluster of 0 comes back in two pieces; the second time, cell 2 goes to the others.
    subsamples = [(rows, np.array([7, 7, 5, 2, 2])), (rows, np.array([1, 1, 0, 0, 0]))]
    share = found_again(labels, subsamples)
    assert share[:5].tolist() == [1, 1, 0.5, 1, 1]
    assert np.isnan(share[5])


def test_sort_by_size_numbers_the_largest_zero():
    assert sort_by_size(np.array([4, 2, 2, 9, 2, 9])).tolist() == [2, 0, 0, 1, 0, 1]


def test_boundary_that_does_not_come_back_is_joined_and_one_that_does_stays():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 40)
    islands = np.zeros(120, dtype=int)
    subsamples = []
    for rows in draw_subsamples(120, n_subsamples=10, fraction=0.8, rng=rng):
        found = labels[rows].copy()
        # 0 and 1 are cut anew each time; 2 always comes back.
        found[found < 2] = rng.integers(0, 2, (found < 2).sum())
        subsamples.append((rows, found))
    merged = merge_unstable(labels, islands, subsamples, min_stability=0.7)
    assert merged.tolist() == [0] * 80 + [1] * 40


def test_boundary_between_islands_stays_whatever_the_subsamples_say():
    labels = np.repeat([0, 1], 30)
    rows = np.arange(60)
    subsamples = [(rows, np.zeros(60, dtype=int))] * 3
    joined = merge_unstable(labels, np.zeros(60, dtype=int), subsamples, min_stability=0.7)
    kept = merge_unstable(labels, labels, subsamples, min_stability=0.7)
    assert joined.max() == 0
    assert kept.max() == 1


def test_the_lower_end_is_what_nineteen_of_twenty_reach():
    # Two of twenty are below: no longer the one that is left aside.
    assert summarize_agreement([0.0] * 2 + [0.9] * 18).low < 0.1
    assert summarize_agreement([0.9] * 18 + [1.0] * 2).high > 0.98


def test_a_boundary_is_measured_anew_where_one_of_its_clusters_has_grown():
    labels = np.repeat([0, 1, 2], [40, 60, 40])
    # 1 is torn between the others each time. 0 and 2 are told apart, until 1 is part of one.
    found = np.repeat([0, 1], 70)
    subsamples = [(np.arange(140), found)] * 3
    merged = merge_unstable(labels, np.zeros(140, dtype=int), subsamples, min_stability=0.7)
    assert merged.max() == 0


def test_a_boundary_stays_by_the_lower_end_of_its_agreement():
    labels = np.repeat([0, 1], 30)
    rows = np.arange(60)
    lost = (rows, np.zeros(60, dtype=int))
    for n_lost, n_clusters in ((0, 2), (1, 2), (2, 1)):
        subsamples = [lost] * n_lost + [(rows, labels)] * (21 - n_lost)
        merged = merge_unstable(labels, np.zeros(60, dtype=int), subsamples, min_stability=0.7)
        assert merged.max() + 1 == n_clusters, n_lost
