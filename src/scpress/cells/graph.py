"""Which cells are near each other, and the communities among them."""

import random
from collections.abc import Sequence

import anndata as ad
import igraph
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.neighbors import KNeighborsTransformer

from scpress.cells.neighbors import nearest


def nearest_neighbors(z: np.ndarray, n_neighbors: int) -> np.ndarray:
    """[cells, n_neighbors] Euclidean neighbours of every cell, nearest first, without itself.

    Fewer where there are not as many other cells. Exact up to `_EXACT_CELLS`.
    """
    count = min(n_neighbors, len(z) - 1)
    if len(z) > _EXACT_CELLS:
        return nearest(z, count)[0].astype(np.int64)
    points = z.astype(np.float64)
    points -= points.mean(axis=0)
    square = np.sum(points**2, axis=1)
    neighbors = np.empty((len(z), count), dtype=np.int64)
    for start in range(0, len(z), _BLOCK_CELLS):
        rows = np.arange(start, min(start + _BLOCK_CELLS, len(z)))
        # |a - b|^2 less |a|^2, which is the same for all b.
        distance = square - 2 * (points[rows] @ points.T)
        distance[rows - start, rows] = np.inf
        near = np.argpartition(distance, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distance, near, axis=1), axis=1, kind="stable")
        neighbors[rows] = np.take_along_axis(near, order, axis=1)
    return neighbors


def neighbor_recall(neighbors: np.ndarray, reference: np.ndarray) -> float:
    """Mean fraction of a cell's reference neighbours that are found again."""
    n_obs, count = reference.shape
    # One number per (cell, neighbour) pair makes the intersection one call.
    offset = np.arange(n_obs, dtype=np.int64)[:, None] * n_obs
    found = np.isin(reference + offset, neighbors + offset)
    return float(found.sum() / (n_obs * count))


def cluster_neighbors(
    neighbors: np.ndarray, *, resolution: float = 1.0, seed: int = 0
) -> np.ndarray:
    """[cells] Leiden clusters of the symmetric graph of neighbours, unit weights."""
    n_obs, count = neighbors.shape
    cell, other = np.repeat(np.arange(n_obs), count), neighbors.ravel().astype(np.int64)
    # One number per pair sorts them as the pairs.
    pairs = np.unique(np.minimum(cell, other) * n_obs + np.maximum(cell, other))
    igraph.set_random_number_generator(random.Random(seed))
    graph = igraph.Graph(n_obs, np.column_stack(np.divmod(pairs, n_obs)))
    partition = graph.community_leiden(
        objective_function="modularity", resolution=resolution, n_iterations=2
    )
    return np.array(partition.membership)


# Cells whose distances to all others, or widths, are computed at a time.
_BLOCK_CELLS, _WIDTHS_AT_A_TIME = 500, 1 << 16
# Up to here all pairs of cells are compared; beyond it each with those of the groups around it.
_EXACT_CELLS = 4_000
# The search for a cell's width: halvings, how near it comes, and the least width, of mean distance.
_HALVINGS, _TOLERANCE, _LEAST_WIDTH = 64, 1e-5, 1e-3


def find_neighbors(points: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """[cells, n_neighbors + 1] Every cell itself and its nearest others, and how far they are."""
    n_obs = len(points)
    if n_obs <= _EXACT_CELLS:
        found = KNeighborsTransformer(n_neighbors=n_neighbors).fit_transform(points)
        return found.indices.reshape(n_obs, -1), found.data.reshape(n_obs, -1)
    rows, distances = nearest(points, n_neighbors)
    rows = np.column_stack([np.arange(n_obs), rows])
    return rows, np.column_stack([np.zeros(n_obs), distances])


def build_graph(points: np.ndarray, *, n_neighbors: int, seed: int, key: str) -> ad.AnnData:
    """[cells, 0] An AnnData with `obsm[key]` and its neighbours graph in scanpy's form.

    It is what `scanpy.pp.neighbors` gives, to the last digits of its weights, without the half
    minute in which umap is imported and compiled, which every process that makes a graph would
    need.
    """
    n_obs, n_neighbors = len(points), min(n_neighbors, len(points) - 1)
    rows, distances = find_neighbors(points, n_neighbors)
    indptr = np.arange(0, rows.size + 1, rows.shape[1])
    graph = ad.AnnData(obs=pd.DataFrame(index=[str(row) for row in range(n_obs)]))
    graph.obsm[key] = points
    graph.obsp["distances"] = sparse.csr_matrix(
        (distances.ravel(), rows.ravel(), indptr), shape=(n_obs, n_obs)
    )
    # scanpy counts a cell among its neighbours here, and so its last one is no link.
    links = rows[:, :n_neighbors], distances[:, :n_neighbors].astype(np.float32)
    graph.obsp["connectivities"] = _connect(*links)
    graph.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "distances_key": "distances",
        "params": {
            "n_neighbors": n_neighbors,
            "method": "umap",
            "random_state": seed,
            "metric": "euclidean",
            "use_rep": key,
        },
    }
    return graph


