"""The clusters of the page: how sure they are, what they are made of, where more of them stands."""

from typing import Any

import numpy as np
import pandas as pd

from scpress import slots
from scpress.report import figures
from scpress.report.cells import cluster_label, is_translation, main_type
from scpress.report.inputs import ReportInputs
from scpress.report.samples import in_sheet_order
from scpress.report.seeds import describe_neighbors
from scpress.report.words import genes_of, share
from scpress.tables.records import plain

Section = dict[str, Any]
# Markers of a cluster in its row, and in the table of its own.
_N_NAMED, _N_LISTED = 5, 15


def clusters_section(inputs: ReportInputs) -> Section:
    """Stability over resolutions, and what the clusters are made of."""
    record = plain(inputs.record.get("cluster", {}))
    columns = record.get("stability", {})
    sizes = inputs.sizes(slots.LEIDEN)
    chosen = record.get("chosen_resolution")
    chosen = None if chosen is None or not np.isfinite(chosen) else float(chosen)
    section: Section = {
        "n_clusters": len(sizes),
        "chosen": chosen,
        "n_measured": record.get("n_stability_cells"),
        "n_seeds": record.get("n_seeds", 1),
        "unconfirmed": list(record.get("unconfirmed", [])),
        "neighbors": describe_neighbors(inputs),
        "n_cells": inputs.cells.n_obs,
        "rows": cluster_rows(inputs),
        "has_subtypes": bool(_subtype_groups(inputs)),
        "stability": None,
        "by_sample": None,
    }
    if columns and len(columns.get("resolution", [])):
        section["stability"] = figures.stability_curve(
            pd.DataFrame(columns),
            chosen=-1.0 if chosen is None else chosen,
            threshold=record.get("min_stability"),
        )
    sample, leiden = inputs.column(slots.SAMPLE), inputs.column(slots.LEIDEN)
    if sample is not None and leiden is not None and len(inputs.sizes(slots.SAMPLE)) > 1:
        table = pd.crosstab(leiden, sample)
        table.columns = table.columns.astype(str)
        table = table[in_sheet_order(inputs, table.columns)]
        section["by_sample"] = figures.composition(
            table, colours=inputs.sample_colours(), of="% of the cluster's cells"
        )
    return section


def cluster_rows(inputs: ReportInputs) -> list[dict[str, Any]]:
    """One row a cluster, with the places of its cells, markers and subtypes on the page."""
    leiden, sizes = inputs.column(slots.LEIDEN), inputs.sizes(slots.LEIDEN)
    if leiden is None:
        return []
    record = plain(inputs.record.get("cluster", {}))
    unconfirmed = set(map(str, record.get("unconfirmed", [])))
    confidence = inputs.column(slots.LEIDEN_CONFIDENCE)
    colours = figures.colours_of(list(sizes))
    groups = _subtype_groups(inputs)
    tables = marker_tables(inputs)
    rows = []
    for name, size in sizes.items():
        is_own = (leiden.astype(str) == name).to_numpy()
        found = main_type(inputs, name)
        shown = tables.get(name, {"named": []})["named"]
        rows.append(
            {
                "name": name,
                "colour": colours[name],
                "size": f"{size:,}",
                "share": share(size, inputs.cells.n_obs, 1),
                "type": f"{found[0]} ({share(found[1], size)})" if found else "-",
                "confidence": "-"
                if confidence is None
                else f"{float(confidence[is_own].median()):.2f}",
                "found": "no" if name in unconfirmed else "yes",
                "markers": [figures.safe(gene) for gene in shown],
                "has_table": name in tables,
                "subtypes": groups.get(name if name in groups else found[0] if found else ""),
            }
        )
    return rows


def marker_tables(inputs: ReportInputs) -> dict[str, Section]:
    """Cluster -> its label, the markers that name it, and a table of its first markers of all."""
    table = inputs.markers
    if table is None or table.empty:
        return {}
    left_out = set(inputs.cells.var_names[is_translation(inputs.cells)])
    found: dict[str, Section] = {}
    for name in inputs.sizes(slots.LEIDEN):
        own = table[table["group"].astype(str) == name]
        if own.empty:
            continue
        label = genes_of(own)
        found[name] = {
            "label": cluster_label(inputs, name),
            "named": label[~own["gene"].astype(str).isin(left_out)].head(_N_NAMED).tolist(),
            "header": [
                *("gene", "log2 fold change", "z of the rank-sum test", "FDR"),
                *("cells of the cluster that have it", "other cells that have it"),
            ],
            "rows": _marker_rows(own.head(_N_LISTED), label),
        }
    return found


def _marker_rows(table: pd.DataFrame, label: pd.Series) -> list[list[str]]:
    numbers = ["log2_fold_change", "z", "fdr", "fraction_in_group", "fraction_in_others"]
    return [
        [gene, f"{change:+.2f}", f"{z:.1f}", f"{fdr:.1e}", share(within, 1), share(outside, 1)]
        for gene, (change, z, fdr, within, outside) in zip(
            label, table[numbers].to_numpy(dtype=float), strict=False
        )
    ]


def _subtype_groups(inputs: ReportInputs) -> dict[str, int]:
    """Group that was looked into for subtypes -> the number of its row on the page."""
    groups = plain(inputs.record.get("subtype", {})).get("groups", {})
    return {str(name): number for number, name in enumerate(groups.get("group", []))}
