"""Neighbours against all distances, recall against sets."""

import warnings

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from sklearn.neighbors import KNeighborsTransformer

from scpress.cells import graph


def test_neighbors_are_the_nearest_without_oneself():
    z = np.array([[0.0], [1.0], [3.0], [7.0]], dtype=np.float32)
    np.testing.assert_array_equal(graph.nearest_neighbors(z, 1).ravel(), [1, 0, 1, 2])
    assert graph.nearest_neighbors(z, 15).shape == (4, 3)


def test_neighbors_match_all_distances(monkeypatch):
    monkeypatch.setattr(graph, "_BLOCK_CELLS", 30)
    z = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32) + 100
    distance = np.linalg.norm(z[:, None] - z[None].astype(float), axis=2)
    np.fill_diagonal(distance, np.inf)
    expected = np.argsort(distance, axis=1)[:, :7]
    np.testing.assert_array_equal(graph.nearest_neighbors(z, 7), expected)


def test_neighbor_recall_counts_sets_not_order():
    reference = np.array([[1, 2], [0, 2], [0, 1]])
    assert graph.neighbor_recall(reference[:, ::-1], reference) == 1
    half = np.array([[1, 2], [0, 0], [2, 2]])
    assert graph.neighbor_recall(half, reference) == pytest.approx(0.5)


def test_clusters_of_neighbors_find_two_clouds():
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 50])
    clusters = graph.cluster_neighbors(graph.nearest_neighbors(z, 15), resolution=0.1)
    assert len(set(clusters[:60])) == len(set(clusters[60:])) == 1
    assert clusters[0] != clusters[60]
    again = graph.cluster_neighbors(graph.nearest_neighbors(z, 15), resolution=0.1)
    np.testing.assert_array_equal(clusters, again)


def test_neighbours_of_ten_thousand_cells():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 10_000)
    points = 8 * np.eye(6)[truth] + rng.normal(size=(10_000, 6))
    built = graph.build_graph(points.astype(np.float32), n_neighbors=15, seed=0, key="X_model")
    rows, columns = built.obsp["distances"].nonzero()
    assert (truth[rows] == truth[columns]).mean() > 0.99


@pytest.mark.parametrize("kind", ["cloud", "doubles", "few", "two"])
def test_the_graph_and_its_communities_are_scanpys(kind):
    rng = np.random.default_rng(0)
    points = rng.normal(size=({"few": 12, "two": 3}.get(kind, 400), 5)).astype(np.float32)
    points[: len(points) // 2] *= 40
    if kind == "doubles":
        # Cells at the same place, more of them than a cell has neighbours.
        points[:30] = points[0]
    n_neighbors = min(15, len(points) - 1)
    transformer = KNeighborsTransformer(n_neighbors=n_neighbors)
    expected = ad.AnnData(obsm={"X_model": points})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.neighbors(
            expected, n_neighbors, use_rep="X_model", transformer=transformer, random_state=3
        )
    found = graph.build_graph(points, n_neighbors=15, seed=3, key="X_model")
    assert found.uns["neighbors"] == expected.uns["neighbors"]
    assert (found.obsp["distances"] != expected.obsp["distances"]).nnz == 0
    for key in ("distances", "connectivities"):
        assert found.obsp[key].dtype == expected.obsp[key].dtype
    ours, theirs = found.obsp["connectivities"], expected.obsp["connectivities"]
    np.testing.assert_array_equal(ours.toarray() > 0, theirs.toarray() > 0)
    np.testing.assert_allclose(ours.toarray(), theirs.toarray(), atol=1e-6)
    communities = graph.Communities(found)
    for resolution in (0.3, 1.0, 3.0):
        words = {"flavor": "igraph", "n_iterations": 2, "directed": False, "random_state": 3}
        sc.tl.leiden(expected, resolution, **words)
        wanted = expected.obs["leiden"].to_numpy().astype(int)
        np.testing.assert_array_equal(communities.find(resolution, seed=3), wanted)
        np.testing.assert_array_equal(graph.leiden(found, resolution, seed=3), wanted)


def test_widths_of_blocks_are_those_of_all(monkeypatch):
    points = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    whole = graph.build_graph(points, n_neighbors=5, seed=0, key="X_model")
    monkeypatch.setattr(graph, "_WIDTHS_AT_A_TIME", 7)
    parts = graph.build_graph(points, n_neighbors=5, seed=0, key="X_model")
    assert (whole.obsp["connectivities"] != parts.obsp["connectivities"]).nnz == 0


def test_graphs_of_many_cells_are_those_of_few(monkeypatch):
    points = np.random.default_rng(0).normal(size=(500, 6)).astype(np.float32)
    points[3] = points[4]
    exact = graph.build_graph(points, n_neighbors=15, seed=0, key="X_model")
    monkeypatch.setattr(graph, "_EXACT_CELLS", 100)
    found = graph.build_graph(points, n_neighbors=15, seed=0, key="X_model")
    for key in ("distances", "connectivities"):
        a, b = (one.obsp[key].toarray() for one in (exact, found))
        np.testing.assert_allclose(a, b, atol=2e-3)
        np.testing.assert_array_equal(a > 0, b > 0)


def test_a_link_of_one_graph_alone_is_half_as_strong_in_the_average_of_two():
    rng = np.random.default_rng(0)
    graphs = [
        graph.build_graph(rng.normal(size=(40, 3)), n_neighbors=4, seed=0, key="X_model")
        for _ in range(2)
    ]
    first, second = (one.obsp["connectivities"].toarray() for one in graphs)
    averaged = graph.average_graphs(graphs)
    np.testing.assert_allclose(averaged.obsp["connectivities"].toarray(), (first + second) / 2)
    np.testing.assert_array_equal(graphs[0].obsp["connectivities"].toarray(), first)
    alone = graph.average_graphs(graphs[:1])
    np.testing.assert_array_equal(alone.obsp["connectivities"].toarray(), first)
