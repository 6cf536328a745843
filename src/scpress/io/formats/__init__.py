"""Which reader opens a raw file, and how a damaged file becomes one clear error."""

import contextlib
import errno
from collections.abc import Callable, Iterator
from pathlib import Path

from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.counts.axes import settle_axes
from scpress.counts.raw import RawCounts
from scpress.errors import InputError
from scpress.io.crashes import note_reading
from scpress.io.files import raise_unreadable, require_file
from scpress.io.formats import annotated, loom, mtx, tenx_h5, text
from scpress.io.formats.layouts import is_mtx_folder
from scpress.io.guards import require_own_storage, require_plain

_READERS: dict[str, Callable[[Path, IngestOptions], RawCounts]] = {
    "h5ad": annotated.open_h5ad,
    "zarr": annotated.open_zarr,
    "10x_h5": tenx_h5.open_10x_h5,
    "10x_mtx": mtx.open_mtx,
    "loom": loom.open_loom,
    "csv": text.open_csv,
    "tsv": text.open_tsv,
}
_SUFFIXES = {
    ".h5ad": "h5ad",
    ".h5": "10x_h5",
    ".hdf5": "10x_h5",
    ".loom": "loom",
    ".mtx": "10x_mtx",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "tsv",
    ".zarr": "zarr",
    ".h5mu": "h5ad",
}
# Formats whose files say themselves what they would be told by these options; of a folder with
# several matrices `layer` chooses.
_NO_EFFECT = {
    "orientation": ("10x_h5", "10x_mtx"),
    "layer": ("10x_h5", "csv", "tsv"),
}
_HDF5 = ("h5ad", "10x_h5", "loom")
_NOT_DAMAGE = (errno.EACCES, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOMEM)


def open_raw(path: Path, options: IngestOptions) -> RawCounts:
    """Read everything of a raw file but its counts, which are read when asked for.

    Raises
    ------
    InputError
        No such file, an unknown format, or a file that is damaged or empty.
    """
    path = Path(path)
    require_file(path)
    require_plain(path)
    note_reading(path)
    kind = options.format or recognize_format(path)
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"'{path}' is empty (0 bytes). Was its download or copy complete?")
    for name, kinds in _NO_EFFECT.items():
        value = getattr(options, name)
        if kind in kinds and value not in (None, "X", "cells_by_genes"):
            raise InputError(f"`{name}` {value!r} has no effect on {kind} files. Leave it out.")
    with explain_damage(path, kind):
        if kind in _HDF5:
            require_own_storage(path)
        raw = _READERS[kind](path, options)
    raw.read_blocks = _explained(raw.read_blocks, path, kind)
    if raw.read_columns is not None:
        raw.read_columns = _explained(raw.read_columns, path, kind)
    raw.source = f"{path.resolve().name} ({kind})"
    return settle_axes(raw, options, str(path))


def _explained(
    read: Callable[[int], Iterator[sparse.csr_matrix]], path: Path, kind: str
) -> Callable[[int], Iterator[sparse.csr_matrix]]:
    """The same reader, with damage that it meets as one clear error."""

    def read_safely(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        blocks = read(max_bytes)
        while True:
            with explain_damage(path, kind):
                block = next(blocks, None)
            if block is None:
                return
            yield block

    return read_safely


def recognize_format(path: Path) -> str:
    """Tell the format of a file or folder by its name, of a folder also by what it holds.

    Raises
    ------
    InputError
        It cannot be told.
    """
    known = ", ".join(_READERS)
    if path.is_dir():
        if path.suffix == ".zarr" or any(
            (path / name).exists() for name in (".zgroup", ".zattrs", "zarr.json")
        ):
            return "zarr"
        if is_mtx_folder(path):
            return "10x_mtx"
        inside = [
            folder
            for folder in sorted([*path.glob("*"), *path.glob("*/*")])
            if is_mtx_folder(folder)
        ]
        if inside:
            listed = ", ".join(f"'{folder}'" for folder in inside[:4])
            raise InputError(f"'{path}' holds no matrix itself; give a folder in it: {listed}.")
        found = ", ".join(sorted(entry.name for entry in path.iterdir())[:6]) or "nothing"
        raise InputError(
            f"the folder '{path}' is neither a 10x folder with matrix.mtx(.gz) nor a zarr AnnData; "
            f"it holds {found}. Give the folder that holds the matrix."
        )
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    kind = _SUFFIXES.get(suffixes[-1] if suffixes else "")
    if kind is None and suffixes[-1:] == [".zip"] and annotated.is_zipped_zarr(path):
        return "zarr"
    if kind is None:
        raise InputError(
            f"the format of '{path}' is not known from its name. Name it with `format`: {known}."
        )
    if kind == "10x_h5" and annotated.is_annotated_h5(path):
        return "h5ad"
    return kind


@contextlib.contextmanager
def explain_damage(path: Path, kind: str) -> Iterator[None]:
    """Raise whatever a library says of a damaged file as one line for the user."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        # h5py, anndata, zarr, pandas and gzip raise a dozen kinds of errors on a damaged file, some
        # of them private.
        if isinstance(error, OSError) and error.errno in _NOT_DAMAGE:
            raise_unreadable(error, path)
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else ""
        raise InputError(
            f"'{path}' cannot be read as {kind} ({reason or type(error).__name__}). "
            "Is the file complete, and `format` right?"
        ) from error
