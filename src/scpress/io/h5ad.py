"""AnnData files: opened without reading the counts, written whole or chunk by chunk."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from anndata.io import write_elem
from scipy import sparse

from scpress import slots
from scpress.counts.frames import plain_frame
from scpress.counts.stored import require_inside, stored_rows
from scpress.errors import InputError
from scpress.io.crashes import note_reading
from scpress.io.files import atomic_path, raise_unreadable, require_file
from scpress.io.guards import compressed_groups, require_own_storage, require_plain
from scpress.io.hdf5 import Disk, new_hdf5

# Rows of an HDF5 chunk of a CSR matrix written block by block.
_HDF5_CHUNK = 2**16
# Row pointers and columns are int64 once there are more nonzeros than this; a test lowers it.
_INT32_MAX = 2**31 - 1
# Errors of the system that say nothing about the file.
_NOT_DAMAGE = (errno.EACCES, errno.ENOMEM)


def read_h5ad(path: Path, *, backed: bool = False) -> ad.AnnData:
    """Read an AnnData file; with `backed` the matrix stays on disk and is read by row blocks.

    Where SCPRESS_STAGE_INPUTS is set, a file that is read by blocks is copied to the folder for
    temporary files first: one long read instead of many small ones over the network.

    Raises
    ------
    InputError
        No such file, or a damaged or foreign one.
    """
    require_file(path)
    require_plain(path)
    note_reading(path)
    try:
        with h5py.File(path, "r") as file:
            if "obs" not in file:
                raise InputError(f"'{path}' is not an AnnData file: it has no obs.")
        require_own_storage(path)
        _require_pointers(path)
        _require_columns(path)
        if backed and "SCPRESS_STAGE_INPUTS" in os.environ:
            adata = _read_staged(path)
        else:
            adata = ad.read_h5ad(path, backed="r" if backed else None)
        if backed and adata.X is not None and adata.X.shape != adata.shape:
            raise InputError(
                f"'{path}': X is {adata.X.shape[0]} x {adata.X.shape[1]}, but there are "
                f"{adata.n_obs} cells and {adata.n_vars} genes. The file is damaged."
            )
        require_indices(adata, path)
        return _make_plain(adata)
    except InputError:
        raise
    except Exception as error:
        # h5py and anndata raise many kinds of errors on a damaged file, some of them private.
        if isinstance(error, OSError) and error.errno in _NOT_DAMAGE:
            raise_unreadable(error, path)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"'{path}' cannot be read as h5ad ({reason}). Is the file complete?"
        ) from error


def _require_pointers(path: Path) -> None:
    """Check all compressed matrices of a file as far as it can be seen without their values."""
    with h5py.File(path, "r") as file:
        for group, layout in compressed_groups(file):
            stored_rows(group, tuple(group.attrs["shape"]), layout)


def _require_columns(path: Path) -> None:
    """Check that a column in several parts says what it is: of any other anndata makes NaN."""
    with h5py.File(path, "r") as file:
        for table in (file.get("obs"), file.get("var")):
            for name, column in table.items() if isinstance(table, h5py.Group) else ():
                is_told = "encoding-type" in column.attrs or name == "__categories"  # of 0.7
                if isinstance(column, h5py.Group) and not is_told:
                    raise InputError(
                        f"'{path}': {column.name[1:]} does not say how it is encoded. Is the file "
                        "complete?"
                    )


def require_indices(adata: ad.AnnData, path: Path) -> None:
    """Check the indices of all that was read; a matrix on disk is checked where it is read."""
    held: dict[str, Any] = {"X": None if adata.isbacked else adata.X}
    held |= {"raw": None if adata.raw is None or adata.isbacked else adata.raw.X}
    for name in ("layers", "obsm", "varm", "obsp", "varp"):
        arrays = getattr(adata, name)
        held |= {f"{name}/{key}": arrays[key] for key in slots.names_in(arrays)}
    for name, value in held.items():
        if sparse.issparse(value) and value.format in ("csr", "csc"):
            axis = value.shape[1 if value.format == "csr" else 0]
            require_inside(value.indices, axis, f"'{path}': {name}")


def _make_plain(adata: ad.AnnData) -> ad.AnnData:
    """Change the tables of an AnnData to what every release of anndata reads and writes."""
    adata.obs, adata.var = plain_frame(adata.obs), plain_frame(adata.var)
    for arrays in (adata.obsm, adata.varm):
        arrays.update(_plain_items(arrays))
    return adata


def _plain(value: Any) -> Any:
    return plain_frame(value) if isinstance(value, pd.DataFrame) else value


def _plain_items(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(values[name]) for name in slots.names_in(values)}


def _read_staged(path: Path) -> ad.AnnData:
    with tempfile.TemporaryDirectory(prefix="scpress-") as folder:
        copy = shutil.copyfile(path, Path(folder) / Path(path).name)
        # The open file outlives its name, and a killed process leaves nothing behind.
        return ad.read_h5ad(copy, backed="r")


def write_h5ad(adata: ad.AnnData, path: Path) -> None:
    """Write an AnnData in memory, compressed, under its final name only when whole."""
    with atomic_path(path) as temporary:
        save_h5ad(adata, temporary)


def save_h5ad(adata: ad.AnnData, path: Path) -> None:
    """Write an AnnData in memory, compressed, in place."""
    adata.strings_to_categoricals()
    _make_plain(adata)
    with new_hdf5(path) as (file, _):
        write_elem(file, "/", adata, dataset_kwargs={"compression": "gzip"})


def write_h5ad_streamed(
    path: Path,
    rest: ad.AnnData,
    matrices: Mapping[str, Iterable[Any]],
    *,
    dtypes: Mapping[str, Any],
) -> None:
    """Write an AnnData whose large matrices come row block by row block.

    Parameters
    ----------
    rest
        [cells, genes] Everything but those matrices; its own X is not written.
    matrices
        "X", "layers/NAME" or "obsm/NAME" -> blocks in row order: CSR for a sparse matrix, numpy for
        a dense one. Above 2^31 nonzeros, row pointers and columns are int64.
    dtypes
        Type of the stored values, for each of the matrices.
    """
    n_obs, n_vars = rest.shape
    with atomic_path(path) as temporary, new_hdf5(temporary) as (file, disk):
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        options = {"compression": "gzip", "compression_opts": 4}
        for name in ("obs", "var", "obsm", "varm", "obsp", "varp", "layers"):
            _write_part(file, rest, name, options)
        for name, blocks in matrices.items():
            whole = _until_full(blocks, disk)
            _write_blocks(file, name, whole, (n_obs, n_vars), dtypes[name], options)
        _write_part(file, rest, "uns", options)  # last, for what is known when all was read


def _write_part(file: h5py.File, rest: ad.AnnData, name: str, options: dict[str, Any]) -> None:
    value = getattr(rest, name)
    plain = _plain_items(value) if isinstance(value, Mapping) else _plain(value)
    write_elem(file, name, plain, dataset_kwargs=options)


def _until_full(blocks: Iterable[Any], disk: Disk) -> Iterator[Any]:
    """Pass the blocks on, and stop where the disk is full."""
    for block in blocks:
        disk.check()
        yield block


def _write_blocks(
    file: h5py.File,
    name: str,
    blocks: Iterable[Any],
    shape: tuple[int, int],
    dtype: Any,
    options: dict[str, Any],
) -> None:
    group: Any = None
    indptr = [np.zeros(1, dtype=np.int64)]
    rows = 0
    for block in blocks:
        if group is None:
            group = _create(file, name, shape, dtype, options, dense=not sparse.issparse(block))
        if sparse.issparse(block):
            block = sparse.csr_matrix(block)
            block.sort_indices()
            if indptr[-1][-1] + block.nnz > _INT32_MAX and group["indices"].dtype == np.int32:
                _widen_indices(group, options)
            _append(group["data"], block.data.astype(dtype))
            _append(group["indices"], block.indices.astype(group["indices"].dtype))
            indptr.append(indptr[-1][-1] + block.indptr[1:].astype(np.int64))
        else:
            group[rows : rows + block.shape[0]] = block
        rows += block.shape[0]
    if group is None:
        group = _create(file, name, shape, dtype, options, dense=False)
    if rows != shape[0]:
        raise ValueError(f"{name}: {rows} rows were written, {shape[0]} were promised")
    if isinstance(group, h5py.Group):
        pointers = np.concatenate(indptr)
        if pointers[-1] <= _INT32_MAX:
            pointers = pointers.astype(np.int32)
        group.create_dataset("indptr", data=pointers, **options)


def _create(
    file: h5py.File,
    name: str,
    shape: tuple[int, int],
    dtype: Any,
    options: dict[str, Any],
    *,
    dense: bool,
) -> Any:
    if dense:
        data = file.create_dataset(name, shape=shape, dtype=dtype, chunks=True, **options)
        data.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        return data
    group = file.create_group(name)
    group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
    group.attrs["shape"] = np.array(shape, dtype=np.int64)
    for part, kind in (("data", dtype), ("indices", np.int32)):
        group.create_dataset(
            part, shape=(0,), maxshape=(None,), dtype=kind, chunks=(_HDF5_CHUNK,), **options
        )
    return group


def _widen_indices(group: h5py.Group, options: dict[str, Any]) -> None:
    """Store the columns as int64, too: scipy's routines refuse them beside int64 row pointers."""
    narrow = group["indices"]
    del group["indices"]
    wide = group.create_dataset(
        "indices", shape=(0,), maxshape=(None,), dtype=np.int64, chunks=(_HDF5_CHUNK,), **options
    )
    for start in range(0, narrow.shape[0], 64 * _HDF5_CHUNK):
        _append(wide, narrow[start : start + 64 * _HDF5_CHUNK].astype(np.int64))


def _append(dataset: h5py.Dataset, values: np.ndarray) -> None:
    old = dataset.shape[0]
    dataset.resize(old + len(values), axis=0)
    dataset[old:] = values
