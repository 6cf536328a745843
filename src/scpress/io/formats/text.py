"""How a CSV or TSV table becomes raw counts, in parts."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.counts.genes import are_exchanged
from scpress.counts.raw import RawCounts
from scpress.errors import InputError
from scpress.io.formats.plain import open_text


def open_csv(path: Path, options: IngestOptions) -> RawCounts:
    """Open a table separated by commas: names in the first line and the first column."""
    return _open(path, ",", options)


def open_tsv(path: Path, options: IngestOptions) -> RawCounts:
    """Open a table separated by tabs."""
    return _open(path, "\t", options)


def _open(path: Path, separator: str, options: IngestOptions) -> RawCounts:
    columns, n_skipped = _read_columns(path, separator)
    with open_text(path, newline="") as file:
        rows = pd.read_csv(
            file,
            sep=separator,
            header=None,
            skiprows=n_skipped,
            usecols=[0],
            dtype=str,
            keep_default_na=False,
        )[0]
    row_index = pd.Index(rows.to_numpy(dtype=object))
    column_index = pd.Index(np.array(columns, dtype=object))
    is_cells_first = options.orientation == "cells_by_genes"
    obs, var = (row_index, column_index) if is_cells_first else (column_index, row_index)
    if are_exchanged(list(obs), list(var)):
        other = "genes_by_cells" if is_cells_first else "cells_by_genes"
        raise InputError(
            f"'{path}' is read as {options.orientation.replace('_', ' ')}, but its genes would be "
            f"{', '.join(var[:3])} and its cells {', '.join(obs[:3])}. "
            f"Set `orientation` to {other}."
        )

    def read_blocks(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        parts = _iter_rows(path, separator, len(columns), n_skipped, max_bytes)
        if is_cells_first:
            yield from parts
        else:
            # Rows are genes: a cell is complete only at the end, so the sparse whole is kept.
            yield sparse.vstack(list(parts), format="csr").T.tocsr()

    return RawCounts(pd.DataFrame(index=obs), pd.DataFrame(index=var), read_blocks)


def _read_columns(path: Path, separator: str) -> tuple[list[str], int]:
    """Names in the first line, without the corner above the row names, and the lines before rows.

    Lines in front that begin with # are comments (BD Rhapsody's), but for one that has as many
    fields as the next line, and several: it is the header.
    """
    n_comments = 0
    previous: list[str] = []
    with open_text(path, newline="") as file:
        lines = csv.reader(file, delimiter=separator)
        header = next(lines, [])
        while header and header[0].startswith("#"):
            n_comments, previous = n_comments + 1, header
            header = next(lines, [])
        first = next(lines, [])
    if len(previous) > 1 and len(previous) == len(header):
        n_comments, header, first = n_comments - 1, previous, header
    if not first:
        raise InputError(f"'{path}' has no rows under its header. Is the file complete?")
    # R writes no corner: one name less than there are fields.
    names = header if len(header) == len(first) - 1 else header[1:]
    if len(names) != len(first) - 1 or not names:
        raise InputError(
            f"'{path}': {len(header)} names in the first line, {len(first)} fields in the second. "
            f"Are the fields separated by {'commas' if separator == ',' else 'tabs'}?"
        )
    return names, n_comments + 1


def _iter_rows(
    path: Path, separator: str, n_columns: int, n_skipped: int, max_bytes: int
) -> Iterator[sparse.csr_matrix]:
    # No names of columns, because pandas would rename repeated ones. All fields are read, though
    # the names of the rows are not needed, so that a line with too many of them is an error.
    with (
        open_text(path, newline="") as file,
        pd.read_csv(
            file,
            sep=separator,
            header=None,
            skiprows=n_skipped,
            dtype={0: str} | dict.fromkeys(range(1, n_columns + 1), np.float64),
            chunksize=max(1, max_bytes // (16 * n_columns)),
        ) as parts,
    ):
        for part in parts:
            yield sparse.csr_matrix(part.iloc[:, 1:].to_numpy(dtype=np.float64))
