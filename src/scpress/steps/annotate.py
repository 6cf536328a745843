"""Cell types named from marker genes, and the marker genes of every cluster."""

import logging

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scpress import slots
from scpress.cells.cell_types import Annotation, annotate_cells
from scpress.cells.markers import adjust_p_values, log2_fold_changes, rank_sum_test
from scpress.cells.panels import UNASSIGNED, Panel, check_panel, match_panel
from scpress.config.options import AnnotateOptions
from scpress.counts.matrix import select_columns, select_rows
from scpress.counts.sizes import log_normalize
from scpress.errors import InputError

log = logging.getLogger("scpress")

MARKER_COLUMNS = (
    "cluster",
    "gene",
    "gene_symbol",
    "log2_fold_change",
    "score",
    "p_value",
    "fdr",
    "pct_in",
    "pct_out",
)
# Markers of clusters are tested on at most this many cells, drawn in proportion to the clusters,
# but never fewer than the second number from a cluster that has them.
MAX_MARKER_CELLS = 50_000
_MIN_CLUSTER_CELLS = 100
# Genes tested at a time: bounds the copies that the ranking makes.
_GENES_AT_A_TIME = 2000


def annotate(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    clusters: ad.AnnData,
    panel: pd.DataFrame | None,
    options: AnnotateOptions | None = None,
    *,
    seed: int = 0,
) -> tuple[ad.AnnData, pd.DataFrame]:
    """Name the type of every cell and list the marker genes of every cluster.

    Parameters
    ----------
    counts
        [cells, genes] Raw counts, in memory or on disk.
    normalized
        `obs`: size_factor.
    clusters
        `obs`: leiden; `obsp`: connectivities.
    panel
        Marker table, see `panels.check_panel`; not used where `options.labels_column` is given.
    seed
        Of the subsample that marker genes are tested on above `MAX_MARKER_CELLS` cells.

    Returns
    -------
    annotation
        [cells, 0] `obs`: cell_type ('unassigned' where the evidence is not enough for any type; a
        parent such as 'T cell' where it is not enough for one of its children) and
        cell_type_confidence. `uns["scpress"]["annotate"]`: cell_types, clusters,
        scores [clusters, types] (mean over the cells scored for the type, 0 where none was),
        cluster_types, method, n_unassigned, n_marker_cells.
    markers
        `MARKER_COLUMNS`, best first within a cluster; empty when there is one cluster.

    Raises
    ------
    InputError
        Inputs of different cells, no such labels column, or a panel without a gene of the data.
    """
    options = options or AnnotateOptions()
    slots.require(normalized, slots.SIZE_FACTOR)
    slots.require(clusters, slots.LEIDEN)
    for part, what in ((normalized, "normalize"), (clusters, "cluster")):
        if not counts.obs_names.equals(part.obs_names):
            raise InputError(
                f"the result of {what} has {part.n_obs} cells and the counts {counts.n_obs}; they "
                "must be the same cells in the same order. Give files of one run."
            )
    size_factor = normalized.obs[slots.SIZE_FACTOR.name].to_numpy(dtype=np.float64)
    cluster = clusters.obs[slots.LEIDEN.name].astype("category").cat.remove_unused_categories()
    code, names = cluster.cat.codes.to_numpy().astype(np.int64), list(cluster.cat.categories)

    if options.labels_column is not None:
        labels, confidence = _given_labels(counts.obs, options.labels_column)
        record: dict = {"method": f"given in obs[{options.labels_column!r}]"}
    else:
        if panel is None:
            raise InputError("no marker table was given. Use scpress.io.panel.read_panel().")
        labels, confidence, record = _score_labels(
            counts, size_factor, clusters, code, check_panel(panel), options
        )
    result = ad.AnnData(obs=pd.DataFrame(index=counts.obs_names.copy()))
    result.obs[slots.CELL_TYPE.name] = pd.Categorical(labels)
    result.obs[slots.CELL_TYPE_CONFIDENCE.name] = confidence.astype(np.float32)

    rows = draw_cells(code, MAX_MARKER_CELLS, seed=seed)
    if len(rows) < counts.n_obs:
        log.info("annotate: marker genes are tested on %d of %d cells.", len(rows), counts.n_obs)
    markers = find_cluster_markers(counts, size_factor, cluster, rows, options)
    n_unassigned = int((labels == UNASSIGNED).sum())
    record |= {
        "clusters": np.array(names, dtype=str),
        "cluster_types": np.array([_most_common(labels[code == c]) for c in range(len(names))]),
        "n_unassigned": n_unassigned,
        "n_marker_cells": len(rows),
    }
    result.uns[slots.RECORD.name] = {"annotate": record}
    log.info(
        "annotate: %d types; %d of %d cells are unassigned.",
        len(set(labels) - {UNASSIGNED}),
        n_unassigned,
        len(labels),
    )
    return result, markers


