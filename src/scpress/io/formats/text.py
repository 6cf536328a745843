"""How a CSV or TSV table becomes raw counts, in parts."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.counts.names import find_no_cells_by_name, find_no_genes_by_name
from scpress.counts.raw import RawCounts
from scpress.errors import InputError
from scpress.io.formats.plain import open_text

_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", " ": "spaces"}
# Also what is no number to a computer, and told by its place when the counts are read: it must not
# make a column of text of a gene.
_NUMBER = re.compile(
    r"[-+\d.,' ]*(e[-+]?\d+)?|[-+]?(nan|inf|infinity)|n/?a|<na>|#n/?a|null|none", re.IGNORECASE
)


@dataclass(frozen=True)
class _Table:
    """What the first lines say of a table.

    Parameters
    ----------
    names
        Names of the columns of values.
    labels
        Names of the columns of text in front of them; the first names the rows.
    n_skipped
        Lines before the first row of values.
    """

    path: Path
    separator: str
    names: list[str]
    labels: list[str]
    n_skipped: int


def open_csv(path: Path, options: IngestOptions) -> RawCounts:
    """Open a table separated by commas: names in the first line and the first column."""
    return _open(path, ",", options)


def open_tsv(path: Path, options: IngestOptions) -> RawCounts:
    """Open a table separated by tabs."""
    return _open(path, "\t", options)


def _open(path: Path, separator: str, options: IngestOptions) -> RawCounts:
    table = _read_head(path, separator)
    messages = []
    if table.separator != separator:
        messages.append(f"the fields are separated by {_SEPARATORS[table.separator]}")
    if len(table.labels) > 1:
        messages.append(f"columns of text: {', '.join(table.labels[1:])}")
    with open_text(path, newline="") as file:
        labels = pd.read_csv(
            file,
            sep=table.separator,
            header=None,
            skiprows=table.n_skipped,
            usecols=range(len(table.labels)),
            dtype=str,
            keep_default_na=False,
        )
    rows = pd.DataFrame(
        {name: labels[at].to_numpy(object) for at, name in enumerate(table.labels) if at},
        index=pd.Index(labels[0].to_numpy(dtype=object)),
    )
    columns = pd.DataFrame(index=pd.Index(np.array(table.names, dtype=object)))
    cells, genes = rows.index, columns.index
    if options.orientation == "genes_by_cells":
        cells, genes = genes, cells
    for what, odd in (
        ("genes", find_no_genes_by_name(list(genes))),
        ("cells", find_no_cells_by_name(list(cells))),
    ):
        if odd:
            messages.append(f"taken for {what}, though none by their names: {', '.join(odd[:4])}")
    return RawCounts(
        rows, columns, lambda max_bytes: _iter_rows(table, max_bytes), messages=messages
    )


def _read_head(path: Path, separator: str) -> _Table:
    """What the first lines say: the separator, the names of the columns, and which are of text.

    Lines in front that begin with # are comments (BD Rhapsody's), but for one that has as many
    fields as the next line, and several: it is the header.
    """
    header, first, n_skipped = _split_lines(path, separator)
    others = [other for other in _SEPARATORS if other != separator]
    while len(first) == 1 and first[0] and others:
        other = others.pop(0)
        other_header, other_first, other_skipped = _split_lines(path, other)
        if len(other_first) > 1 and len(other_first) - len(other_header) in (0, 1):
            separator = other
            header, first, n_skipped = other_header, other_first, other_skipped
    if not first:
        raise InputError(f"'{path}' has no rows under its header. Is the file complete?")
    # R writes no corner: one name less than there are fields.
    if len(header) == len(first) - 1:
        header = ["", *header]
    if len(header) != len(first) or len(first) < 2:
        raise InputError(
            f"'{path}': {len(header)} names in the first line, {len(first)} fields in the second. "
            f"Are the fields separated by {_SEPARATORS[separator]}?"
        )
    if first[-1] == "" and (header[-1] == "" or header[:2] == ["", ""]):
        raise InputError(
            f"'{path}': its lines end with a separator, and so with a field that is empty. "
            "Write it without."
        )
    n_labels = 1
    while n_labels < len(first) - 1 and not _is_number(first[n_labels]):
        n_labels += 1
    for name, value in zip(header[n_labels:], first[n_labels:], strict=True):
        if not _is_number(value):
            raise InputError(
                f"'{path}': the column {name!r} holds {value[:40]!r}, which is no count. Columns "
                "of text may stand before all counts only; leave out the others."
            )
    if n_labels == len(first) - 1 > 1:
        raise InputError(
            f"'{path}' has one column of numbers, {header[-1]!r}, behind {n_labels} of text. A "
            "line for every cell and gene? Give a table of cells x genes."
        )
    labels = [name or f"label{at}" for at, name in enumerate(header[:n_labels])]
    return _Table(path, separator, header[n_labels:], labels, n_skipped)


def _is_number(text: str) -> bool:
    """Whether a field is meant as a number: one, a missing one, or one with other marks in it."""
    return _NUMBER.fullmatch(text.strip()) is not None


def _split_lines(path: Path, separator: str) -> tuple[list[str], list[str], int]:
    """Fields of the header and of the first row, and how many lines are before the rows."""
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
    return header, first, n_comments + 1


def _iter_rows(table: _Table, max_bytes: int) -> Iterator[sparse.csr_matrix]:
    # No names of columns, because pandas would rename repeated ones. All fields are read, though
    # the names of the rows are not needed, so that a line with too many of them is an error.
    n_labels, n_columns = len(table.labels), len(table.names)
    types = dict.fromkeys(range(n_labels), str)
    with (
        open_text(table.path, newline="") as file,
        pd.read_csv(
            file,
            sep=table.separator,
            header=None,
            skiprows=table.n_skipped,
            dtype=types | dict.fromkeys(range(n_labels, n_labels + n_columns), np.float64),
            chunksize=max(1, max_bytes // (16 * n_columns)),
        ) as parts,
    ):
        for part in parts:
            yield sparse.csr_matrix(part.iloc[:, n_labels:].to_numpy(dtype=np.float64))
