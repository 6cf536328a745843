"""How an archive becomes a file that others read: h5ad, zarr, or a folder as 10x writes it."""

import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import zarr
from anndata.io import write_elem
from scipy import sparse

from scpress import settings
from scpress.archive.reader import Archive
from scpress.archive.rest import from_files, write_parts
from scpress.counts.genes import find_name_columns
from scpress.errors import InputError
from scpress.io.files import atomic_path, raise_unwritable, temporary_path
from scpress.io.hdf5 import Disk, new_hdf5

_CHUNK = 2**16


class PartialArchiveError(InputError):
    """Some cells of an archive are damaged, and only the others were written (exit code 4)."""

    exit_code = 4


def unpack(archive: Archive, output: Path, *, skip_damaged: bool = False) -> None:
    """Write what an archive holds; the name of the output says in which format.

    Raises
    ------
    InputError
        A name that is of no format, a folder that exists, or damage.
    PartialArchiveError
        With `skip_damaged`, once the cells that are whole are written.
    """
    writers = {".h5ad": _write_h5ad, ".zarr": _write_zarr, "": _write_mtx}
    if output.suffix.lower() not in writers:
        raise InputError(
            f"the output must end in .h5ad or .zarr, or be a folder for matrix.mtx.gz without a "
            f"dot in its name; found '{output}'."
        )
    write = writers[output.suffix.lower()]
    kept = archive.whole_cells() if skip_damaged else np.ones(archive.n_obs, dtype=bool)
    write(archive, output, np.flatnonzero(kept))
    if not kept.all():
        lost = np.flatnonzero(~kept)
        runs = np.split(lost, np.flatnonzero(np.diff(lost) > 1) + 1)
        listed = ", ".join(f"{run[0]} to {run[-1]}" for run in runs[:8])
        more = f" and {len(runs) - 8} runs more" if len(runs) > 8 else ""
        raise PartialArchiveError(
            f"'{output}' is not the whole: it lacks {len(lost)} of the {archive.n_obs} cells, "
            f"which are damaged in '{archive.path}' (cells {listed}{more}, counted from 0). Do not "
            "use it for all of them."
        )


def _write_h5ad(archive: Archive, output: Path, rows: np.ndarray) -> None:
    with atomic_path(output) as temporary, new_hdf5(temporary) as (file, disk):
        gzipped = {"compression": "gzip", "compression_opts": 4}

        def create(name: str, shape: tuple[int, ...], dtype: str) -> Any:
            options: dict[str, Any] = gzipped | {"chunks": True} if min(shape) else {}
            if len(shape) == 1 and shape[0]:
                options["chunks"] = (min(_CHUNK, shape[0]),)
            return file.create_dataset(name, shape=shape, dtype=dtype, **options)

        write_parts(file, _rest(archive, rows), dataset_kwargs=gzipped)
        _write_matrix(file, archive, rows, create, disk)


