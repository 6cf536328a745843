"""Which cell type the molecules of marker genes in a cell and its neighbours speak for."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import expit, gammaln

from scpress.cells.panels import Panel

# Weights of a cell itself and of its neighbours one, two and three steps away in the graph. One
# cell has too few molecules to tell CD4 from CD8; three steps reach the middle of its cluster.
_STEP_WEIGHTS = (0.1, 0.2, 0.3, 0.4)
# Random signs that tell how many cells' worth of molecules a smoothed count stands for.
_N_PROBES = 16
# Where a gene is on, rates spread around its high rate as a gamma of this shape, those of pooled
# cells less than those of one. Where it is off, they are exponential with this part as their mean.
_POOL_SHAPE = 2.0
_CELL_SHAPE = 0.5
_OFF_RATE = 0.06
# What the neighbours say of a gene, in nats, at most: the cell's own molecules can outweigh it.
_MAX_POOL = 4.0
# The high rate is a quantile over the cells. Among the children of a parent it is that of the
# parent's cells, but no less than a part of all cells': stray molecules do not make a type.
_HIGH_QUANTILE = 0.99
_CHILD_QUANTILE = 0.95
_CHILD_PART = 0.5
# Nor is it less than a part of the gene's typical rate, this one where the panel gives none: a
# type that is absent is not found in what is highest of its silent markers.
_TYPICAL = 1e-3
_TYPICAL_FOR = 0.25
_TYPICAL_AGAINST = 0.45
# How often a marker is on in its own type and in any other; and the same of a gene that speaks
# against a type. A gene as likely on as off, because it cannot be seen, says nothing.
_POSITIVE = (0.8, 0.1)
_NEGATIVE = (0.02, 0.2)
# A child's markers speak for its parent too, unless the parent's own markers say this against it.
_PARENT_REFUTED = -2.0
# Markers err together: twice the evidence is worth less than twice as much.
_POWER = 0.8
# What "none of them" has, in nats.
_NONE = 1.2
# At the root it stands for tissues that the panel lacks, too, and has so many nats more: where
# names of genes are shuffled, and no type is right, half of the cells would have a name without
# them. They fade where a quarter of the types have so few markers that all of them say less.
_UNKNOWN, _ENOUGH = 3.3, 6.0
# Marker genes smoothed at a time, so that memory does not grow with the panel.
_GENES_AT_A_TIME = 16


@dataclass(frozen=True)
class Annotation:
    """What was decided and on which evidence."""

    cell_type: np.ndarray  # [cells] position in the panel, -1 for unassigned
    confidence: np.ndarray  # [cells] 0 to 1
    scores: np.ndarray  # [cells, types] 0 to 1; NaN for types below one the cell was not given


@dataclass(frozen=True)
class Pools:
    """Molecules of each cell, and how they are pooled with those of its neighbours."""

    counts: sparse.csc_matrix  # [cells, markers]
    size_factor: np.ndarray  # [cells]
    graph: sparse.csr_matrix  # [cells, cells] rows sum to 1
    n_cells: np.ndarray  # [cells] cells' worth of molecules in the pool
    exposure: np.ndarray  # [cells] the same in cells of median size


def annotate_cells(
    counts: sparse.csr_matrix,
    size_factor: np.ndarray,
    library_size: float,
    connectivities: sparse.spmatrix,
    clusters: np.ndarray,
    panel: Panel,
    *,
    min_confidence: float,
) -> Annotation:
    """Give each cell a type of the panel, going down its tree as far as the evidence carries.

    The confidence of a type is its posterior among the types with the same parent and "none of
    them", times that of the parent. A cell whose types all stay below `min_confidence` keeps the
    parent and its confidence; at the root it is unassigned and reports how far its best type came.

    Parameters
    ----------
    counts
        [cells, markers] Molecules of the genes `panel.columns`.
    size_factor
        [cells] Sizes of the cells, 1 for the median.
    library_size
        Molecules of a cell of size 1.
    connectivities
        [cells, cells] Weights of the neighbours graph.
    clusters
        [cells] Cluster numbers from 0; molecules are not pooled across clusters.
    min_confidence
        A type is given where its confidence is at least this.
    """
    n_obs, n_types = counts.shape[0], len(panel.cell_types)
    pools = pool_cells(counts, size_factor, connectivities, clusters)
    cell_type = np.full(n_obs, -1)
    confidence = np.ones(n_obs)
    scores = np.full((n_obs, n_types), np.nan, dtype=np.float32)
    levels = [-1]
    while levels:
        level = levels.pop(0)
        types = panel.children(level)
        cells = np.flatnonzero(cell_type == level)
        if not len(types) or not len(cells):
            continue
        is_root = level < 0
        evidence = weigh_types(pools, library_size, panel, types, cells=cells, is_root=is_root)
        shares = type_shares(evidence)
        scores[np.ix_(cells, types)] = shares
        best = shares.argmax(axis=1)
        share = shares[np.arange(len(cells)), best] * confidence[cells]
        given = share >= min_confidence
        cell_type[cells[given]] = types[best[given]]
        changed = given | is_root
        confidence[cells[changed]] = share[changed]
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


def pool_cells(
    counts: sparse.csr_matrix,
    size_factor: np.ndarray,
    connectivities: sparse.spmatrix,
    clusters: np.ndarray,
) -> Pools:
    """Say how many cells a pool is worth: one over the sum of the squares of their weights.

    The sum is the variance of smoothed random signs, averaged over the cells of a cluster.
    """
    graph = neighbours_within(connectivities, clusters)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(len(clusters), _N_PROBES))
    variance = np.mean(smooth(signs, graph) ** 2, axis=1)
    n = np.bincount(clusters)
    of_cluster = n / np.maximum(np.bincount(clusters, variance), 1 / np.maximum(n, 1))
    n_cells = np.clip(of_cluster, 1, np.maximum(n, 1))[clusters]
    exposure = n_cells * smooth(size_factor[:, None].astype(np.float64), graph).ravel()
    return Pools(sparse.csc_matrix(counts), size_factor, graph, n_cells, exposure)


def weigh_types(
    pools: Pools,
    library_size: float,
    panel: Panel,
    types: np.ndarray,
    *,
    cells: np.ndarray,
    is_root: bool,
) -> np.ndarray:
    """[cells, types] Nats for some types with one parent, in some cells, against none of them."""
    family = panel.with_descendants(types)
    positive = panel.positive[family].astype(np.float64)
    negative = panel.negative[family].astype(np.float64)
    typical = library_size * np.where(panel.typical > 0, panel.typical, _TYPICAL)
    evidence = np.zeros((len(cells), len(family)))
    used = np.flatnonzero((positive + negative).any(axis=0))
    for start in range(0, len(used), _GENES_AT_A_TIME):
        genes = used[start : start + _GENES_AT_A_TIME]
        own = pools.counts[:, genes].toarray().astype(np.float64)
        pooled = smooth(own, pools.graph) * pools.n_cells[:, None]
        rate = pooled / pools.exposure[:, None]
        high = np.quantile(rate, _HIGH_QUANTILE, axis=0)
        own, pooled = own[cells], pooled[cells]
        if not is_root:
            among = np.quantile(rate[cells], _CHILD_QUANTILE, axis=0)
            high = np.maximum(among, _CHILD_PART * high)
        for least, marks, often in (
            (_TYPICAL_FOR, positive, _POSITIVE),
            (_TYPICAL_AGAINST, negative, _NEGATIVE),
        ):
            listed = marks[:, genes].any(axis=0)
            top = np.maximum(high, least * typical[genes])[listed]
            of_pool = log_odds_on(
                pooled[:, listed], pools.exposure[cells, None] * top, shape=_POOL_SHAPE
            )
            of_cell = log_odds_on(
                own[:, listed], pools.size_factor[cells, None] * top, shape=_CELL_SHAPE
            )
            on = expit(np.clip(of_pool, -_MAX_POOL, _MAX_POOL) + of_cell)
            in_type, in_others = (part * on + (1 - part) * (1 - on) for part in often)
            evidence += np.log(in_type / in_others) @ marks[:, genes[listed]].T
    columns = np.searchsorted(family, types)
    said = damped(add_children(evidence, family, panel)[:, columns])
    if is_root:
        in_type, in_others = _POSITIVE
        all_on = (positive.sum(axis=1) * np.log(in_type / in_others))[None]
        most = damped(add_children(all_on, family, panel)[:, columns])
        said -= _UNKNOWN * min(1.0, float(np.quantile(most, 0.25)) / _ENOUGH) ** 2
    return said


def damped(nats: np.ndarray) -> np.ndarray:
    """[...] What evidence is worth whose parts err together."""
    return np.sign(nats) * ((1 + np.abs(nats)) ** _POWER - 1) / _POWER


def log_odds_on(counts: np.ndarray, high: np.ndarray, *, shape: float) -> np.ndarray:
    """[cells, genes] Log of how much likelier the counts are where the gene is on than off.

    On, a count is negative binomial with mean `high` and this inverse dispersion; off, geometric
    with a small part of that mean. Both are near alike where `high` is far below one molecule.
    """
    off = _OFF_RATE * high
    return (
        gammaln(counts + shape)
        - gammaln(counts + 1)
        - gammaln(shape)
        + shape * np.log(shape / (shape + high))
        + counts * np.log(high / (shape + high))
        + np.log1p(off)
        - counts * np.log(off / (1 + off))
    )


def add_children(evidence: np.ndarray, family: np.ndarray, panel: Panel) -> np.ndarray:
    """[cells, family] Evidence of each type with that of its best child, from the bottom up."""
    total = evidence.copy()

    def add_to(position: int) -> None:
        children = np.searchsorted(family, panel.children(family[position]))
        for child in children:
            add_to(child)
        if len(children):
            best = np.maximum(total[:, children].max(axis=1), 0)
            total[:, position] += expit(evidence[:, position] - _PARENT_REFUTED) * best

    for position in np.flatnonzero(~np.isin(panel.parent[family], family)):
        add_to(int(position))
    return total


def type_shares(evidence: np.ndarray) -> np.ndarray:
    """[cells, types] Posterior of each type, 0 to 1; "none of them" has the rest."""
    top = np.maximum(evidence.max(axis=1, keepdims=True), _NONE)
    weight = np.exp(evidence - top)
    return weight / (weight.sum(axis=1, keepdims=True) + np.exp(_NONE - top))