def _given_labels(obs: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    # A column of the user's that has the name of one of ours was kept as {name}_input.
    key = next((name for name in (column, f"{column}_input") if name in obs), None)
    if key is None:
        found = ", ".join(map(str, list(obs.columns)[:8])) or "nothing"
        raise InputError(
            f"labels_column {column!r} is not in obs; found {found}. Name a column of the sample "
            "sheet or of the input's obs."
        )
    given = obs[key].astype(object)
    is_given = given.notna().to_numpy() & given.astype(str).ne("").to_numpy()
    labels = np.where(is_given, given.astype(str), UNASSIGNED).astype(str)
    return labels, (labels != UNASSIGNED).astype(np.float32)


def _score_labels(
    counts: ad.AnnData,
    size_factor: np.ndarray,
    clusters: ad.AnnData,
    code: np.ndarray,
    table: pd.DataFrame,
    options: AnnotateOptions,
) -> tuple[np.ndarray, np.ndarray, dict]:
    slots.require(clusters, slots.CONNECTIVITIES)
    panel = match_panel(table, _gene_ids(counts.var), _gene_symbols(counts.var))
    _report_missing(panel)
    values = log_normalize(select_columns(counts.X, panel.columns), size_factor)
    found = annotate_cells(
        values,
        clusters.obsp[slots.CONNECTIVITIES.name],
        code,
        panel,
        min_confidence=options.min_confidence,
    )
    # Position -1, no type, is the last name.
    names = np.array([*panel.cell_types, UNASSIGNED])
    record = {
        "method": "marker genes",
        "cell_types": np.array(panel.cell_types),
        "parents": np.array([*panel.cell_types, ""])[panel.parent],
        "n_genes_found": panel.positive.sum(axis=1),
        "n_genes_listed": panel.n_listed,
        "scores": _cluster_means(found, code),
    }
    return names[found.cell_type], found.confidence, record


def _report_missing(panel: Panel) -> None:
    n_found = panel.positive.sum(axis=1)
    absent = [name for name, n in zip(panel.cell_types, n_found, strict=True) if n == 0]
    if absent:
        log.info(
            "annotate: no positive marker of %s is in the data; no cell can be given that.",
            ", ".join(absent),
        )


def _cluster_means(found: Annotation, code: np.ndarray) -> np.ndarray:
    """[clusters, types] Mean score of the cells of a cluster that were scored for the type."""
    member = sparse.csr_matrix((np.ones(len(code)), (code, np.arange(len(code)))))
    scored = np.isfinite(found.scores)
    total = member @ np.where(scored, found.scores, 0)
    return (total / np.maximum(member @ scored.astype(np.float64), 1)).astype(np.float32)


def _most_common(labels: np.ndarray) -> str:
    names, n = np.unique(labels, return_counts=True)
    return str(names[n.argmax()])


def _gene_ids(var: pd.DataFrame) -> list[str]:
    given = var[slots.GENE_ID.name] if slots.GENE_ID.name in var else pd.Series(var.index)
    return given.fillna("").astype(str).to_list()


def _gene_symbols(var: pd.DataFrame) -> list[str]:
    given = var[slots.GENE_SYMBOL.name] if slots.GENE_SYMBOL.name in var else pd.Series(var.index)
    return given.fillna("").astype(str).to_list()


def draw_cells(code: np.ndarray, max_cells: int, *, seed: int) -> np.ndarray:
    """[drawn] Sorted rows of at most about `max_cells` cells, with some of every cluster."""
    if len(code) <= max_cells:
        return np.arange(len(code))
    random = np.random.default_rng(seed)
    drawn = []
    for number in range(code.max() + 1):
        rows = np.flatnonzero(code == number)
        wanted = max(_MIN_CLUSTER_CELLS, round(len(rows) * max_cells / len(code)))
        drawn.append(random.choice(rows, size=min(wanted, len(rows)), replace=False))
    return np.sort(np.concatenate(drawn))


def find_cluster_markers(
    counts: ad.AnnData,
    size_factor: np.ndarray,
    cluster: pd.Series,
    rows: np.ndarray,
    options: AnnotateOptions,
) -> pd.DataFrame:
    """Genes higher in each cluster than in all other cells, by the rank-sum test.

    Ranks of log1p(counts / size_factor) are those of counts / size_factor; the fold change is that
    of the means before the logarithm. Never computed from denoised values.

    Parameters
    ----------
    rows
        [drawn] The cells to test.

    Returns
    -------
    `MARKER_COLUMNS`: score is the test's z, fdr is Benjamini-Hochberg over all genes of a cluster,
    pct_in and pct_out are the percent of cells in and outside that the gene is detected in.
    """
    code = cluster.cat.codes.to_numpy()[rows]
    names = list(cluster.cat.categories)
    if len(names) < 2:
        return pd.DataFrame(columns=list(MARKER_COLUMNS))
    in_group = code[None, :] == np.arange(len(names))[:, None]
    X = select_rows(counts.X, rows).tocsc()
    parts: list[tuple[np.ndarray, ...]] = []
    for start in range(0, X.shape[1], _GENES_AT_A_TIME):
        block = sparse.csr_matrix(X[:, start : start + _GENES_AT_A_TIME])
        values = log_normalize(block, size_factor[rows])
        z, p_value = rank_sum_test(values, in_group)
        change = log2_fold_changes(block, size_factor[rows], in_group)
        parts.append((z, p_value, change, *_percent_detected(block, in_group)))
    z, p_value, change, pct_in, pct_out = (np.hstack(part) for part in zip(*parts, strict=True))

    symbols = np.array(_gene_symbols(counts.var))
    tables = []
    for number, name in enumerate(names):
        fdr = adjust_p_values(p_value[number])
        keep = np.flatnonzero((fdr <= options.max_fdr) & (z[number] > 0) & (change[number] > 0))
        keep = keep[np.argsort(-z[number, keep], kind="stable")][: options.n_markers]
        columns = (change, z, p_value, None, pct_in, pct_out)
        measured = [fdr[keep] if part is None else part[number, keep] for part in columns]
        row = (np.full(len(keep), name), counts.var_names[keep], symbols[keep], *measured)
        tables.append(pd.DataFrame(dict(zip(MARKER_COLUMNS, row, strict=True))))
    return pd.concat(tables, ignore_index=True)


def _percent_detected(
    block: sparse.csr_matrix, in_group: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the percent of cells with a gene in each group and outside, both [groups, genes]."""
    detected = block.copy()
    detected.data = (detected.data > 0).astype(np.float64)
    member = in_group.astype(np.float64)
    size = member.sum(axis=1, keepdims=True)
    inside = member @ detected
    outside = np.asarray(detected.sum(axis=0)) - inside
    rest = np.maximum(in_group.shape[1] - size, 1)
    return 100 * inside / np.maximum(size, 1), 100 * outside / rest
