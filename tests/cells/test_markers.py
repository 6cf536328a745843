import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import false_discovery_control, mannwhitneyu

from scpress.cells import markers as markers_module
from scpress.cells.markers import (
    adjust_p_values,
    draw_cells,
    find_markers,
    log2_fold_changes,
    rank_sum_test,
)


@given(st.integers(0, 10_000))
def test_rank_sum_test_is_scipys_with_ties(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 4, (25, 6)) * (rng.random((25, 6)) < 0.6)
    in_group = np.zeros((2, 25), dtype=bool)
    in_group[0, : rng.integers(1, 24)] = True
    in_group[1] = rng.permutation(np.arange(25) < 10)
    z, p_value = rank_sum_test(sparse.csr_matrix(values), in_group)
    for row, group in enumerate(in_group):
        for gene in range(6):
            if np.ptp(values[:, gene]) == 0:
                assert p_value[row, gene] == 1
                continue
            expected = mannwhitneyu(values[group, gene], values[~group, gene], method="asymptotic")
            assert p_value[row, gene] == pytest.approx(min(expected.pvalue, 1.0), abs=1e-9)
            above = expected.statistic - group.sum() * (~group).sum() / 2
            assert np.sign(z[row, gene]) in (0, np.sign(above))


def test_rank_sum_test_of_an_empty_side_finds_nothing():
    values = sparse.csr_matrix(np.eye(4))
    z, p_value = rank_sum_test(values, np.array([[True] * 4, [False] * 4]))
    assert (p_value == 1).all()
    assert (z == 0).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_values_are_benjamini_and_hochbergs(values):
    np.testing.assert_allclose(
        adjust_p_values(np.array(values)), false_discovery_control(values), atol=1e-12
    )


def test_each_row_is_adjusted_by_itself():
    p = np.random.default_rng(5).uniform(size=(6, 40)) ** 3
    expected = np.stack([false_discovery_control(row) for row in p])
    np.testing.assert_allclose(adjust_p_values(p), expected)


def test_fold_change_does_not_depend_on_depth():
    rng = np.random.default_rng(0)
    deep = np.arange(400) < 200
    size_factor = np.where(deep, 4.0, 0.5)
    counts = sparse.csr_matrix(rng.poisson(size_factor[:, None] * np.full(30, 3.0)))
    change = log2_fold_changes(counts, size_factor, deep[None])
    assert np.abs(change).max() < 0.25


def test_find_markers_finds_the_planted_ones_and_ranks_the_strongest_first():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 100)
    mu = np.ones((3, 20))
    mu[0, 3], mu[0, 4], mu[1, 7] = 6, 3, 4
    counts = sparse.csr_matrix(rng.poisson(mu[labels]))
    genes = np.array([f"g{number}" for number in range(20)])
    found = find_markers(
        counts, np.ones(300), labels, genes, max_fdr=0.01, min_log2_fold_change=0.8
    )
    assert found[["group", "gene"]].to_numpy().tolist() == [[0, "g3"], [0, "g4"], [1, "g7"]]
    assert (found["fraction_in_group"] > found["fraction_in_others"]).all()


def test_marker_shared_by_two_groups_is_no_groups_own():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 100)
    mu = np.ones((3, 5))
    mu[0, 1] = mu[1, 1] = 5
    counts = sparse.csr_matrix(rng.poisson(mu[labels]))
    limits = {"max_fdr": 0.01, "min_log2_fold_change": 0.5}
    genes = np.array(list("abcde"))
    shared = find_markers(counts, np.ones(300), labels, genes, **limits)
    own = find_markers(counts, np.ones(300), labels, genes, against_each=True, **limits)
    assert set(shared["gene"]) == {"b"}
    assert own.empty


def test_one_group_has_no_markers():
    found = find_markers(
        sparse.csr_matrix(np.eye(3)),
        np.ones(3),
        np.zeros(3),
        np.array(list("abc")),
        max_fdr=1,
        min_log2_fold_change=0,
    )
    assert found.empty
    assert "gene" in found


@pytest.mark.parametrize("at_a_time", [1, 7, 60])
def test_genes_tested_a_few_at_a_time_are_tested_the_same(monkeypatch, at_a_time):
    rng = np.random.default_rng(0)
    values = sparse.csr_matrix(rng.poisson(0.5, (40, 9)) * np.array([1] * 8 + [0]))
    in_group = np.array([np.arange(40) < 15, np.arange(40) >= 15])
    z, p_value = rank_sum_test(values, in_group)
    monkeypatch.setattr(markers_module, "_NONZEROS_AT_A_TIME", at_a_time)
    for found, expected in zip(rank_sum_test(values, in_group), (z, p_value), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_fold_change_is_that_of_the_means_with_a_little_added_to_both():
    counts = np.array([[4, 0, 2], [2, 0, 0], [0, 0, 8], [0, 0, 1]])
    size_factor = np.array([2.0, 1.0, 4.0, 0.5])
    in_group = np.array([[True, True, False, False]])
    change = log2_fold_changes(sparse.csr_matrix(counts), size_factor, in_group)[0]
    scaled = counts / size_factor[:, None]
    little = markers_module._PSEUDO_COUNT
    expected = np.log2((scaled[:2].mean(axis=0) + little) / (scaled[2:].mean(axis=0) + little))
    np.testing.assert_allclose(change, expected)
    # Never seen in the others: large, and no infinity.
    assert 0 < little < 1
    assert 4 < change[0] < 7


def test_against_each_rival_the_worst_comparison_is_reported():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 30)
    mu = np.array([[4, 4, 1, 3], [1, 3, 1, 4], [2, 4, 3, 1.0]])
    counts = rng.poisson(mu[labels])
    limits = {"max_fdr": 1.0, "min_log2_fold_change": -99.0}
    found = find_markers(
        sparse.csr_matrix(counts),
        np.ones(90),
        labels,
        np.array(list("abcd")),
        against_each=True,
        **limits,
    ).set_index(["group", "gene"])
    assert len(found) == 12
    for group in range(3):
        own = counts[labels == group]
        for number, gene in enumerate("abcd"):
            p_values, changes = [], []
            for rival in {0, 1, 2} - {group}:
                other = counts[labels == rival]
                values = own[:, number], other[:, number]
                tested = mannwhitneyu(*values, method="asymptotic")
                # In the wrong direction nothing speaks for a marker.
                is_above = tested.statistic > 30 * 30 / 2
                p_values.append(tested.pvalue if is_above else 1.0)
                changes.append(np.log2((values[0].mean() + 0.05) / (values[1].mean() + 0.05)))
            row = found.loc[(group, gene)]
            assert row["p_value"] == pytest.approx(max(p_values), rel=1e-9)
            assert row["log2_fold_change"] == pytest.approx(min(changes), rel=1e-9)


def test_many_cells_are_drawn_in_proportion_with_all_of_a_small_cluster():
    code = np.repeat([0, 1, 2], [9000, 990, 10])
    rows = draw_cells(code, 2000, seed=0)
    drawn = np.bincount(code[rows])
    assert drawn.tolist() == [1800, 198, 10]
    assert (np.diff(rows) > 0).all()
    assert (rows == draw_cells(code, 2000, seed=0)).all()
    assert len(draw_cells(code, 10_000, seed=0)) == 10_000
