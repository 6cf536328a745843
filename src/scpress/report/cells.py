"""What the interactive map of cells and the dot plot of markers are drawn from."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from scpress import slots
from scpress.counts.matrix import iter_chunks, select_columns
from scpress.report import figures
from scpress.report.inputs import ReportInputs

# Numbers a page can carry for the expression of genes on the map: cells x genes.
_MAX_GENE_VALUES = 600_000
_MAX_GENES = 40
# A column with more categories has no legend a reader could use.
_MAX_CATEGORIES = 60
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


def collect_map(inputs: ReportInputs, *, max_cells: int, genes: list[str]) -> dict[str, Any] | None:
    """Positions and colours of the cells that are drawn; None without a layout.

    Parameters
    ----------
    genes
        Names of genes whose log-normalized values can be chosen as colours.
    """
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
    fitting = genes[: min(_MAX_GENES, _MAX_GENE_VALUES // max(1, len(rows)))]
    colours += _gene_colours(inputs, rows, fitting)
    return {
        "x": figures.rounded(position[:, 0], 3),
        "y": figures.rounded(position[:, 1], 3),
        "names": [figures.safe(name) for name in obs.index],
        "colours": colours,
        "n_cells": inputs.cells.n_obs,
        "n_shown": len(rows),
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


def _gene_colours(inputs: ReportInputs, rows: np.ndarray, genes: list[str]) -> list[dict[str, Any]]:
    columns = inputs.cells.var_names.get_indexer(pd.Index(genes))
    columns = columns[columns >= 0]
    if not len(columns):
        return []
    values = select_columns(inputs.cells.X, columns, dtype=np.float32, values="logs")[rows].tocsc()
    labels = inputs.gene_labels()[columns]
    found = []
    for number, label in enumerate(labels):
        one = values[:, [number]].toarray().ravel()
        high = float(np.percentile(one[one > 0], 99)) if (one > 0).any() else 1.0
        # Zeros are most of the values: as integers they are one character each.
        short = [round(v, 1) if v else 0 for v in one.astype(float).tolist()]
        found.append(
            {
                "name": figures.safe(label),
                "kind": "number",
                "gene": True,
                "values": short,
                "low": 0.0,
                "high": high,
            }
        )
    return found


def collect_dots(inputs: ReportInputs, n_markers: int) -> tuple[figures.Figure, list[str]] | None:
    """Draw the first markers of every cluster; returns the names of the genes, too."""
    table = inputs.markers
    leiden = inputs.column(slots.LEIDEN)
    if table is None or table.empty or leiden is None:
        return None
    order = [str(name) for name in leiden.astype("category").cat.categories]
    chosen: list[str] = []
    for name in order:
        own = table.loc[table["group"].astype(str) == name, "gene"].astype(str)
        known = [gene for gene in own if gene in inputs.cells.var_names]
        chosen += [gene for gene in known[:n_markers] if gene not in chosen]
    if not chosen:
        return None
    columns = inputs.cells.var_names.get_indexer(pd.Index(chosen))
    mean, fraction = group_means(inputs, leiden.astype(str).to_numpy(), order, columns)
    labels = inputs.gene_labels()[columns]
    rows = [_cluster_label(inputs, name) for name in order]
    return figures.dot_plot(mean, fraction, groups=rows, genes=list(labels)), chosen


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


def _cluster_label(inputs: ReportInputs, name: str) -> str:
    """Name a cluster with the type most of its cells have."""
    types, leiden = inputs.column(slots.CELL_TYPE), inputs.column(slots.LEIDEN)
    if types is None or leiden is None:
        return name
    own = types[(leiden.astype(str) == name).to_numpy()].astype(str)
    return f"{name} · {own.value_counts().index[0]}" if len(own) else name
