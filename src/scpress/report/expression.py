"""Which genes can colour the map, and their counts in as few bytes as a page can hold them."""

import base64
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from scpress import slots
from scpress.counts.matrix import iter_chunks, stack_rows
from scpress.counts.measured import measured_in
from scpress.report import figures
from scpress.report.inputs import ReportInputs

# Characters that the counts may take of the 20 MB of a page, and genes that a list can offer.
_MAX_CHARACTERS = 6_000_000
_MAX_GENES = 4_000
# The largest number of a byte: a count that is said to be so large is at least so large.
_MOST = 255


def collect_genes(inputs: ReportInputs, rows: np.ndarray) -> dict[str, Any] | None:
    """Counts of genes in the cells that are drawn: of markers, then of the most variable genes.

    For every gene the gaps between the cells that have it and the counts there, a byte each, in
    base64; genes are added while they fit.
    """
    counts = inputs.cells.layers.get(slots.COUNTS.name)
    if counts is None or slots.SIZE_FACTOR.name not in inputs.cells.obs:
        return None
    columns = _offered(inputs)
    values = _take(counts, rows, columns)
    labels = inputs.gene_labels()[columns]
    doubled = pd.Series(labels).duplicated(keep=False)
    names, gaps, molecules, n_left = [], [], [], _MAX_CHARACTERS
    for number, column in enumerate(columns.tolist()):
        of_gene = slice(values.indptr[number], values.indptr[number + 1])
        one = [
            pack(to_gaps(values.indices[of_gene])),
            pack(np.minimum(values.data[of_gene], _MOST)),
        ]
        n_left -= len(one[0]) + len(one[1])
        if n_left < 0:
            break
        label = str(labels[number])
        # Two genes of one symbol are told apart by their names.
        names.append(f"{label} ({inputs.cells.var_names[column]})" if doubled[number] else label)
        gaps.append(one[0])
        molecules.append(one[1])
    size_factor = inputs.cells.obs[slots.SIZE_FACTOR.name].to_numpy(dtype=float)[rows]
    return {
        "names": [figures.safe(name) for name in names],
        "gaps": gaps,
        "counts": molecules,
        "size_factor": [float(f"{value:.4g}") for value in size_factor],
        "most": _MOST,
        "n_genes": inputs.cells.n_vars,
    }


def _offered(inputs: ReportInputs) -> np.ndarray:
    """Columns of the genes to offer, the most wanted first."""
    named: dict[str, None] = {}
    for table in (inputs.markers, inputs.subtype_markers):
        if table is not None and len(table):
            rank = table.groupby("group", sort=False).cumcount().to_numpy()
            order = np.argsort(rank, kind="stable")
            named |= dict.fromkeys(table["gene"].astype(str).to_numpy()[order])
    var = inputs.cells.var
    if slots.HIGHLY_VARIABLE.name in var:
        named |= dict.fromkeys(var.index[var[slots.HIGHLY_VARIABLE.name].to_numpy(dtype=bool)])
    columns = inputs.cells.var_names.get_indexer(pd.Index(list(named), dtype=object))
    columns = columns[columns >= 0]
    measured = measured_in(inputs.cells)
    if measured is not None:  # a map has no colour for what was not counted
        columns = columns[measured.everywhere[columns]]
    return columns[:_MAX_GENES]


def _take(counts: Any, rows: np.ndarray, columns: np.ndarray) -> sparse.csc_matrix:
    """[rows, columns] Counts of some cells and genes, gene by gene, read block by block."""

    def taken() -> Iterator[sparse.csr_matrix]:
        for start, stop, block in iter_chunks(counts):
            first, last = np.searchsorted(rows, [start, stop])
            yield block[rows[first:last] - start][:, columns]

    blocks: Iterable[sparse.csr_matrix] = taken()
    values = stack_rows(blocks, n_vars=len(columns), dtype=np.int32).tocsc()
    values.eliminate_zeros()
    values.sort_indices()
    return values


def to_gaps(places: np.ndarray) -> np.ndarray:
    """Steps from one place to the next in bytes, from -1 on; 255 is as many and goes on."""
    steps = np.diff(places.astype(np.int64), prepend=-1)
    whole = steps // _MOST
    found = np.full(int(whole.sum()) + len(steps), _MOST, dtype=np.uint8)
    found[np.cumsum(whole + 1) - 1] = steps - whole * _MOST
    return found


def pack(values: np.ndarray) -> str:
    """Bytes in base64."""
    return base64.b64encode(values.astype(np.uint8).tobytes()).decode()
