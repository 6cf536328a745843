"""How a loom file becomes raw counts, read with h5py alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.counts.raw import RawCounts
from scpress.errors import InputError

# What the writers of loom files call the names of cells and genes, most usual first.
_CELL_NAMES = ("CellID", "obs_names", "cell_names", "barcode", "barcodes", "cell_id", "Cell")
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
        if options.layer not in (None, "X") and options.layer not in layers:
            raise InputError(
                f"'{path}' has no layer {options.layer!r}; it holds X"
                f"{''.join(', ' + name for name in layers)}."
            )
        key = "matrix" if options.layer in (None, "X") else f"layers/{options.layer}"
        n_vars, n_obs = file[key].shape
        messages = _name_records(file)
        obs, obsm = _read_attributes(file["col_attrs"], n_obs, _CELL_NAMES, "cells", path)
        var, _ = _read_attributes(file["row_attrs"], n_vars, _GENE_NAMES, "genes", path)
        places = tuple(f"layer {name!r}" for name in layers if f"layers/{name}" != key)

    def read_blocks(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        with h5py.File(path, "r") as file:
            matrix = file[key]
            # Whole HDF5 chunks where the budget allows, so that none is unpacked twice.
            columns = max(1, max_bytes // max(1, n_vars * matrix.dtype.itemsize))
            wide = matrix.chunks[1] if matrix.chunks else 1
            columns = max(columns // wide * wide, min(columns, wide))
            for start in range(0, n_obs, columns):
                yield sparse.csr_matrix(matrix[:, start : start + columns].T)

    return RawCounts(obs, var, read_blocks, obsm=obsm, messages=messages, places=places)


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
        values = _decode(group[name][:]) if isinstance(group[name], h5py.Dataset) else np.empty(0)
        if values.ndim == 1 and len(values) == size:
            columns[name] = values
        elif values.ndim == 2 and len(values) == size and values.dtype.kind in "iuf":
            arrays[name] = values
    key = next((name for name in names if name in columns), None)
    if key is None:
        found = ", ".join(columns) or "nothing"
        raise InputError(
            f"'{path}' does not name its {what}: it has {found}; "
            f"one of {', '.join(names)} is needed."
        )
    index = pd.Index(columns.pop(key).astype(str).astype(object))
    return pd.DataFrame(columns, index=index), arrays


def _decode(values: Any) -> np.ndarray:
    if values.dtype.kind in "SO":
        flat = [v.decode() if isinstance(v, bytes) else str(v) for v in values.ravel()]
        return np.array(flat, dtype=object).reshape(values.shape)
    return np.asarray(values)
