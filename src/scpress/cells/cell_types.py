"""Which cell type the marker genes of a cell, its neighbours and its cluster speak for."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scpress.cells.panels import Panel

# Weights of a cell itself and of its neighbours one, two and three steps away in the graph. One
# cell has too few molecules to tell CD4 from CD8; three steps reach the middle of its cluster.
_STEP_WEIGHTS = (0.1, 0.2, 0.3, 0.4)
# A marker is on where its smoothed log-normalized value comes near the highest one in the data. A
# gene that is nowhere above the floor is hardly detected and counts for little: this keeps a type
# that is absent from being found in noise. Among the types below one parent the floor is lower,
# because the parent has been established and faint genes tell its children apart.
_ROOT_FLOOR = 0.5
_CHILD_FLOOR = 0.15
_HIGH_QUANTILE = 0.99
_CHILD_QUANTILE = 0.95
_CHILD_REFERENCE = 0.5
# What a type must beat: the score that "none of them" has, at the root and below a parent.
_UNKNOWN_ROOT = 0.35
_UNKNOWN_CHILD = 0.30
# A type of which most listed markers are missing from the data cannot have a full score.
_MIN_FOUND = 0.5
# Marker genes smoothed at a time, so that memory does not grow with the panel.
_GENES_AT_A_TIME = 16


@dataclass(frozen=True)
class Annotation:
    """What was decided and on which evidence."""

    cell_type: np.ndarray  # [cells] position in the panel, -1 for unassigned
    confidence: np.ndarray  # [cells] 0 to 1
    scores: np.ndarray  # [cells, types] 0 to 1; NaN for types below one the cell was not given


def annotate_cells(
    values: sparse.csr_matrix,
    connectivities: sparse.spmatrix,
    clusters: np.ndarray,
    panel: Panel,
    *,
    min_confidence: float,
) -> Annotation:
    """Give each cell a type of the panel, going down its tree as far as the evidence carries.

    The score of a type is the mean over its positive markers of how fully each is on, times one
    minus the same mean over its negative markers. Its confidence is its share of the squared
    scores of all types at that level and of a constant for "none of them": a cell whose true type
    is not in the panel has no score above the constant and is unassigned, and one between two types
    is unassigned (or keeps the parent of both). A cell's confidence is the least along its path.

    Parameters
    ----------
    values
        [cells, markers] Log-normalized, of the genes `panel.columns`.
    connectivities
        [cells, cells] Weights of the neighbours graph.
    clusters
        [cells] Cluster numbers from 0; evidence is not carried from one cluster to another.
    min_confidence
        A type is given where its confidence is at least this.
    """
    n_obs, n_types = values.shape[0], len(panel.cell_types)
    graph = neighbours_within(connectivities, clusters)
    cell_type = np.full(n_obs, -1)
    confidence = np.zeros(n_obs)
    scores = np.full((n_obs, n_types), np.nan, dtype=np.float32)
    levels = [-1]
    while levels:
        level = levels.pop(0)
        types = panel.children(level)
        cells = np.flatnonzero(cell_type == level)
        if not len(types) or not len(cells):
            continue
        is_root = level < 0
        score = score_types(values, graph, clusters, panel, types, cells=cells, is_root=is_root)
        scores[np.ix_(cells, types)] = score
        share, best = best_share(score, _UNKNOWN_ROOT if is_root else _UNKNOWN_CHILD)
        given = share >= min_confidence
        at = cells[given]
        cell_type[at] = types[best[given]]
        confidence[at] = share[given] if is_root else np.minimum(confidence[at], share[given])
        if is_root:
            # An unassigned cell reports how far its best type came.
            confidence[cells[~given]] = share[~given]
        levels.extend(types)
    return Annotation(cell_type, confidence.astype(np.float32), scores)


def neighbours_within(connectivities: sparse.spmatrix, clusters: np.ndarray) -> sparse.csr_matrix:
    """[cells, cells] Edges inside clusters, rows summing to 1; a cell without any is its own."""
    edges = sparse.coo_matrix(connectivities)
    inside = clusters[edges.row] == clusters[edges.col]
    graph = sparse.csr_matrix(
        (edges.data[inside].astype(np.float64), (edges.row[inside], edges.col[inside])),
        shape=edges.shape,
    )
    alone = np.asarray(graph.sum(axis=1)).ravel() <= 0
    graph = graph + sparse.diags(alone.astype(np.float64))
    return sparse.csr_matrix(sparse.diags(1 / np.asarray(graph.sum(axis=1)).ravel()) @ graph)


def smooth(values: np.ndarray, graph: sparse.csr_matrix) -> np.ndarray:
    """[cells, genes] Weighted mean over the cell and its neighbours up to three steps away."""
    total = _STEP_WEIGHTS[0] * values
    for weight in _STEP_WEIGHTS[1:]:
        values = graph @ values
        total += weight * values
    return total


def score_types(
    values: sparse.csr_matrix,
    graph: sparse.csr_matrix,
    clusters: np.ndarray,
    panel: Panel,
    types: np.ndarray,
    *,
    cells: np.ndarray,
    is_root: bool,
) -> np.ndarray:
    """[cells, types] Scores, 0 to 1, of some types in some cells; arguments as `annotate_cells`."""
    positive = panel.positive[types].astype(np.float64)
    negative = panel.negative[types].astype(np.float64)
    used = np.flatnonzero((positive + negative).sum(axis=0))
    on = np.zeros((len(cells), len(types)))
    against = np.zeros_like(on)
    floor = _ROOT_FLOOR if is_root else _CHILD_FLOOR
    columns = sparse.csc_matrix(values)
    sizes = np.maximum(np.bincount(clusters), 1)[:, None]
    member = sparse.csr_matrix((np.ones(len(clusters)), (clusters, np.arange(len(clusters)))))
    for start in range(0, len(used), _GENES_AT_A_TIME):
        genes = used[start : start + _GENES_AT_A_TIME]
        smoothed = smooth(columns[:, genes].toarray().astype(np.float64), graph)
        reference = np.maximum(
            ((member @ smoothed) / sizes).max(axis=0),
            np.quantile(smoothed, _HIGH_QUANTILE, axis=0),
        )
        smoothed = smoothed[cells]
        if not is_root:
            # What is high among these cells, unless that is faint beside other cells' values:
            # stray molecules of another type's gene do not make a child of this one.
            reference = np.maximum(
                np.quantile(smoothed, _CHILD_QUANTILE, axis=0), _CHILD_REFERENCE * reference
            )
        level = np.minimum(smoothed / np.maximum(reference, floor), 1)
        trust = np.minimum(reference / floor, 1)
        on += (level * trust) @ positive[:, genes].T
        against += level @ negative[:, genes].T
    found = np.maximum(positive.sum(axis=1), _MIN_FOUND * panel.n_listed[types])
    return on / found * (1 - against / np.maximum(negative.sum(axis=1), 1))


def best_share(score: np.ndarray, unknown: float) -> tuple[np.ndarray, np.ndarray]:
    """Find the best type and its share, 0 to 1, of all squared scores and that of "none of them".

    Returns
    -------
    share, best
        [cells] The share, and the position of the best type.
    """
    squared = score**2
    best = squared.argmax(axis=1)
    share = squared[np.arange(len(score)), best] / (squared.sum(axis=1) + unknown**2)
    return share, best
