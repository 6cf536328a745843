"""How AnnData files, HDF5 or zarr, become raw counts: X, a layer or raw; CSR, CSC or dense."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import zarr
from anndata.io import read_elem, sparse_dataset
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.counts.matrix import iter_chunks
from scpress.counts.raw import RawCounts, find_matrix, name_places, raw_from_anndata
from scpress.counts.stored import stored_rows
from scpress.errors import InputError
from scpress.io.guards import require_zarr_matrix, require_zarr_names

_Opener = Callable[[], AbstractContextManager[Any]]


def is_annotated_h5(path: Path) -> bool:
    """Whether an HDF5 file is an AnnData file whatever its name."""
    try:
        with h5py.File(path, "r") as file:
            return "obs" in file and "var" in file
    except (OSError, RuntimeError):  # damaged: its reader says so
        return False


def open_h5ad(path: Path, options: IngestOptions) -> RawCounts:
    """Open an h5ad file."""
    return _open(lambda: closing(h5py.File(path, "r")), path, options)


def open_zarr(path: Path, options: IngestOptions) -> RawCounts:
    """Open an AnnData in a zarr folder, format 2 or 3."""
    return _open(lambda: nullcontext(zarr.open_group(str(path), mode="r")), path, options)


def _open(opener: _Opener, path: Path, options: IngestOptions) -> RawCounts:
    with opener() as store:
        if "obs" not in store or "var" not in store:
            found = ", ".join(sorted(store)[:8]) or "nothing"
            raise InputError(f"'{path}' is not an AnnData file: it holds {found}, no obs and var.")
        if not _is_current(store):
            return _read_old(path, options)
        key, var_key = find_matrix(_keys(store), options.layer, str(path))
        if not isinstance(store, h5py.File):
            require_zarr_matrix(store[key])
            for table in (store["obs"], store[var_key]):
                require_zarr_names(table)
        obs = read_elem(store["obs"])
        var = read_elem(store[var_key])
        obsm = read_elem(store["obsm"]) if "obsm" in store else {}
        shape = _require_matrix(store[key])
        places = name_places(_keys(store), key)
    if shape != (len(obs), len(var)):
        raise InputError(
            f"'{path}': {key} is {shape[0]} x {shape[1]}, but there are {len(obs)} cells and "
            f"{len(var)} genes. The file is damaged."
        )

    def read_blocks(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        with opener() as store:
            matrix = _matrix(store[key])
            for _, _, block in iter_chunks(matrix, max_bytes=max_bytes, values="anything"):
                yield block

    return RawCounts(obs, var, read_blocks, obsm=dict(obsm), places=places)


def _keys(store: Any) -> list[str]:
    keys = ["X"] if "X" in store else []
    keys += [f"layers/{name}" for name in store["layers"]] if "layers" in store else []
    # AnnData without `raw` may be stored with an empty element of that name.
    has_raw = hasattr(store.get("raw"), "keys") and "X" in store["raw"]
    return keys + (["raw/X"] if has_raw else [])


def _is_current(store: Any) -> bool:
    """Whether each element says how it is encoded, as AnnData files do since version 0.7."""
    return all("encoding-type" in store[name].attrs for name in ("obs", "var"))


def _read_old(path: Path, options: IngestOptions) -> RawCounts:
    # Only anndata knows the older layouts; they are rare and small enough to be read as a whole.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells how it translates what is not used here
        return raw_from_anndata(ad.read_h5ad(path), options.layer)


def _require_matrix(element: Any) -> tuple[int, ...]:
    """Shape of a matrix, after a look at what can be seen of it without its values."""
    matrix = _matrix(element)
    if hasattr(matrix, "group"):
        stored_rows(matrix.group, matrix.shape, matrix.format)
    return tuple(matrix.shape)


def _matrix(element: Any) -> Any:
    kind = element.attrs.get("encoding-type", "array")
    if kind in ("csr_matrix", "csc_matrix"):
        return sparse_dataset(element)
    return element if hasattr(element, "dtype") else np.asarray(read_elem(element))