def _connect(rows: np.ndarray, distances: np.ndarray) -> sparse.csr_matrix:
    """[cells, cells] UMAP's weights of the links: that at least one of two cells is near the other.

    A cell's link falls from 1, that of the nearest at a distance, by a width of its own, so wide
    that its links add up to log2 of their number (McInnes 2018, section 3.1).

    Parameters
    ----------
    rows, distances
        [cells, links] The cell itself, then others, nearest first; float32.
    """
    n_obs, n_links = rows.shape
    apart = np.where(distances > 0, distances, np.inf).min(axis=1, initial=np.inf)
    first = np.where(np.isfinite(apart), apart, 0).astype(np.float32)
    beyond = np.maximum(distances - first[:, None], 0)
    width = np.concatenate(
        [
            _find_widths(beyond[start : start + _WIDTHS_AT_A_TIME, 1:], np.log2(n_links))
            for start in range(0, n_obs, _WIDTHS_AT_A_TIME)
        ]
    )
    mean = np.where(first > 0, distances.mean(axis=1), distances.mean())
    width = np.maximum(width, _LEAST_WIDTH * mean).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where((beyond > 0) & (width[:, None] > 0), np.exp(-beyond / width[:, None]), 1)
    weight[rows == np.arange(n_obs)[:, None]] = 0
    indptr = np.arange(0, rows.size + 1, n_links)
    one_way = sparse.csr_matrix(
        (weight.astype(np.float32).ravel(), rows.ravel(), indptr), shape=(n_obs, n_obs)
    )
    one_way.eliminate_zeros()
    one_way.sort_indices()
    other_way = one_way.T.tocsr()
    both = one_way + other_way - one_way.multiply(other_way)
    both.eliminate_zeros()
    return sparse.csr_matrix(both)


def _find_widths(beyond: np.ndarray, total: float) -> np.ndarray:
    """[cells] Width at which exp(-beyond / width) adds up to a total, by doubling and halving."""
    width, low, high = np.ones(len(beyond)), np.zeros(len(beyond)), np.full(len(beyond), np.inf)
    left = np.arange(len(beyond))
    for _ in range(_HALVINGS):
        with np.errstate(over="ignore"):
            sums = np.exp(-(beyond[left].astype(np.float64) / width[left, None])).sum(axis=1)
        is_off = np.abs(sums - total) >= _TOLERANCE
        left, sums = left[is_off], sums[is_off]
        if not len(left):
            break
        is_wide = sums > total
        high[left[is_wide]] = width[left[is_wide]]
        low[left[~is_wide]] = width[left[~is_wide]]
        width[left] = np.where(np.isinf(high[left]), 2 * width[left], (low[left] + high[left]) / 2)
    return width


def average_graphs(graphs: Sequence[ad.AnnData]) -> ad.AnnData:
    """[cells, 0] The first graph with the mean of all connectivities, as of several seeds.

    Neighbours that one seed alone makes are weak in it.
    """
    first, *others = graphs
    if not others:
        return first
    averaged = first.copy()
    connectivities = averaged.obsp["connectivities"]
    for other in others:
        connectivities = connectivities + other.obsp["connectivities"]
    averaged.obsp["connectivities"] = connectivities.tocsr() / np.float32(len(graphs))
    return averaged


class Communities:
    """Leiden's communities of one neighbours graph at any resolution."""

    def __init__(self, graph: ad.AnnData):
        # Weights are the same both ways: half of them, doubled, are one graph for all resolutions.
        half = sparse.triu(graph.obsp["connectivities"], k=1, format="coo")
        pairs = np.column_stack([half.row, half.col])
        self._graph = igraph.Graph(graph.n_obs, pairs)
        self._weights = 2 * half.data.astype(np.float64)

    def find(self, resolution: float, *, seed: int) -> np.ndarray:
        """[cells] Communities, 0 to k - 1."""
        igraph.set_random_number_generator(_Random(seed))
        try:
            found = self._graph.community_leiden(
                objective_function="modularity",
                weights=self._weights,
                resolution=resolution,
                n_iterations=2,
            )
        finally:
            igraph.set_random_number_generator(random)
        return np.array(found.membership, dtype=np.int64)


class _Random:
    """The numbers that scanpy gives igraph, so that the communities are scanpy's, too."""

    def __init__(self, seed: int):
        state = np.random.RandomState(seed)
        self.random, self.randint, self.gauss = state.random, state.randint, state.normal
        self._draw = state.tomaxint

    def getrandbits(self, k: int) -> int:
        """As many random bits."""
        return int(self._draw()) & ((1 << k) - 1)


def leiden(graph: ad.AnnData, resolution: float, *, seed: int) -> np.ndarray:
    """[cells] Leiden communities of the neighbours graph, 0 to k - 1; the graph is not changed."""
    return Communities(graph).find(resolution, seed=seed)
