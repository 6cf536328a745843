"""How a loom file becomes raw counts, read with h5py alone."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from scpress import settings
from scpress.config.options import IngestOptions
from scpress.counts.axes import reader_of_sum
from scpress.counts.matrix import sum_of_all, to_csr
from scpress.counts.parts import find_matrices, name_places, tell_parts
from scpress.counts.raw import RawCounts
from scpress.errors import InputError
from scpress.io.guards import DAMAGED

# What the writers of loom files call the names of cells and genes, most usual first.
_CELL_NAMES = "CellID obs_names cell_names barcode barcodes cell_id Cell".split()  # noqa: SIM905
_GENE_NAMES = (  # noqa: SIM905
    "Gene var_names gene_names gene gene_short_name gene_name Accession gene_ids gene_id"
).split()


def open_loom(path: Path, options: IngestOptions) -> RawCounts:
    """Open a loom file; the matrix on disk is dense, genes x cells, and read by blocks of cells."""
    with h5py.File(path, "r") as file:
        if "matrix" not in file or "row_attrs" not in file or "col_attrs" not in file:
            found = ", ".join(sorted(file)[:6]) or "nothing"
            raise InputError(f"'{path}' is not a loom file: it holds {found}.")
        layers = list(file["layers"]) if "layers" in file else []
        there = ["X", *(f"layers/{name}" for name in layers)]
        keys, _ = find_matrices(there, options.layer, str(path))
        n_vars, n_obs = file["matrix"].shape
        for key in keys:
            if file[_stored(key)].shape != (n_vars, n_obs):
                raise InputError(
                    f"'{path}': {key} is {file[key].shape}, the matrix {(n_vars, n_obs)}. {DAMAGED}"
                )
        messages = _name_records(file)
        of_columns, of_rows = _CELL_NAMES, _GENE_NAMES
        if options.orientation == "genes_by_cells":
            of_columns, of_rows = _GENE_NAMES + _CELL_NAMES, _CELL_NAMES + _GENE_NAMES
        obs, obsm = _read_attributes(file["col_attrs"], n_obs, of_columns, "cells", path)
        var, _ = _read_attributes(file["row_attrs"], n_vars, of_rows, "genes", path)

        def total(key: str) -> float:
            return sum_of_all(_read(path, key, settings.chunk_bytes, by_row=True))

        messages += tell_parts(there, keys, options.layer, total)

    def reader(key: str) -> Callable[[int], Iterator[sparse.csr_matrix]]:
        return lambda max_bytes: _read(path, key, max_bytes)

    return RawCounts(
        obs,
        var,
        reader_of_sum([reader(key) for key in keys]),
        obsm=obsm,
        messages=messages,
        places=name_places(there, keys),
        read_columns=(
            (lambda max_bytes: _read(path, keys[0], max_bytes, by_row=True))
            if len(keys) == 1
            else None
        ),
    )


def _stored(key: str) -> str:
    return "matrix" if key == "X" else key


def _read(
    path: Path, key: str, max_bytes: int, *, by_row: bool = False
) -> Iterator[sparse.csr_matrix]:
    """Blocks of the columns of a matrix, as rows; `by_row`: of its rows."""
    with h5py.File(path, "r") as file:
        matrix = file[_stored(key)]
        axis = 0 if by_row else 1
        # Whole HDF5 chunks where the budget allows, so that none is unpacked twice.
        step = max(1, max_bytes // max(1, matrix.shape[1 - axis] * matrix.dtype.itemsize))
        wide = matrix.chunks[axis] if matrix.chunks else 1
        step = max(step // wide * wide, min(step, wide))
        for start in range(0, matrix.shape[axis], step):
            part = slice(start, start + step)
            yield to_csr(matrix[part] if by_row else matrix[:, part].T)


def _name_records(file: h5py.File) -> list[str]:
    """What is said of attributes that hold several named values a cell or gene (SCope's)."""
    found = [
        f"{axis}/{name}"
        for axis in ("col_attrs", "row_attrs")
        for name, item in file[axis].items()
        if isinstance(item, h5py.Dataset) and item.dtype.names
    ]
    return [f"set aside, because they hold records: {', '.join(found)}"] if found else []


def _read_attributes(
    group: h5py.Group, size: int, names: Sequence[str], what: str, path: Path
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Read the attributes with one value per cell or gene as a table, wider ones as arrays."""
    columns: dict[str, np.ndarray] = {}
    arrays: dict[str, np.ndarray] = {}
    for name in group:
        if isinstance(group[name], h5py.Dataset) and group[name].dtype.names:
            continue
        if not isinstance(group[name], h5py.Dataset) or not group[name].shape:
            continue
        values = _decode(group[name][:])
        if len(values) != size:
            raise InputError(
                f"'{path}': {group.name[1:]}/{name} has {len(values)} values, and there are {size} "
                f"{what}. {DAMAGED}"
            )
        if values.ndim == 1:
            columns[name] = values
        elif values.ndim == 2 and values.dtype.kind in "iuf":
            arrays[name] = values
    key = next((name for name in names if name in columns), None)
    if key is None:
        found = ", ".join(columns) or "nothing"
        raise InputError(
            f"'{path}' does not name its {what}: it has {found}; "
            f"one of {', '.join(names)} is needed."
        )
    named = columns.pop(key)
    if named.dtype.kind in "iuf" and len(np.unique(named)) < len(named):
        columns[key], named = named, np.arange(size)  # numbers that repeat name nothing
    return pd.DataFrame(columns, index=pd.Index(named.astype(str).astype(object))), arrays


def _decode(values: Any) -> np.ndarray:
    if values.dtype.kind in "SO":
        flat = [v.decode() if isinstance(v, bytes) else str(v) for v in values.ravel()]
        return np.array(flat, dtype=object).reshape(values.shape)
    return np.asarray(values)
