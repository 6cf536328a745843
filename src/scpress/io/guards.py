"""Which paths and stores are refused because reading them hangs, or gives what is not in them."""

import math
import os
import posixpath
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.registry import get_numcodec

from scpress.counts.stored import name_of
from scpress.errors import InputError

DAMAGED = "The file is damaged or its copy incomplete; copy or download it again."
# Elements of an AnnData that no reader of raw counts looks at.
_UNREAD = ("uns", "obsp", "varp", "varm")
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_ZARR = (".zgroup", ".zattrs", "zarr.json")


def require_plain(path: Path) -> None:
    """Check that a path is a file or a folder, and a zarr folder holds only such.

    Reading waits for ever at a pipe that nobody writes, and a device may have no end.

    Raises
    ------
    InputError
        A pipe, a socket or a device.
    """
    path = Path(path)
    _require_plain_mode(path, path.stat().st_mode)
    if path.is_dir() and (path.suffix == ".zarr" or any((path / n).exists() for n in _ZARR)):
        for entry in _entries(str(path), set()):
            # The kind is in the folder itself: only what is odd there is asked for.
            if not entry.is_file():
                _require_plain_mode(Path(entry.path), entry.stat().st_mode)


def _entries(folder: str, seen: set[str]) -> Iterator[os.DirEntry[str]]:
    """Walk over all files below a folder; a link that leads back is followed once."""
    seen.add(os.path.realpath(folder))
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir():
                if os.path.lexists(entry.path) and os.path.exists(entry.path):
                    yield entry
            elif not entry.is_symlink() or os.path.realpath(entry.path) not in seen:
                yield from _entries(entry.path, seen)


def _require_plain_mode(path: Path, mode: int) -> None:
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise InputError(f"'{path}' is {name}, not a file. Write it into a file first.")


def require_own_storage(path: Path, *, is_all_read: bool = False) -> None:
    """Check that an HDF5 file has all its data, and has them in itself.

    Links and external storage would be read out of whatever lies there today, or is somebody
    else's; what was never written reads as zeros. What no reader of raw counts looks at is asked
    only where all is read.

    Raises
    ------
    InputError
        A link, a dataset whose data are elsewhere, or one with parts that were never written.
    """
    with h5py.File(path, "r") as file:
        is_annotated = "obs" in file and "var" in file
        for stored in _walk(file, set(), _UNREAD if is_annotated and not is_all_read else ()):
            if isinstance(stored, h5py.Dataset):
                _require_data(stored)


def compressed_groups(file: h5py.File) -> Iterator[tuple[h5py.Group, str]]:
    """All compressed matrices of an AnnData file, and "csr" or "csc"."""
    for stored in _walk(file, set(), ()):
        kind = stored.attrs.get("encoding-type") if isinstance(stored, h5py.Group) else None
        if kind in ("csr_matrix", "csc_matrix"):
            yield stored, kind[:3]


def _walk(
    group: h5py.Group, seen: set[int], unread: tuple[str, ...]
) -> Iterator[h5py.Group | h5py.Dataset]:
    for name in group:
        if name in unread:
            continue
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            place = getattr(link, "filename", None) or getattr(link, "path", "elsewhere")
            raise InputError(
                f"'{group.file.filename}': {posixpath.join(group.name, name)[1:]} is a link to "
                f"'{place}', and links are not followed. Copy the data into the file."
            )
        stored = group[name]
        address = h5py.h5o.get_info(stored.id).addr
        if address in seen:
            continue
        seen.add(address)
        yield stored
        if isinstance(stored, h5py.Group):
            yield from _walk(stored, seen, ())


def _require_data(dataset: h5py.Dataset) -> None:
    if dataset.is_virtual or dataset.external:
        raise InputError(
            f"{name_of(dataset)} has its data in other files, which are not read. "
            "Copy the data into the file."
        )
    if not dataset.size:
        return
    if dataset.chunks is None:
        found, needed = int(dataset.id.get_storage_size() > 0), 1
    else:
        found, needed = dataset.id.get_num_chunks(), _n_chunks(dataset.shape, dataset.chunks)
    _require_all(name_of(dataset), found, needed, DAMAGED)