def _write_zarr(archive: Archive, output: Path, rows: np.ndarray) -> None:
    def write(folder: Path) -> None:
        group = zarr.open_group(str(folder), mode="w", zarr_format=2)

        def create(name: str, shape: tuple[int, ...], dtype: str) -> Any:
            rows_of_chunk = max(1, _CHUNK // max([1, *shape[1:]]))
            chunks = (min(rows_of_chunk, max(1, shape[0])), *(max(1, n) for n in shape[1:]))
            return group.create_array(name, shape=shape, dtype=dtype, chunks=chunks)

        with zarr.config.set({"array.write_empty_chunks": True}):
            write_parts(group, _rest(archive, rows), is_plain=False)
            _write_matrix(group, archive, rows, create)

    _write_folder(output, write)


def _rest(archive: Archive, rows: np.ndarray) -> ad.AnnData:
    rest = from_files(archive.files())
    return rest if len(rows) == archive.n_obs else rest[rows].copy()


def _write_matrix(
    group: Any,
    archive: Archive,
    rows: np.ndarray,
    create: Callable[[str, tuple[int, ...], str], Any],
    disk: Disk | None = None,
) -> None:
    """Write the counts as they were stored, block by block; CSC as a whole."""
    head = archive.header
    shape = (len(rows), head.n_vars)
    if head.place in group:
        del group[head.place]
    if head.storage == "csc":
        write_elem(group, head.place, archive.as_stored(rows))
        return
    blocks = _blocks(archive, rows, disk)
    if head.storage == "dense":
        dense = create(head.place, shape, head.dtype)
        dense.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        for start, block in blocks:
            dense[start : start + block.shape[0]] = block.toarray()
        return
    assert head.indices is not None
    assert head.indptr is not None
    stored = group.create_group(head.place)
    stored.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
    stored.attrs["shape"] = list(shape)
    nnz = archive.count_nonzeros(rows)
    data = create(f"{head.place}/data", (nnz,), head.dtype)
    indices = create(f"{head.place}/indices", (nnz,), head.indices)
    pointers = np.zeros(shape[0] + 1, dtype=head.indptr)
    at = 0
    for start, block in blocks:
        data[at : at + block.nnz] = block.data
        indices[at : at + block.nnz] = block.indices.astype(head.indices)
        pointers[start + 1 : start + 1 + block.shape[0]] = at + block.indptr[1:].astype(np.int64)
        at += block.nnz
    create(f"{head.place}/indptr", pointers.shape, head.indptr)[:] = pointers


def _blocks(
    archive: Archive, rows: np.ndarray, disk: Disk | None = None
) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """Position among the rows, and a block of them in the type they were stored in."""
    most = len(rows)
    if archive.header.storage == "dense":
        most = max(1, settings.chunk_bytes // max(1, archive.n_vars * archive.dtype.itemsize))
    at = 0
    for _, _, found in archive.iter_counts(rows):
        for first in range(0, found.shape[0], max(1, most)):
            if disk is not None:
                disk.check()
            block = found[first : first + most].astype(archive.sparse_dtype)
            yield at, block
            at += block.shape[0]


def _write_mtx(archive: Archive, output: Path, rows: np.ndarray) -> None:
    """Write matrix.mtx.gz, barcodes.tsv.gz and features.tsv.gz as Cell Ranger 3 does."""
    ids, symbols = find_name_columns(archive.var)
    names = {
        "barcodes.tsv.gz": [list(archive.obs_names[rows])],
        "features.tsv.gz": [list(ids), list(symbols), ["Gene Expression"] * archive.n_vars],
    }

    def write(folder: Path) -> None:
        folder.mkdir()
        for name, columns in names.items():
            with _gzip(folder / name) as file:
                for words in zip(*columns, strict=True):
                    line = "\t".join(map(str, words))
                    if line.count("\t") >= len(columns) or line.splitlines() != [line]:
                        raise InputError(f"the name {line!r} cannot stand in {name}; write an h5ad")
                    file.write(f"{line}\n".encode())
        with _gzip(folder / "matrix.mtx.gz") as file:
            file.write(b"%%MatrixMarket matrix coordinate integer general\n")
            size = (archive.n_vars, len(rows), archive.count_nonzeros(rows))
            file.write(f"{' '.join(map(str, size))}\n".encode())
            for start, block in _blocks(archive, rows):
                cells = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr)) + start + 1
                values = block.data.astype(np.int64)
                table = pd.DataFrame({"gene": block.indices + 1, "cell": cells, "count": values})
                file.write(table.to_csv(None, sep=" ", header=False, index=False).encode())

    _write_folder(output, write)


@contextmanager
def _gzip(path: Path) -> Iterator[gzip.GzipFile]:
    # Without a time and a name the same counts are the same bytes.
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as file,
    ):
        yield file


def _write_folder(output: Path, write: Callable[[Path], None]) -> None:
    """Fill a folder under another name, and give it its own when it is whole."""
    if output.exists():
        raise InputError(f"'{output}' exists; name a new folder, nothing is overwritten.")
    temporary = temporary_path(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, output)
    except OSError as error:
        raise_unwritable(error, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
