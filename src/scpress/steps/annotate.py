"""Cell types named from marker genes, and the marker genes of every cluster."""

import logging

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scpress import slots
from scpress.cells.cell_types import Annotation, annotate_cells
from scpress.cells.markers import draw_cells, find_markers
from scpress.cells.panels import Panel, check_panel, match_panel, name_panel
from scpress.cells.stability import adjusted_rand_index
from scpress.config.options import AnnotateOptions
from scpress.counts.frames import labels_of
from scpress.counts.genes import gene_ids, gene_symbols
from scpress.counts.matrix import select_columns, select_rows
from scpress.counts.measured import common_genes
from scpress.errors import InputError
from scpress.tables.transfer import PanelAgreement

log = logging.getLogger("scpress")

# Markers of clusters are tested on at most this many cells, drawn in proportion to the clusters.
MAX_MARKER_CELLS = 50_000


def annotate(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    clusters: ad.AnnData,
    panel: pd.DataFrame | None,
    options: AnnotateOptions | None = None,
    *,
    named: ad.AnnData | None = None,
    seed: int = 0,
) -> tuple[ad.AnnData, pd.DataFrame]:
    """Name the type of every cell and list the marker genes of every cluster.

    Parameters
    ----------
    counts
        [cells, genes] Raw counts, in memory or on disk.
    normalized
        `obs`: size_factor and, for a panel, library_size.
    clusters
        `obs`: leiden; `obsp`: connectivities.
    panel
        Marker table, see `panels.check_panel`; not used where `options.labels_column` is given.
    named
        What `reference` named the cells; the panel is then compared with it.
    seed
        Of the subsample that marker genes are tested on above `MAX_MARKER_CELLS` cells.

    Returns
    -------
    annotation
        [cells, 0] `obs`: cell_type ('unassigned' where the evidence is not enough for any type; a
        parent such as 'T cell' where it is not enough for one of its children) and
        cell_type_confidence; with `named` reference_p, too. `uns["scpress"]["annotate"]`:
        cell_types, clusters,
        scores [clusters, types] (mean posterior over the cells scored for the type, 0 where none
        was), cluster_types, method, n_unassigned, n_marker_cells; reference, with `named`.
    markers
        Of `markers.MARKER_COLUMNS`, best first within a cluster; empty when there is one cluster.

    Raises
    ------
    InputError
        Inputs of different cells, no such labels column, or a panel without a gene of the data.
    """
    options = options or AnnotateOptions()
    slots.require(normalized, slots.SIZE_FACTOR)
    slots.require(clusters, slots.LEIDEN)
    for part, what in ((normalized, "normalized"), (clusters, "clusters")):
        slots.require_same_cells(counts.obs_names, part.obs_names, what)
    size_factor = normalized.obs[slots.SIZE_FACTOR.name].to_numpy(dtype=np.float64)
    cluster = clusters.obs[slots.LEIDEN.name].astype("category").cat.remove_unused_categories()
    code, names = cluster.cat.codes.to_numpy().astype(np.int64), list(cluster.cat.categories)

    common = common_genes(counts, "annotate")
    if options.labels_column is not None and named is not None:
        raise InputError(
            f"labels_column is {options.labels_column!r}, and the cells are named by labelled "
            "ones, too; keep one of labels_column and reference."
        )
    if options.labels_column is not None:
        labels, confidence = _given_labels(counts.obs, options.labels_column)
        record: dict = {"method": f"given in obs[{options.labels_column!r}]"}
    else:
        if panel is None:
            raise InputError("no marker table was given. Use scpress.io.panel.read_panel().")
        if named is not None:
            slots.require_same_cells(counts.obs_names, named.obs_names, "named")
        try:
            labels, confidence, record = _score_labels(
                counts, normalized, clusters, code, check_panel(panel), options, common
            )
        except InputError as error:
            if named is None:
                raise
            log.info("annotate: names are not compared with a panel: %s", error)
            labels, record = np.full(counts.n_obs, slots.UNASSIGNED), {}
        if named is not None:
            by_panel = labels
            labels, confidence, record = _reference_labels(named, options)
            if (by_panel != slots.UNASSIGNED).any():
                agreement = _compare(labels, by_panel, name_panel(options.panel))
                record["reference"]["agreement"] = agreement.as_plain()
    result = ad.AnnData(obs=pd.DataFrame(index=counts.obs_names.copy()))
    if named is not None and slots.REFERENCE_P.name in named.obs:
        result.obs[slots.REFERENCE_P.name] = named.obs[slots.REFERENCE_P.name].to_numpy()
    result.obs[slots.CELL_TYPE.name] = pd.Categorical(labels)
    result.obs[slots.CELL_TYPE_CONFIDENCE.name] = confidence.astype(np.float32)

    rows = draw_cells(code, MAX_MARKER_CELLS, seed=seed)
    if len(rows) < counts.n_obs:
        log.info("annotate: marker genes are tested on %d of %d cells.", len(rows), counts.n_obs)
    matrix, var = select_rows(counts.X, rows), counts.var
    if common is not None:
        matrix, var = matrix[:, common], var[common]
    markers = find_markers(
        matrix,
        size_factor[rows],
        cluster.astype(str).to_numpy()[rows],
        var.index.to_numpy(),
        symbols=gene_symbols(var),
        groups=names,
        max_fdr=options.max_fdr,
        max_markers=options.n_markers,
    )
    n_unassigned = int((labels == slots.UNASSIGNED).sum())
    record |= {
        "clusters": np.array(names, dtype=str),
        "cluster_types": np.array([_most_common(labels[code == c]) for c in range(len(names))]),
        "n_unassigned": n_unassigned,
        "n_marker_cells": len(rows),
    }
    result.uns[slots.RECORD.name] = {"annotate": record}
    log.info(
        "annotate: %d types; %d of %d cells are unassigned.",
        len(set(labels) - {slots.UNASSIGNED}),
        n_unassigned,
        len(labels),
    )
    return result, markers


