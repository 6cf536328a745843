"""What the map of cells and the dot plot of markers are drawn from."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scpress import slots
from scpress.counts.genes import gene_ids, gene_symbols, is_mitochondrial, is_ribosomal
from scpress.counts.matrix import iter_chunks
from scpress.report import figures
from scpress.report.anomalies import anomaly_colours
from scpress.report.expression import collect_genes
from scpress.report.inputs import ReportInputs
from scpress.tables.records import plain

# A column with more categories has no legend a reader could use.
_MAX_CATEGORIES = 60
# Symbols of the 5'TOP genes beside the ribosome's.
_WITH_RIBOSOME = frozenset(
    (
        *("EEF1A1", "EEF1B2", "EEF1D", "EEF1G", "EEF2", "TPT1", "RACK1", "GNB2L1"),
        *("FAU", "UBA52", "NACA", "BTF3", "PABPC1", "EIF3E", "NPM1"),
    )
)
_FIRST = (slots.CELL_TYPE, slots.LEIDEN, slots.SUBTYPE, slots.SAMPLE, slots.LABEL)
_NUMBERS = (
    slots.LIBRARY_SIZE,
    slots.N_GENES,
    slots.PCT_MT,
    slots.PCT_RIBO,
    slots.DOUBLET_SCORE,
    slots.CELL_TYPE_CONFIDENCE,
    slots.LEIDEN_CONFIDENCE,
    slots.NEIGHBOR_AGREEMENT,
    slots.SUBTYPE_CONFIDENCE,
)


def collect_map(inputs: ReportInputs, *, max_cells: int) -> dict[str, Any] | None:
    """Positions and colours of the cells that are drawn; None without a layout."""
    if slots.UMAP.name not in inputs.cells.obsm:
        return None
    rows = inputs.shown_rows(max_cells)
    position = np.asarray(inputs.cells.obsm[slots.UMAP.name])[rows]
    obs = inputs.cells.obs.iloc[rows]
    colours = [_categories(obs[name]) for name in _category_names(obs)]
    colours += [_numbers(obs, slot.name) for slot in _NUMBERS if slot.name in obs]
    nll = slots.NLL.of(inputs.primary)
    if nll in obs:
        colours.append(_numbers(obs, nll))
    if inputs.anomaly is not None:
        strange = anomaly_colours(inputs, rows)
        colours += [_categories(strange["anomaly"]), _numbers(strange, slots.ANOMALY_SCORE.name)]
    return {
        "x": figures.rounded(position[:, 0], 3),
        "y": figures.rounded(position[:, 1], 3),
        "names": [figures.safe(name) for name in obs.index],
        "colours": colours,
        "leiden": figures.safe(slots.LEIDEN.name),
        "genes": collect_genes(inputs, rows),
        "n_cells": inputs.cells.n_obs,
        "n_shown": len(rows),
        "n_laid_out": plain(inputs.record.get("cluster", {})).get("n_umap_cells"),
    }


def _category_names(obs: pd.DataFrame) -> list[str]:
    ours = [slot.name for slot in _FIRST if slot.name in obs]
    # The map is coloured by the first: not by what all cells have in common.
    ours.sort(key=lambda name: obs[name].nunique() < 2)
    users = [
        str(name)
        for name in obs
        if name not in ours
        and obs[name].dtype.kind == "O"
        and name != slots.QC_REASON.name
        and 1 < obs[name].nunique() <= _MAX_CATEGORIES
    ]
    return [name for name in ours if obs[name].nunique() <= _MAX_CATEGORIES] + users


def _categories(column: pd.Series) -> dict[str, Any]:
    categorical = column.astype(str).astype("category")
    names = list(categorical.cat.categories)
    if isinstance(column.dtype, pd.CategoricalDtype):
        # Numbered clusters in their own order, not "10" before "2".
        own = [str(name) for name in column.cat.categories if str(name) in names]
        names = own + [name for name in names if name not in own]
        categorical = categorical.cat.reorder_categories(names)
    colours = figures.colours_of(names)
    return {
        "name": figures.safe(column.name),
        "kind": "category",
        "names": [figures.safe(name) for name in names],
        "palette": [colours[name] for name in names],
        "codes": categorical.cat.codes.astype(int).tolist(),
    }


def _numbers(obs: pd.DataFrame, name: str) -> dict[str, Any]:
    values = obs[name].to_numpy(dtype=float)
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [1, 99]) if len(finite) else (0.0, 1.0)
    short = [None if not np.isfinite(v) else float(f"{v:.4g}") for v in values]
    return {
        "name": figures.safe(name),
        "kind": "number",
        "values": short,
        "low": float(low),
        "high": float(high),
    }


def is_translation(cells: AnnData) -> np.ndarray:
    """[genes] Genes that say how much a cell translates or breathes, and little of what it is.

    The ribosome's proteins and the factors whose messages are held and let go with theirs
    (5'TOP: Meyuhas 2000), and the genes of mitochondria.
    """
    ids, symbols = list(gene_ids(cells.var)), list(gene_symbols(cells.var))
    with_ribosome = [symbol.upper() in _WITH_RIBOSOME for symbol in symbols]
    return is_mitochondrial(ids, symbols) | is_ribosomal(ids, symbols) | with_ribosome


def collect_dots(inputs: ReportInputs, n_markers: int) -> figures.Figure | None:
    """Draw the first markers of every cluster, but for genes of translation and mitochondria."""
    table, leiden = inputs.markers, inputs.column(slots.LEIDEN)
    if table is None or table.empty or leiden is None:
        return None
    order = [str(name) for name in leiden.astype("category").cat.categories]
    shown = set(inputs.cells.var_names[~is_translation(inputs.cells)])
    chosen: list[str] = []
    for name in order:
        own = table.loc[table["group"].astype(str) == name, "gene"].astype(str)
        known = [gene for gene in own if gene in shown]
        chosen += [gene for gene in known[:n_markers] if gene not in chosen]
    if not chosen:
        return None
    columns = inputs.cells.var_names.get_indexer(pd.Index(chosen))
    mean, fraction = group_means(inputs, leiden.astype(str).to_numpy(), order, columns)
    labels = inputs.gene_labels()[columns]
    rows = [cluster_label(inputs, name) for name in order]
    return figures.dot_plot(mean, fraction, groups=rows, genes=list(labels))


def group_means(
    inputs: ReportInputs, groups: np.ndarray, order: list[str], columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean log-value and fraction of cells with a molecule, both [groups, genes]."""
    code = pd.Categorical(groups, categories=order).codes
    total = np.zeros((len(order), len(columns)))
    detected = np.zeros_like(total)
    for start, stop, block in iter_chunks(inputs.cells.X, values="logs"):
        part = block[:, columns]
        member = sparse.csr_matrix(
            (np.ones(stop - start), (code[start:stop], np.arange(stop - start))),
            shape=(len(order), stop - start),
        )
        total += (member @ part).toarray()
        detected += (member @ (part > 0).astype(np.float64)).toarray()
    size = np.maximum(np.bincount(code, minlength=len(order)), 1)[:, None]
    return total / size, detected / size


def main_type(inputs: ReportInputs, name: str) -> tuple[str, int] | None:
    """The type that most cells of a cluster have, and how many; None where most have none."""
    types, leiden = inputs.column(slots.CELL_TYPE), inputs.column(slots.LEIDEN)
    if types is None or leiden is None:
        return None
    own = types[(leiden.astype(str) == name).to_numpy()].astype(str).value_counts()
    if own.empty or own.index[0] == slots.UNASSIGNED:
        return None
    return str(own.index[0]), int(own.iloc[0])


def cluster_label(inputs: ReportInputs, name: str) -> str:
    """Name a cluster with the type most of its cells have."""
    found = main_type(inputs, name)
    return f"{name} · {found[0]}" if found else name
