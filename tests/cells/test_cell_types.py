"""Types of planted cells: found, missing from the panel, mixed, in noise; likelihood and edges."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, sparse, stats

from scpress.cells import cell_types as module
from scpress.cells.cell_types import (
    add_children,
    annotate_cells,
    log_odds_on,
    neighbours_within,
    pool_cells,
    smooth,
    type_shares,
)
from scpress.cells.panels import check_panel, match_panel

GENES = ["CD3D", "CD3E", "CD3G", "CD8A", "CD8B", "CD4", "IL7R", "MS4A1", "CD79A", "GNLY", "KLRF1"]
TREE = [
    ("T cell", "", "CD3D CD3E CD3G", ""),
    ("CD8 T", "T cell", "CD8A CD8B", "CD4"),
    ("CD4 T", "T cell", "CD4 IL7R", "CD8A CD8B"),
    ("B cell", "", "MS4A1 CD79A", ""),
    ("NK cell", "", "GNLY KLRF1", "CD3D CD3E CD3G"),
]
EXPRESSED = {
    "CD8 T": "CD3D CD3E CD3G CD8A CD8B GNLY",
    "CD4 T": "CD3D CD3E CD3G CD4 IL7R",
    "T cell": "CD3D CD3E CD3G",
    "B cell": "MS4A1 CD79A",
    "NK cell": "GNLY KLRF1",
}


@pytest.fixture(scope="module")
def small_table():
    rows = [
        (cell_type, parent, gene, direction)
        for cell_type, parent, positive, negative in TREE
        for direction, genes in (("positive", positive), ("negative", negative))
        for gene in genes.split()
    ]
    return pd.DataFrame(rows, columns=["cell_type", "parent", "gene_symbol", "direction"])


@pytest.fixture(scope="module")
def planted():
    """40 cells of each type, one cluster each, every cell tied to all others of its type."""
    truth = np.repeat(list(EXPRESSED), 40)
    on = np.array([[gene in EXPRESSED[name].split() for gene in GENES] for name in truth])
    random = np.random.default_rng(0)
    X = random.poisson(np.where(on, 3.0, 0.03))
    clusters = np.repeat(np.arange(len(EXPRESSED)), 40)
    graph = sparse.csr_matrix((clusters[:, None] == clusters[None, :]).astype(float))
    return truth, sparse.csr_matrix(X), graph, clusters


def name_cells(planted, table, min_confidence=0.5, library_size=2000.0):
    _, counts, graph, clusters = planted
    panel = match_panel(check_panel(table), [""] * len(GENES), GENES)
    found = annotate_cells(
        counts[:, panel.columns],
        np.ones(len(clusters)),
        library_size,
        graph,
        clusters,
        panel,
        min_confidence=min_confidence,
    )
    return np.array([*panel.cell_types, "unassigned"])[found.cell_type], found


def test_planted_types_are_found_and_unresolved_ones_keep_the_parent(planted, small_table):
    names, found = name_cells(planted, small_table)
    assert (names == planted[0]).all()
    assert (found.confidence >= 0.5).all()
    assert (found.confidence <= 1).all()
    # Types below T are scored in T cells only.
    is_t = np.isin(planted[0], ["CD8 T", "CD4 T", "T cell"])
    assert np.isfinite(found.scores[is_t]).all()
    assert np.isnan(found.scores[~is_t][:, 1:3]).all()


@pytest.mark.parametrize(
    ("removed", "instead"),
    [("NK cell", "unassigned"), ("B cell", "unassigned"), ("CD8 T", "T cell"), ("CD4 T", "T cell")],
)
def test_type_missing_from_the_panel_is_not_its_neighbour(planted, small_table, removed, instead):
    names, _ = name_cells(planted, small_table[small_table["cell_type"] != removed])
    expected = np.where(planted[0] == removed, instead, planted[0])
    assert (names == expected).all()


def test_lineage_missing_from_the_panel_is_unassigned(planted, small_table):
    lineage = small_table["cell_type"].eq("T cell") | small_table["parent"].eq("T cell")
    names, _ = name_cells(planted, small_table[~lineage])
    is_t = np.isin(planted[0], ["CD8 T", "CD4 T", "T cell"])
    assert (names[is_t] == "unassigned").all()
    assert (names[~is_t] == planted[0][~is_t]).all()


def test_none_of_them_has_more_where_the_types_have_markers_enough(
    planted, small_table, monkeypatch
):
    is_b = planted[0] == "B cell"
    _, few = name_cells(planted, small_table)
    monkeypatch.setattr(module, "_ENOUGH", 3.0)
    names, enough = name_cells(planted, small_table)
    monkeypatch.setattr(module, "_UNKNOWN", 0.0)
    _, free = name_cells(planted, small_table)
    assert (names[is_b] == "unassigned").all()
    one, two, three = (np.mean(found.confidence[is_b]) for found in (enough, few, free))
    assert one < 0.5 < two < three


def test_noise_is_unassigned(small_table):
    random = np.random.default_rng(1)
    X = sparse.csr_matrix(random.poisson(0.03, size=(300, len(GENES))))
    edges = sparse.random(300, 300, density=0.05, random_state=1, format="csr")
    table = small_table.assign(typical="20")
    names, found = name_cells((None, X, edges, np.zeros(300, int)), table)
    assert (names == "unassigned").all()
    assert (found.confidence < 0.5).all()


def test_cells_of_two_types_at_once_have_no_high_confidence(planted, small_table):
    truth, counts, graph, clusters = planted
    both = counts.tolil(copy=True)
    rows = np.flatnonzero(truth == "B cell")
    both[rows] = counts[rows] + counts[np.flatnonzero(truth == "NK cell")]
    table = small_table[small_table["direction"] == "positive"]
    _, found = name_cells((truth, both.tocsr(), graph, clusters), table)
    _, pure = name_cells(planted, table)
    assert (found.confidence[rows] < 0.6).all()
    assert (pure.confidence[rows] > 0.7).all()


def test_higher_minimum_gives_fewer_answers(planted, small_table):
    names, found = name_cells(planted, small_table, min_confidence=0.9999)
    assert (names == "unassigned").all()
    assert (found.confidence > 0.3).any()


def test_markers_that_are_not_in_the_matrix_count_neither_way(planted, small_table):
    more = [("B cell", "", f"ABSENT{number}", "positive") for number in range(20)]
    table = pd.concat([small_table, pd.DataFrame(more, columns=small_table.columns)])
    _, whole = name_cells(planted, small_table)
    _, found = name_cells(planted, table)
    np.testing.assert_array_equal(found.scores, whole.scores)


def test_a_marker_that_the_depth_cannot_show_counts_for_less_than_one_it_can(small_table):
    """Silent KLRF1 speaks against NK cells in the measure in which it would have been seen."""
    n = 200
    X = np.zeros((n, len(GENES)), dtype=int)
    X[: n // 2, GENES.index("GNLY")] = 3
    clusters = np.repeat([0, 1], n // 2)
    alone = sparse.csr_matrix((n, n))
    table = small_table[small_table["direction"] == "positive"]
    table = table.assign(typical=np.where(table["gene_symbol"] == "KLRF1", "10", ""))
    share = {}
    for library_size in (10.0, 100_000.0):
        _, found = name_cells(
            (None, sparse.csr_matrix(X), alone, clusters), table, library_size=library_size
        )
        share[library_size] = found.scores[0, 4]
    assert share[10.0] > share[100_000.0] + 0.2


def test_odds_are_those_of_gamma_rates(planted):
    """On: Poisson with a gamma rate. Off: with an exponential rate. Both by integration."""
    for shape in (0.5, 2.0):
        for count, high in ((0, 0.1), (0, 5.0), (3, 5.0), (7, 2.0)):
            on, off = (
                integrate.quad(
                    lambda rate, law=law, count=count: (
                        stats.poisson.pmf(count, rate) * law.pdf(rate)
                    ),
                    0,
                    np.inf,
                )[0]
                for law in (
                    stats.gamma(shape, scale=high / shape),
                    stats.expon(scale=module._OFF_RATE * high),
                )
            )
            found = log_odds_on(np.array([[count]]), np.array([[high]]), shape=shape)
            assert found[0, 0] == pytest.approx(np.log(on / off), rel=1e-4, abs=1e-6)


def test_a_pool_is_worth_as_many_cells_as_its_weights_say():
    n, n_alone = 300, 5
    clusters = np.repeat([0, 1], [n, n_alone])
    near = sparse.random(n, n, density=0.05, random_state=0) + sparse.eye(n, k=1)
    graph = sparse.block_diag([near, np.zeros((n_alone, n_alone))], format="csr")
    sizes = np.full(n + n_alone, 2.0)
    pools = pool_cells(sparse.csr_matrix((n + n_alone, 1)), sizes, graph, clusters)
    weights = smooth(np.eye(n + n_alone), neighbours_within(graph, clusters))
    expected = 1 / np.mean((weights[:n] ** 2).sum(axis=1))
    np.testing.assert_allclose(pools.n_cells[:n], expected, rtol=0.25)
    assert 10 < expected < 100
    np.testing.assert_allclose(pools.n_cells[n:], 1)  # without a neighbour, the cell itself
    np.testing.assert_allclose(pools.exposure, 2 * pools.n_cells)


def test_edges_between_clusters_carry_nothing():
    graph = sparse.csr_matrix(np.array([[0, 2.0, 3.0], [2.0, 0, 0], [3.0, 0, 0]]))
    within = neighbours_within(graph, np.array([0, 0, 1]))
    np.testing.assert_allclose(within.toarray(), [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    values = np.array([[1.0], [1.0], [7.0]])
    np.testing.assert_allclose(smooth(values, within), values)


def test_share_is_one_half_where_the_evidence_is_that_of_none():
    share = type_shares(np.array([[1.2, -50.0], [40.0, 40.0], [-50.0, 9.0]]))
    assert share[0, 0] == pytest.approx(0.5)
    np.testing.assert_allclose(share[1], 0.5)
    assert share[2, 1] > 0.99
    assert np.isfinite(type_shares(np.array([[2000.0, -2000.0]]))).all()


def test_confidence_is_the_product_along_the_path(planted, small_table):
    _, found = name_cells(planted, small_table, min_confidence=0.3)
    roots, children = [0, 3, 4], [1, 2]
    expected = found.scores[:, roots].max(axis=1)
    below = np.isin(found.cell_type, children)
    assert below.any()
    expected[below] *= found.scores[below][:, children].max(axis=1)
    np.testing.assert_allclose(found.confidence, expected, rtol=1e-5)


def test_negative_markers_speak_against_a_type(small_table):
    names = np.repeat(["NK cell", "both"], 40)
    expressed = {"NK cell": "GNLY KLRF1", "both": "GNLY KLRF1 CD3D CD3E CD3G"}
    on = np.array([[gene in expressed[name].split() for gene in GENES] for name in names])
    X = sparse.csr_matrix(np.where(on, 5, 0))
    clusters = np.repeat([0, 1], 40)
    graph = sparse.csr_matrix((clusters[:, None] == clusters).astype(float))
    table = small_table[small_table["cell_type"] == "NK cell"]
    named, _ = name_cells((names, X, graph, clusters), table)
    assert (named == np.where(names == "both", "unassigned", "NK cell")).all()


def test_a_type_shows_itself_by_a_child_unless_its_own_markers_refute_it(planted, small_table):
    # Of T cells only CD3D is in the panel: with the markers of CD8 cells it is enough, and NK
    # cells that have those, but no CD3D, stay NK cells.
    table = small_table[~small_table["gene_symbol"].isin(["CD3E", "CD3G"])]
    extra = [("CD8 T", "T cell", "GNLY", "positive")]
    table = pd.concat([table, pd.DataFrame(extra, columns=table.columns)])
    names, found = name_cells(planted, table)
    truth = planted[0]
    assert (names[truth == "NK cell"] == "NK cell").all()
    assert (names[truth == "CD8 T"] == "CD8 T").mean() > 0.9
    without = table[table["parent"] != "T cell"]
    _, alone = name_cells(planted, without)
    is_cd8 = truth == "CD8 T"
    assert found.scores[is_cd8, 0].mean() > alone.scores[is_cd8, 0].mean()


def test_a_child_speaks_for_its_parent_unless_the_parents_own_markers_refute_it(small_table):
    panel = match_panel(check_panel(small_table), [""] * len(GENES), GENES)
    family = panel.with_descendants(np.array([0, 4]))  # T with CD8 and CD4 below it, NK
    evidence = np.array([[3.0, 5.0, 1.0, 2.0], [-9.0, 5.0, 1.0, 2.0], [3.0, -5.0, -1.0, 2.0]])
    total = add_children(evidence, family, panel)
    np.testing.assert_allclose(total[:, 0], [8, -9, 3], atol=0.05)
    np.testing.assert_array_equal(total[:, 1:], evidence[:, 1:])


def test_the_cells_own_molecules_count_beside_its_neighbours(planted, small_table, monkeypatch):
    truth, counts, graph, clusters = planted
    lone, other = np.flatnonzero(truth == "B cell")[:2]
    own = counts.tolil(copy=True)
    own[lone] = counts[np.flatnonzero(truth == "NK cell")].max(axis=0)
    # Neighbours alone: the cell has no weight in its own pool.
    monkeypatch.setattr(module, "_STEP_WEIGHTS", (0.0, 0.3, 0.3, 0.4))
    _, found = name_cells((truth, own.tocsr(), graph, clusters), small_table)
    assert found.scores[lone, 4] > 10 * found.scores[other, 4]


def test_markers_of_a_few_genes_at_a_time_give_the_same_scores(planted, small_table, monkeypatch):
    _, whole = name_cells(planted, small_table)
    monkeypatch.setattr(module, "_GENES_AT_A_TIME", 2)
    _, parts = name_cells(planted, small_table)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-6)
