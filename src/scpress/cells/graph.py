"""Which cells are near each other, and the communities among them."""

import warnings
from collections.abc import Sequence
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse
from sklearn.neighbors import KNeighborsTransformer

from scpress.cells.neighbors import nearest


def nearest_neighbors(z: np.ndarray, n_neighbors: int) -> np.ndarray:
    """[cells, n_neighbors] Exact Euclidean neighbours of every cell, nearest first, without itself.

    Fewer where there are not as many other cells.
    """
    count = min(n_neighbors, len(z) - 1)
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


def cluster_neighbors(neighbors: np.ndarray, *, resolution: float = 1.0, seed: int = 0) -> Any:
    """[cells] Leiden clusters of the symmetric graph of neighbours, unit weights."""
    import random

    import igraph

    n_obs, count = neighbors.shape
    pairs = np.stack([np.repeat(np.arange(n_obs), count), neighbors.ravel()], axis=1)
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    igraph.set_random_number_generator(random.Random(seed))
    graph = igraph.Graph(n_obs, pairs.tolist())
    partition = graph.community_leiden(
        objective_function="modularity", resolution=resolution, n_iterations=2
    )
    return np.array(partition.membership)


# Cells whose distances to all others are computed at a time.
_BLOCK_CELLS = 500
# Up to here an exact search takes a few seconds.
_EXACT_CELLS = 20_000


class _GroupedTransformer(KNeighborsTransformer):
    """What scanpy asks for neighbours: as its base, by `nearest`."""

    def fit_transform(self, X: np.ndarray, y: None = None) -> sparse.csr_matrix:
        """[cells, cells] Distances of a cell's nearest, itself among them."""
        n_obs, count = len(X), self.n_neighbors + 1
        rows, distances = nearest(X, self.n_neighbors)
        rows = np.column_stack([np.arange(n_obs), rows])
        distances = np.column_stack([np.zeros(n_obs, np.float32), distances])
        indptr = np.arange(0, n_obs * count + 1, count)
        return sparse.csr_matrix(
            (distances.ravel().astype(np.float64), rows.ravel(), indptr), shape=(n_obs, n_obs)
        )


def build_graph(points: np.ndarray, *, n_neighbors: int, seed: int, key: str) -> ad.AnnData:
    """[cells, 0] An AnnData with `obsm[key]` and scanpy's neighbours graph of it."""
    graph = ad.AnnData(obs=pd.DataFrame(index=[str(row) for row in range(len(points))]))
    graph.obsm[key] = points
    n_neighbors = min(n_neighbors, len(points) - 1)
    kind = KNeighborsTransformer if len(points) <= _EXACT_CELLS else _GroupedTransformer
    with warnings.catch_warnings():
        # Cells at the same place: scanpy stores their distance of 0 one by one.
        warnings.filterwarnings("ignore", message="Changing the sparsity structure")
        sc.pp.neighbors(
            graph,
            n_neighbors=n_neighbors,
            use_rep=key,
            transformer=kind(n_neighbors=n_neighbors),
            random_state=seed,
        )
    return graph


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


def leiden(graph: ad.AnnData, resolution: float, *, seed: int) -> np.ndarray:
    """[cells] Leiden communities of the neighbours graph, 0 to k - 1; the graph is not changed."""
    found = sc.tl.leiden(
        graph,
        resolution=resolution,
        flavor="igraph",
        n_iterations=2,
        directed=False,
        random_state=seed,
        copy=True,
    )
    return found.obs["leiden"].to_numpy().astype(np.int64)
