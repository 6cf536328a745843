"""How a CSV or TSV table becomes raw counts, in parts."""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.counts.raw import RawCounts
from scpress.errors import InputError


def open_csv(path: Path, options: IngestOptions) -> RawCounts:
    """Open a table separated by commas: names in the first line and the first column."""
    return _open(path, ",", options)


def open_tsv(path: Path, options: IngestOptions) -> RawCounts:
    """Open a table separated by tabs."""
    return _open(path, "\t", options)


def _open(path: Path, separator: str, options: IngestOptions) -> RawCounts:
    columns = _read_columns(path, separator)
    rows = pd.read_csv(
        path, sep=separator, header=None, skiprows=1, usecols=[0], dtype=str, keep_default_na=False
    )[0]
    row_index = pd.Index(rows.to_numpy(dtype=object))
    column_index = pd.Index(np.array(columns, dtype=object))
    is_cells_first = options.orientation == "cells_by_genes"
    obs, var = (row_index, column_index) if is_cells_first else (column_index, row_index)

    def read_blocks(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        parts = _iter_rows(path, separator, len(columns), max_bytes)
        if is_cells_first:
            yield from parts
        else:
            # Rows are genes: a cell is complete only at the end, so the sparse whole is kept.
            yield sparse.vstack(list(parts), format="csr").T.tocsr()

    return RawCounts(pd.DataFrame(index=obs), pd.DataFrame(index=var), read_blocks)


def _open_text(path: Path) -> TextIO:
    return gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="")


def _read_columns(path: Path, separator: str) -> list[str]:
    """Read the names in the first line, without the corner above the row names."""
    with _open_text(path) as file:
        lines = csv.reader(file, delimiter=separator)
        header = next(lines, [])
        first = next(lines, [])
    if not first:
        raise InputError(f"'{path}' has no rows under its header. Is the file complete?")
    # R writes no corner: one name less than there are fields.
    names = header if len(header) == len(first) - 1 else header[1:]
    if len(names) != len(first) - 1 or not names:
        raise InputError(
            f"'{path}': {len(header)} names in the first line, {len(first)} fields in the second. "
            f"Are the fields separated by {'commas' if separator == ',' else 'tabs'}?"
        )
    return names


def _iter_rows(
    path: Path, separator: str, n_columns: int, max_bytes: int
) -> Iterator[sparse.csr_matrix]:
    # No names of columns, because pandas would rename repeated ones. All fields are read, though
    # the names of the rows are not needed, so that a line with too many of them is an error.
    table = pd.read_csv(
        path,
        sep=separator,
        header=None,
        skiprows=1,
        dtype={0: str} | dict.fromkeys(range(1, n_columns + 1), np.float64),
        chunksize=max(1, max_bytes // (16 * n_columns)),
    )
    with table as parts:
        for part in parts:
            yield sparse.csr_matrix(part.iloc[:, 1:].to_numpy(dtype=np.float64))
