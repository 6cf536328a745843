"""How counts become an archive: coded in blocks, then read back and compared with the input."""

import dataclasses
import zlib
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import numpy as np
from scipy import sparse

from scpress.archive.codec import CountsCodec
from scpress.archive.container import SectionWriter
from scpress.archive.header import Header, Index
from scpress.archive.reader import Archive, counts_checksum
from scpress.archive.rest import to_files
from scpress.archive.source import Source, open_source
from scpress.archive.tree import pack_tree
from scpress.config.archive import InputOptions
from scpress.errors import InputError
from scpress.io.files import atomic_path

# A section of cells is written once its chunks have this many bytes.
_SECTION_BYTES = 2**22


def write_archive(
    path: Path,
    source: Source,
    *,
    latent: np.ndarray | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Header:
    """Write an archive, read it back and compare it with its source.

    Parameters
    ----------
    latent
        [cells, n_latent] Of a trained model, which the codec may use.

    Raises
    ------
    InputError
        A value that is no count, or what was written does not read back as what is read now.
    """
    with atomic_path(path) as temporary:
        return save_archive(temporary, source, latent=latent, seed=seed, threads=threads)


def save_archive(
    path: Path,
    source: Source,
    *,
    latent: np.ndarray | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Header:
    """Write an archive in place and compare it; as `write_archive`."""
    with path.open("wb") as file:
        header = _write(file, source, latent=latent, seed=seed, threads=threads)
    with Archive(path, threads=threads) as archive:
        compare(archive, source, "what was written")
    return header


class _Survey:
    """Sums over the first whole pass over the blocks, whoever makes it."""

    def __init__(self, read: Callable[[], Iterator[sparse.csr_matrix]]):
        self._read = read
        self.totals: tuple[int, int, int] | None = None

    def blocks(self) -> Iterator[sparse.csr_matrix]:
        """Read the blocks."""
        n_obs = nnz = total = 0
        for block in self._read():
            n_obs, nnz = n_obs + block.shape[0], nnz + block.nnz
            total += int(block.data.sum(dtype=np.int64))
            yield block
        self.totals = n_obs, nnz, total

    def finish(self) -> tuple[int, int, int]:
        """(cells, nonzeros, their sum)."""
        if self.totals is None:
            for _ in self.blocks():
                pass
        assert self.totals is not None
        return self.totals


def _write(
    file: BinaryIO, source: Source, *, latent: np.ndarray | None, seed: int, threads: int
) -> Header:
    rest = pack_tree(to_files(source.rest))
    survey = _Survey(source.read_counts)
    codec = CountsCodec.fit(survey.blocks, source.shape, latent=latent, seed=seed, threads=threads)
    n_obs, nnz, total = survey.finish()
    if n_obs != source.shape[0]:
        raise InputError(
            f"{source.name} has {source.shape[0]} cells and {n_obs} rows of counts. Is it complete?"
        )
    model = codec.to_bytes()
    header = Header(
        *source.shape,
        nnz,
        total,
        source.place,
        source.storage,
        source.dtype,
        source.indices,
        source.indptr,
        codec.cells_per_chunk,
        version("scpress"),
        zlib.crc32(model),
        zlib.crc32(rest),
        codec.describe(),
    )
    header.require_sound()
    sections = SectionWriter(file)
    payload = header.to_bytes()
    for kind, data in (("HEAD", payload), ("MODL", model), ("REST", rest)):
        sections.add(kind, data)
    index: list[tuple[int, int, int, int]] = []
    waiting: list[bytes] = []
    first_cell = 0
    for block in in_chunks(source.read_counts(), codec.cells_per_chunk):
        starts = range(0, block.shape[0], codec.cells_per_chunk)
        try:
            chunks = codec.encode(block, first_cell)
        except ValueError as error:
            raise InputError(
                f"{source.name} is not what it was when it was read first: {error}. "
                "Was it changed meanwhile?"
            ) from error
        for start, chunk in zip(starts, chunks, strict=True):
            rows = block[start : start + codec.cells_per_chunk]
            index.append((len(chunk), rows.nnz, zlib.crc32(chunk), counts_checksum(rows)))
            waiting.append(chunk)
        first_cell += block.shape[0]
        if sum(map(len, waiting)) >= _SECTION_BYTES:
            sections.add("CELL", b"".join(waiting))
            waiting.clear()
    if waiting:
        sections.add("CELL", b"".join(waiting))
    columns = np.array(index, dtype=np.int64).reshape(-1, 4).T
    sections.add("INDX", Index(*columns).to_bytes(payload))
    sections.finish()
    return header


def in_chunks(blocks: Iterable[sparse.csr_matrix], n: int) -> Iterator[sparse.csr_matrix]:
    """Cut the same rows so that each block but the last has a multiple of `n` of them."""
    kept: sparse.csr_matrix | None = None
    for block in blocks:
        if kept is not None and kept.shape[0]:
            block = sparse.vstack([kept, block], format="csr")
        whole = block.shape[0] // n * n
        if whole:
            yield block[:whole]
        kept = block[whole:]
    if kept is not None and kept.shape[0]:
        yield kept


def compare(archive: Archive, source: Source, where: str) -> None:
    """Check that an archive gives back what a source holds now.

    Raises
    ------
    InputError
        The first cells that differ, or the first other part.
    """
    advice = f"Is {source.name} what was packed, and was it changed meanwhile?"
    if archive.shape != source.shape:
        raise InputError(
            f"{where} is of {archive.n_obs} cells x {archive.n_vars} genes and {source.name} of "
            f"{source.shape[0]} x {source.shape[1]}. {advice}"
        )
    found = archive.files()
    wanted = to_files(source.rest)
    differing = sorted(
        name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)
    )
    if differing:
        what = differing[0].rpartition("/")[0] or "its kind"
        raise InputError(f"{where} does not hold {what} as {source.name} does. {advice}")
    head = archive.header
    for name in ("place", "storage", "dtype", "indices", "indptr"):
        if getattr(head, name) != getattr(source, name):
            raise InputError(
                f"{where}: {name} of the counts is {getattr(head, name)}, and of {source.name} "
                f"{getattr(source, name)}. {advice}"
            )
    start = 0
    for block in in_chunks(source.read_counts(), head.cells_per_chunk):
        stop = start + block.shape[0]
        if stop > archive.n_obs or not _are_equal(archive.counts(start, stop), block):
            raise InputError(
                f"{where} does not hold the counts of cells {start} to {stop - 1} as "
                f"{source.name} does. {advice}"
            )
        start = stop
    if start != archive.n_obs:
        raise InputError(f"{where} holds {archive.n_obs} cells, and {start} were read. {advice}")


def compare_with_file(archive: Archive, path: Path, options: InputOptions) -> None:
    """Check that an archive holds what a file does, as `compare`; it knows itself which matrices.

    Raises
    ------
    InputError
        The first difference, or the file cannot be read.
    """
    files = archive.files()
    parts = {name: name.split("/") for name in files}
    layers = sorted({part[1] for part in parts.values() if part[0] == "layers" and len(part) > 2})
    layers += [
        option
        for option, folder in (("X", "X"), ("raw", "raw"))
        if any(part[0] == folder and len(part) > 1 for part in parts.values())
    ]
    place = archive.header.place.removeprefix("layers/")
    options = dataclasses.replace(options, layer=options.layer or place)
    source = open_source(path, options, layers)
    compare(archive, source, f"'{archive.path}'")


def _are_equal(one: sparse.csr_matrix, other: sparse.csr_matrix) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("indptr", "indices", "data")
    )
