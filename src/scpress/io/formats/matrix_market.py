"""How a sparse matrix in Matrix Market format is read by cells, in parts."""

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
from scipy import sparse

from scpress.errors import InputError
from scpress.io.formats.plain import open_text

_NUMBERS = ("integer", "unsigned-integer", "real")


def read_shape(path: Path) -> tuple[int, int, int]:
    """(rows, columns, entries) as the file promises them.

    Raises
    ------
    InputError
        It is not a sparse matrix of numbers.
    """
    with open_text(path) as file:
        first = file.readline().lower().split()
        if (
            first[:3] != ["%%matrixmarket", "matrix", "coordinate"]
            or first[3:4] not in [[word] for word in _NUMBERS]
            or first[4:5] != ["general"]
        ):
            raise InputError(
                f"'{path}' is not a sparse matrix of counts in Matrix Market format; "
                f"its first line is {' '.join(first)[:60]!r}."
            )
        words = _skip_to_sizes(file).split()
    # R writes 1e+05 for 100000.
    sizes = [float(word) for word in words]
    if len(sizes) != 3 or any(size != int(size) or size < 0 for size in sizes):
        raise InputError(
            f"'{path}': rows, columns and entries should be three whole numbers; "
            f"found {' '.join(words)[:60]!r}."
        )
    n_rows, n_columns, n_entries = map(int, sizes)
    return n_rows, n_columns, n_entries


def _skip_to_sizes(file: TextIO) -> str:
    for line in file:
        if line.strip() and not line.startswith("%"):
            return line
    return ""


def iter_entries(
    path: Path, lines: int, *, cells_first: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Cells, features (both from 0) and values, as many lines at a time."""
    with open_text(path) as file:
        if float(_skip_to_sizes(file).split()[2]) == 0:
            if file.read(2**16).strip():
                raise InputError(f"'{path}' promises 0 entries and holds more. Is it complete?")
            return
        for table in pd.read_csv(file, sep=r"\s+", header=None, chunksize=lines, quoting=3):
            if table.shape[1] != 3:
                raise ValueError(f"{table.shape[1]} words in a line; 3 expected")
            first, second = (_read_places(table[column]) for column in (0, 1))
            cells, features = (first, second) if cells_first else (second, first)
            values = pd.to_numeric(table[2]).to_numpy()
            if values.dtype.kind not in "iuf":  # True is a word, not a count
                raise ValueError(f"values of type {values.dtype}; numbers expected")
            yield cells, features, values


def _read_places(column: pd.Series) -> np.ndarray:
    """Row or column numbers from 0; 4e+02 is 400."""
    places = column.to_numpy(dtype=np.int64)
    if column.dtype.kind == "f" and (places != column.to_numpy()).any():
        raise ValueError("a row or column number that is not whole")
    return places - 1


def check_entries(path: Path, shape: tuple[int, int], n_entries: int, *, cells_first: bool) -> bool:
    """Whether the entries are sorted by cell, after a check that all are there and inside."""
    found = 0
    last = -1
    is_sorted = True
    n_obs, n_features = shape if cells_first else shape[::-1]
    for cells, features, _ in iter_entries(path, 2**20, cells_first=cells_first):
        found += len(cells)
        if min(cells.min(), features.min()) < 0 or (
            cells.max() >= n_obs or features.max() >= n_features
        ):
            raise InputError(f"'{path}': an entry is outside its {shape[0]} x {shape[1]} matrix.")
        is_sorted &= bool(cells[0] >= last and (np.diff(cells) >= 0).all())
        last = int(cells[-1])
    if found != n_entries:
        raise InputError(
            f"'{path}' promises {n_entries} entries and holds {found}. Is the file complete?"
        )
    return is_sorted


def cut_cells(
    entries: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]],
    n_obs: int,
    n_features: int,
    max_bytes: int,
) -> Iterator[sparse.csr_matrix]:
    """CSR blocks of whole cells; the last cell of a part may go on in the next part."""
    start = 0
    rest: list[tuple[np.ndarray, ...]] = []
    for part in entries:
        rest.append(part)
        stop = int(part[0].max())  # this cell may not be complete yet
        if stop > start:
            cells, features, values = (np.concatenate(arrays) for arrays in zip(*rest, strict=True))
            done = cells < stop
            yield from _blocks(
                cells[done], features[done], values[done], start, stop, n_features, max_bytes
            )
            rest = [(cells[~done], features[~done], values[~done])]
            start = stop
    empty = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))
    cells, features, values = (
        np.concatenate(arrays) for arrays in zip(*(rest or [empty]), strict=True)
    )
    yield from _blocks(cells, features, values, start, n_obs, n_features, max_bytes)


def _blocks(
    cells: np.ndarray,
    features: np.ndarray,
    values: np.ndarray,
    start: int,
    stop: int,
    n_features: int,
    max_bytes: int,
) -> Iterator[sparse.csr_matrix]:
    # An entry listed twice stays so: each is checked before they are added up, as the format asks.
    order = np.argsort(cells, kind="stable")
    pointers = np.searchsorted(cells, np.arange(start, stop + 1), sorter=order)
    block = sparse.csr_matrix(
        (values[order], features[order], pointers), shape=(stop - start, n_features)
    )
    rows = max(1, max_bytes // 8)  # bounds the row pointers of very many empty barcodes
    for first in range(0, block.shape[0], rows):
        yield block[first : first + rows]
