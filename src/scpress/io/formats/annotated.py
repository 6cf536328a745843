"""How AnnData files, HDF5 or zarr, become raw counts: X, a layer or raw; CSR, CSC or dense."""

import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import zarr
from anndata.io import read_elem, sparse_dataset
from scipy import sparse

from scpress import settings
from scpress.config.options import IngestOptions
from scpress.counts.axes import raw_from_anndata, reader_of_sum
from scpress.counts.matrix import iter_chunks, iter_slabs, sum_of_all, to_csr
from scpress.counts.parts import find_matrices, name_places, tell_parts
from scpress.counts.raw import RawCounts
from scpress.counts.stored import stored_rows
from scpress.errors import InputError
from scpress.io.guards import DAMAGED, require_zarr_matrix, require_zarr_names

_Opener = Callable[[], AbstractContextManager[Any]]
# What the modality of genes is called in an h5mu file.
_EXPRESSION = ("rna", "gex", "gene expression")


def is_annotated_h5(path: Path) -> bool:
    """Whether an HDF5 file is an AnnData file whatever its name."""
    try:
        with h5py.File(path, "r") as file:
            return "obs" in file and "var" in file
    except (OSError, RuntimeError):  # damaged: its reader says so
        return False


def open_h5ad(path: Path, options: IngestOptions) -> RawCounts:
    """Open an h5ad file, or the gene expression of an h5mu file."""
    return _open(lambda: closing(h5py.File(path, "r")), path, options)


def open_zarr(path: Path, options: IngestOptions) -> RawCounts:
    """Open an AnnData in a zarr folder, format 2 or 3, or in a zip file of one."""
    if path.is_file():
        return _open(lambda: _open_zip(path), path, options)
    return _open(lambda: nullcontext(zarr.open_group(str(path), mode="r")), path, options)


def is_zipped_zarr(path: Path) -> bool:
    """Whether a zip file holds a zarr group."""
    try:
        _find_root(path)
    except (InputError, OSError, zipfile.BadZipFile):
        return False
    return True


@contextmanager
def _open_zip(path: Path) -> Iterator[Any]:
    root = _find_root(path)
    store = zarr.storage.ZipStore(path, mode="r")
    try:
        yield zarr.open_group(store, path=root, mode="r")
    finally:
        store.close()


def _find_root(path: Path) -> str:
    """Folder of the uppermost group in a zip file: '' where the files of a folder were packed."""
    with zipfile.ZipFile(path) as packed:
        names = [PurePosixPath(name) for name in packed.namelist()]
    groups = [name.parent for name in names if name.name in (".zgroup", "zarr.json")]
    if not groups:
        raise InputError(f"'{path}' holds no zarr group. Give a zip file of one zarr folder.")
    root = min(groups, key=lambda folder: len(folder.parts))
    return "" if root == PurePosixPath(".") else str(root)


def _open(opener: _Opener, path: Path, options: IngestOptions) -> RawCounts:
    with opener() as whole:
        place, messages = _find_expression(whole, path)
        store = whole[place] if place else whole
        if "obs" not in store or "var" not in store:
            found = ", ".join(sorted(store)[:8]) or "nothing"
            inside = f" in {place}" if place else ""
            raise InputError(
                f"'{path}' is not an AnnData file: it holds {found}{inside}, no obs and var."
            )
        if not is_current(store, path):
            return _read_old(whole, path, options)
        found_keys = matrix_keys(store)
        keys, var_key = find_matrices(found_keys, options.layer, str(path))
        tables = [store["obs"], store[var_key]]
        if not isinstance(store, h5py.Group):
            for key in keys:
                require_zarr_matrix(store[key])
            for table in tables:
                require_zarr_names(table)
        obs, var = (read_elem(table) for table in tables)
        obsm = read_elem(store["obsm"]) if "obsm" in store else {}
        for key in keys:
            require_shape(require_matrix(store[key]), obs, var, f"'{path}': {key}")

        def total(key: str) -> float:
            return sum_of_all(_read_rows(store[key], settings.chunk_bytes))

        messages += tell_parts(found_keys, keys, options.layer, total)
        if any(matrix_of(store[key]).dtype == np.float16 for key in keys):
            messages.append("the counts are stored as float16, which has no odd ones above 2048")
        is_by_column = len(keys) == 1 and _is_by_column(store[keys[0]])

    def reader(key: str, read: Callable[[Any, int], Iterator[sparse.csr_matrix]]) -> Any:
        def read_blocks(max_bytes: int) -> Iterator[sparse.csr_matrix]:
            with opener() as store:
                yield from read(store[f"{place}/{key}" if place else key], max_bytes)

        return read_blocks

    return RawCounts(
        obs,
        var,
        reader_of_sum([reader(key, _read_rows) for key in keys]),
        obsm=dict(obsm),
        messages=messages,
        places=name_places(found_keys, keys),
        read_columns=reader(keys[0], _read_columns) if is_by_column else None,
    )


