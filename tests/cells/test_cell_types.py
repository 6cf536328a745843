"""Types of planted cells: found, missing from the panel, mixed, in noise; shares and edges."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.cells import cell_types as module
from scpress.cells.cell_types import annotate_cells, best_share, neighbours_within, smooth
from scpress.cells.panels import check_panel, match_panel
from scpress.counts.sizes import log_normalize

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
    return truth, log_normalize(sparse.csr_matrix(X), np.ones(len(X))), graph, clusters


def name_cells(planted, table, min_confidence=0.5):
    _, values, graph, clusters = planted
    panel = match_panel(check_panel(table), [""] * len(GENES), GENES)
    found = annotate_cells(
        values[:, panel.columns], graph, clusters, panel, min_confidence=min_confidence
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


def test_noise_is_unassigned(small_table):
    random = np.random.default_rng(1)
    X = sparse.csr_matrix(random.poisson(0.03, size=(300, len(GENES))))
    edges = sparse.random(300, 300, density=0.05, random_state=1, format="csr")
    values = log_normalize(X, np.ones(300))
    names, found = name_cells((None, values, edges, np.zeros(300, int)), small_table)
    assert (names == "unassigned").all()
    assert (found.confidence < 0.5).all()


def test_two_types_in_one_cell_are_unassigned(planted, small_table):
    _, values, graph, clusters = planted
    both = values.copy().tolil()
    rows = np.flatnonzero(planted[0] == "B cell")
    both[rows] = values[rows] + values[np.flatnonzero(planted[0] == "T cell")]
    names, _ = name_cells((planted[0], both.tocsr(), graph, clusters), small_table)
    # A cell with a little more of one than of the other may be given it.
    assert (names[rows] == "unassigned").mean() >= 0.9


def test_higher_minimum_gives_fewer_answers(planted, small_table):
    names, found = name_cells(planted, small_table, min_confidence=0.999)
    assert (names == "unassigned").all()
    assert (found.confidence > 0.3).any()


def test_a_type_with_most_markers_missing_has_no_full_score(planted, small_table):
    more = [("B cell", "", f"ABSENT{number}", "positive") for number in range(20)]
    table = pd.concat([small_table, pd.DataFrame(more, columns=small_table.columns)])
    names, _ = name_cells(planted, table)
    assert (names[planted[0] == "B cell"] == "unassigned").all()


def test_edges_between_clusters_carry_nothing():
    graph = sparse.csr_matrix(np.array([[0, 2.0, 3.0], [2.0, 0, 0], [3.0, 0, 0]]))
    within = neighbours_within(graph, np.array([0, 0, 1]))
    np.testing.assert_allclose(within.toarray(), [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    values = np.array([[1.0], [1.0], [7.0]])
    np.testing.assert_allclose(smooth(values, within), values)


def test_share_is_one_half_where_the_score_is_that_of_none():
    share, best = best_share(np.array([[0.35, 0.0], [0.9, 0.9], [0.0, 1.0]]), 0.35)
    assert share[0] == pytest.approx(0.5)
    assert share[1] < 0.5
    assert share[2] > 0.85
    assert best[2] == 1


@pytest.mark.parametrize(("unknown_child", "is_lower"), [(0.1, False), (0.6, True)])
def test_confidence_is_the_least_along_the_path(
    planted, small_table, monkeypatch, unknown_child, is_lower
):
    monkeypatch.setattr(module, "_UNKNOWN_CHILD", unknown_child)
    _, found = name_cells(planted, small_table, min_confidence=0.3)
    roots, children = [0, 3, 4], [1, 2]
    expected, _ = best_share(found.scores[:, roots].astype(float), module._UNKNOWN_ROOT)
    below = np.isin(found.cell_type, children)
    share, _ = best_share(found.scores[below][:, children].astype(float), unknown_child)
    assert (share < expected[below]).all() == is_lower
    expected[below] = np.minimum(expected[below], share)
    np.testing.assert_allclose(found.confidence, expected, rtol=1e-4)


def test_negative_markers_take_the_score_away(small_table):
    names = np.repeat(["NK cell", "both"], 40)
    expressed = {"NK cell": "GNLY KLRF1", "both": "GNLY KLRF1 CD3D CD3E CD3G"}
    on = np.array([[gene in expressed[name].split() for gene in GENES] for name in names])
    X = sparse.csr_matrix(np.where(on, 5, 0))
    clusters = np.repeat([0, 1], 40)
    graph = sparse.csr_matrix((clusters[:, None] == clusters).astype(float))
    values = log_normalize(X, np.ones(80))
    _, found = name_cells((names, values, graph, clusters), small_table)
    np.testing.assert_allclose(found.scores[:40, 4], 1, atol=0.01)
    np.testing.assert_allclose(found.scores[40:, 4], 0, atol=0.01)


@pytest.mark.parametrize(
    ("name", "lost"), [("_UNKNOWN_ROOT", "B cell"), ("_UNKNOWN_CHILD", "CD8 T")]
)
def test_each_level_has_its_own_score_of_none_of_them(
    planted, small_table, monkeypatch, name, lost
):
    monkeypatch.setattr(module, name, 100.0)
    names, _ = name_cells(planted, small_table)
    expected = {"_UNKNOWN_ROOT": "unassigned", "_UNKNOWN_CHILD": "T cell"}[name]
    assert (names[planted[0] == lost] == expected).all()


def test_markers_of_a_few_genes_at_a_time_give_the_same_scores(planted, small_table, monkeypatch):
    _, whole = name_cells(planted, small_table)
    monkeypatch.setattr(module, "_GENES_AT_A_TIME", 2)
    _, parts = name_cells(planted, small_table)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-6)