def require_all_chunks(array: Any) -> None:
    """Check that every chunk of a zarr array is there: a missing one reads as zeros.

    zarr leaves out chunks of nothing but zeros by itself, so a missing one may have been one. Of
    a matrix that cannot be told from an incomplete copy, and hardly ever happens to a whole chunk.

    Raises
    ------
    InputError
        Chunks are missing.
    """
    stored = array.shards or array.chunks
    needed = _n_chunks(array.shape, stored)
    inside = math.prod(whole // part for whole, part in zip(stored, array.chunks, strict=True))
    _require_all(
        name_of(array),
        array.nchunks_initialized // inside,
        needed,
        "They read as zeros, so the copy may be incomplete; copy the folder again. If they are "
        "zeros, write it with zarr's `array.write_empty_chunks`.",
    )


def require_zarr_matrix(element: Any) -> None:
    """Check the chunks of a matrix, compressed or not, as `require_all_chunks` does."""
    if hasattr(element, "dtype"):
        require_all_chunks(element)
        return
    for name in ("data", "indices", "indptr"):
        part = element.get(name)
        # Without a value the pointers are zeros, and left out.
        if hasattr(part, "dtype") and element["data"].size:
            require_all_chunks(part)


def require_zarr_names(table: Any) -> None:
    """Check the chunks of a table's texts; numbers and codes of only zeros are left out by zarr.

    Names of cells and genes are never all empty, and of several categories one at most is.
    """
    index = table.attrs.get("_index")
    for name in table:
        column = table[name]
        if name == index:
            _require_texts(_texts(column))
        elif hasattr(column, "dtype"):
            if column.dtype.kind in "OSTU":
                _require_texts(column)
        elif "categories" in column:
            categories = _texts(column["categories"])
            if categories.size > 1:
                _require_texts(categories)


def _require_texts(array: Any) -> None:
    require_all_chunks(array)
    _require_text_counts(array)


def _require_text_counts(array: Any) -> None:
    """Check how many texts each chunk says it holds, for which room is made as it is unpacked."""
    is_v2 = array.metadata.zarr_format == 2
    codec = array.filters[0] if is_v2 and array.filters else getattr(array, "serializer", None)
    if array.shards or type(codec).__name__ not in ("VLenUTF8", "VLenUTF8Codec"):
        return
    for at in range(_n_chunks(array.shape, array.chunks)):
        key = f"{array.path}/{array.metadata.encode_chunk_key((at,))}"
        stored = sync(array.store.get(key, default_buffer_prototype()))
        if stored is None:
            continue
        data = stored.to_bytes()
        try:
            for packer in reversed(array.compressors):
                known = packer if is_v2 else get_numcodec({"id": packer.to_dict()["name"]})
                data = bytes(known.decode(data))
        except Exception:  # of many kinds; whoever reads the chunk says what is wrong with it
            return
        n_texts = int.from_bytes(data[:4], "little")
        if n_texts != math.prod(array.chunks):
            raise InputError(
                f"{name_of(array)}: chunk {at} says that it holds {n_texts} texts, and its shape "
                f"{math.prod(array.chunks)}. {DAMAGED}"
            )


def _texts(stored: Any) -> Any:
    # Where a text may be missing, anndata 0.13 keeps a mask beside the values.
    return stored if hasattr(stored, "dtype") else stored["values"]


def _n_chunks(shape: tuple[int, ...], chunks: tuple[int, ...]) -> int:
    return math.prod(-(-size // part) for size, part in zip(shape, chunks, strict=True))


def _require_all(where: str, found: int, needed: int, advice: str) -> None:
    if found < needed:
        raise InputError(f"{where}: {needed - found} of its {needed} chunks are missing. {advice}")