def _find_expression(store: Any, path: Path) -> tuple[str, list[str]]:
    """Where the AnnData of a file is: '', or of several modalities that of gene expression."""
    if "mod" not in store or "X" in store:
        return "", []
    names = list(store["mod"])
    wanted = [name for name in names if name.lower() in _EXPRESSION] or names
    if len(wanted) != 1:
        raise InputError(
            f"'{path}' holds the modalities {', '.join(names) or 'none'}, and none or several of "
            "them are called rna. Write the one of genes into a file of its own: "
            "mudata.read(...).mod[NAME].write_h5ad(...)."
        )
    others = [name for name in names if name not in wanted]
    aside = f"; {', '.join(others)} set aside" if others else ""
    return f"mod/{wanted[0]}", [f"the modality {wanted[0]} is read{aside}"]


def require_shape(shape: tuple[int, ...], obs: pd.DataFrame, var: pd.DataFrame, where: str) -> None:
    """Check that a matrix is of the cells and genes of the tables."""
    if shape != (len(obs), len(var)):
        raise InputError(
            f"{where} is {shape[0]} x {shape[1]}, but there are {len(obs)} cells and "
            f"{len(var)} genes. The file is damaged."
        )


def _read_rows(element: Any, max_bytes: int) -> Iterator[sparse.csr_matrix]:
    blocks = iter_chunks(matrix_of(element), max_bytes=max_bytes, values="anything")
    return (block for _, _, block in blocks)


def _is_by_column(element: Any) -> bool:
    """Whether columns can be read without all the others."""
    kind = element.attrs.get("encoding-type", "array")
    return kind == "csc_matrix" or (kind == "array" and hasattr(element, "dtype"))


def _read_columns(element: Any, max_bytes: int) -> Iterator[sparse.csr_matrix]:
    """Blocks of columns, as rows."""
    matrix = matrix_of(element)
    if hasattr(matrix, "group"):
        columns = stored_rows(matrix.group, matrix.shape, matrix.format)
        for start, stop in iter_slabs(columns.pointers, max_bytes // 8):
            yield columns.read(start, stop)
        return
    step = max(1, max_bytes // max(1, matrix.shape[0] * matrix.dtype.itemsize))
    for start in range(0, matrix.shape[1], step):
        yield to_csr(matrix[:, start : start + step].T)


def matrix_keys(store: Any) -> list[str]:
    """List the matrices of a file: "X", "layers/NAME", "raw/X"."""
    keys = ["X"] if "X" in store else []
    keys += [f"layers/{name}" for name in sorted(store["layers"])] if "layers" in store else []
    # AnnData without `raw` may be stored with an empty element of that name.
    has_raw = hasattr(store.get("raw"), "keys") and "X" in store["raw"]
    return keys + (["raw/X"] if has_raw else [])


def is_current(store: Any, path: Path) -> bool:
    """Whether each element says how it is encoded, as AnnData files do since version 0.7."""
    for name in ("obs", "var"):
        table = store[name]
        if "encoding-type" in table.attrs:
            continue
        # Before, a table was an array of records; groups have always named their index.
        if not hasattr(table, "dtype") and "_index" not in table.attrs:
            raise InputError(f"'{path}': {name} does not say where its names are. {DAMAGED}")
        return False
    return True


def _read_old(store: Any, path: Path, options: IngestOptions) -> RawCounts:
    # Only anndata knows the older layouts; they are rare and small enough to be read as a whole.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells how it translates what is not used here
        is_hdf5 = isinstance(store, h5py.Group)
        return raw_from_anndata(
            ad.read_h5ad(path) if is_hdf5 else ad.read_zarr(store), options.layer
        )


def require_matrix(element: Any) -> tuple[int, ...]:
    """Shape of a matrix, after a look at what can be seen of it without its values."""
    matrix = matrix_of(element)
    if hasattr(matrix, "group"):
        stored_rows(matrix.group, matrix.shape, matrix.format)
    return tuple(matrix.shape)


def matrix_of(element: Any) -> Any:
    """View a matrix of a file, which stays there."""
    kind = element.attrs.get("encoding-type", "array")
    if kind in ("csr_matrix", "csc_matrix"):
        return sparse_dataset(element)
    return element if hasattr(element, "dtype") else np.asarray(read_elem(element))