def _given_labels(obs: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    given = labels_of(obs, column)
    labels = np.where(given == "", slots.UNASSIGNED, given)
    return labels, (labels != slots.UNASSIGNED).astype(np.float32)


def _reference_labels(
    named: ad.AnnData, options: AnnotateOptions
) -> tuple[np.ndarray, np.ndarray, dict]:
    """([cells] names, [cells] confidence, record) By labelled cells; 'unassigned' if not sure."""
    slots.require(named, slots.CELL_TYPE, slots.CELL_TYPE_CONFIDENCE)
    confidence = named.obs[slots.CELL_TYPE_CONFIDENCE.name].to_numpy(dtype=np.float64)
    found = named.obs[slots.CELL_TYPE.name].astype(str).to_numpy(dtype=str)
    labels = np.where(confidence >= options.min_confidence, found, slots.UNASSIGNED)
    reference = dict(named.uns[slots.RECORD.name]["reference"])
    return labels, confidence, {"method": "labelled cells", "reference": reference}


def _compare(labels: np.ndarray, by_panel: np.ndarray, panel: str) -> PanelAgreement:
    """What the panel calls the cells of each name, over the cells that both name."""
    both = (labels != slots.UNASSIGNED) & (by_panel != slots.UNASSIGNED)
    table = pd.crosstab(labels[both], by_panel[both])
    return PanelAgreement(
        panel=panel,
        n_cells=int(both.sum()),
        ari=adjusted_rand_index(labels[both], by_panel[both]) if both.any() else 0.0,
        names=tuple(map(str, table.index)),
        panel_types=tuple(map(str, table.idxmax(axis=1))) if len(table) else (),
        shares=tuple(map(float, table.max(axis=1) / table.sum(axis=1))),
    )


def _score_labels(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    clusters: ad.AnnData,
    code: np.ndarray,
    table: pd.DataFrame,
    options: AnnotateOptions,
    common: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, dict]:
    slots.require(clusters, slots.CONNECTIVITIES)
    slots.require(normalized, slots.LIBRARY_SIZE)
    size_factor = normalized.obs[slots.SIZE_FACTOR.name].to_numpy(dtype=np.float64)
    library_size = normalized.obs[slots.LIBRARY_SIZE.name].to_numpy(dtype=np.float64)
    names_of_genes = [gene_ids(counts.var), gene_symbols(counts.var)]
    if common is not None:  # a gene without a name is in no panel
        names_of_genes = [np.where(common, names, "").tolist() for names in names_of_genes]
    panel = match_panel(table, *names_of_genes)
    _report_missing(panel)
    found = annotate_cells(
        select_columns(counts.X, panel.columns),
        size_factor,
        float(np.median(library_size / size_factor)),
        clusters.obsp[slots.CONNECTIVITIES.name],
        code,
        panel,
        min_confidence=options.min_confidence,
    )
    # Position -1, no type, is the last name.
    names = np.array([*panel.cell_types, slots.UNASSIGNED])
    record = {
        "method": "marker genes",
        "panel": name_panel(options.panel),
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
