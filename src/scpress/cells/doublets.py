"""Scrublet: cells among whose neighbours there are many simulated doublets (Wolock et al. 2019).

The same computation as `scanpy.pp.scrublet` with `mean_center=False`, and the same scores. Where
cells are many the neighbours are approximate, as scanpy's are. Nothing of the size of cells by
genes is dense, simulated doublets only ever exist a few thousand at a time, and of the neighbours
only their number is kept.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scpress.cells.neighbors import count_late
from scpress.counts.sizes import library_sizes

_DOUBLETS_PER_CELL = 2
_N_COMPONENTS = 30
_FEWEST_CELLS, _FEWEST_GENES = 3, 3
_DOUBLETS_AT_A_TIME = 5_000
# Up to so many points all distances are computed, which takes a second.
_MOST_EXACT = 12_000
_DISTANCES_AT_A_TIME = 1 << 21


@dataclass(frozen=True)
class Doublets:
    """Scores of cells and of the doublets they were compared with.

    Attributes
    ----------
    cells
        [scored] Rows of the cells that have a score: at least 3 of the genes that are used.
    score
        [scored] How probably a cell is a doublet, 0 to 1.
    simulated
        [2 scored] The same of the simulated doublets.
    threshold
        Where the histogram of `simulated` is lowest between its two modes; None without two.
    """

    cells: np.ndarray
    score: np.ndarray
    simulated: np.ndarray
    threshold: float | None


def score_doublets(X: sparse.csr_matrix, *, expected_rate: float, seed: int) -> Doublets:
    """Score the cells of one run.

    Parameters
    ----------
    X
        [cells, genes] Counts, without explicit zeros.
    expected_rate
        The fraction of doublets that is expected.

    Raises
    ------
    ValueError
        There are too few cells or variable genes for 30 components.
    """
    X = X[:, X.getnnz(axis=0) >= _FEWEST_CELLS]
    cells = np.flatnonzero(X.getnnz(axis=1) >= _FEWEST_GENES)
    X = X[cells] if len(cells) < X.shape[0] else X
    X = X[:, _variable_genes(X)]
    components, of_cells = _components(X, seed)
    n_cells = len(cells)
    pairs = _pairs(n_cells, seed)
    of_pairs = [
        _per_million(X[some[:, 0]] + X[some[:, 1]]) @ components
        for some in np.split(pairs, range(_DOUBLETS_AT_A_TIME, len(pairs), _DOUBLETS_AT_A_TIME))
    ]
    points = np.concatenate([of_cells, *of_pairs])
    ratio = len(pairs) / n_cells
    n_neighbors = round(round(0.5 * np.sqrt(n_cells)) * (1 + ratio))
    n_doublets = count_neighbours(points, n_neighbors - 1, n_cells)
    # The posterior mean of the share, and what it says of the cell (Wolock et al., STAR Methods).
    q = (n_doublets + 1) / (n_neighbors + 2)
    score = q * expected_rate / ratio
    score /= 1 - expected_rate - q * (1 - expected_rate - expected_rate / ratio)
    return Doublets(cells, score[:n_cells], score[n_cells:], _threshold(score[n_cells:]))


def _variable_genes(X: sparse.csr_matrix) -> np.ndarray:
    """[genes] scanpy's choice on log-normalized counts."""
    import anndata as ad
    import scanpy as sc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside scanpy
        # Only the values are copied: scanpy leaves the indices as they are.
        values = X.data.astype(np.float32)
        adata = ad.AnnData(sparse.csr_matrix((values, X.indices, X.indptr), shape=X.shape))
        sc.pp.normalize_total(adata)
        sc.pp.log1p(adata)
        sc.pp.highly_variable_genes(adata)
    return adata.var["highly_variable"].to_numpy(dtype=bool)


def _per_million(X: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows with a sum of 10^6; empty ones stay so."""
    total = library_sizes(X)
    scale = np.divide(1e6, total, out=np.zeros(len(total)), where=total > 0)
    return sparse.csr_matrix(sparse.diags(scale) @ X)


def _components(X: sparse.csr_matrix, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """[genes, n] What turns rows of `_per_million` into components, and [cells, n] those of X."""
    from sklearn.decomposition import TruncatedSVD

    scaled = _per_million(X)
    mean = np.asarray(scaled.mean(axis=0)).ravel()
    square = np.asarray(scaled.multiply(scaled).mean(axis=0)).ravel()
    sd = np.sqrt((square - mean**2) * (X.shape[0] / max(X.shape[0] - 1, 1)))
    scaled.data /= sd[scaled.indices]
    svd = TruncatedSVD(_N_COMPONENTS, random_state=seed, algorithm="arpack").fit(scaled)
    return svd.components_.T / sd[:, None], svd.transform(scaled)


def _pairs(n_cells: int, seed: int) -> np.ndarray:
    """[doublets, 2] Different pairs of cells, those that scanpy draws."""
    from sklearn.utils.random import sample_without_replacement

    n_pairs = _DOUBLETS_PER_CELL * n_cells
    rng = np.random.RandomState(seed)
    drawn = sample_without_replacement(n_cells**2, n_pairs, random_state=rng)
    return np.column_stack(np.unravel_index(drawn, (n_cells, n_cells)))


def _threshold(simulated: np.ndarray) -> float | None:
    from skimage.filters import threshold_minimum

    try:
        return float(threshold_minimum(simulated))
    except RuntimeError:  # its word for one mode
        return None


# neighbours --------------------------------------------------------------------------------------


def count_neighbours(points: np.ndarray, n_neighbors: int, first: int) -> np.ndarray:
    """[points] How many of a point's nearest others are `first` or come after it."""
    n = len(points)
    n_neighbors = min(n_neighbors, n - 1)
    if n > _MOST_EXACT:
        return count_late(points, n_neighbors, first)
    points = points - points.mean(axis=0)
    squares = (points**2).sum(axis=1)
    count = np.zeros(n, np.int64)
    rows = max(1, _DISTANCES_AT_A_TIME // n)
    for at in range(0, n, rows):
        part = points[at : at + rows]
        distances = squares - 2 * (part @ points.T)
        itself = np.arange(len(part))
        distances[itself, at + itself] = np.inf
        nearest = np.argpartition(distances, n_neighbors - 1, axis=1)[:, :n_neighbors]
        count[at : at + rows] = (nearest >= first).sum(axis=1)
    return count
