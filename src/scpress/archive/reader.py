"""An archive that is open: its tables, and its counts by cells and genes, decoded when asked."""

import dataclasses
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from scpress import settings
from scpress.archive.codec import CountsCodec
from scpress.archive.container import COPY, SectionReader
from scpress.archive.header import Header, Index, cells_of_chunks
from scpress.archive.tree import unpack_tree
from scpress.counts.matrix import stack_rows
from scpress.counts.stored import require_inside
from scpress.errors import InputError

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd


class DamagedChunksError(InputError):
    """Chunks whose bytes are not those that were written."""


def counts_checksum(rows: sparse.csr_matrix) -> int:
    """CRC-32 of counts: nonzeros of each cell, then genes, then values, each in four bytes."""
    checksum = 0
    for part in (np.diff(rows.indptr), rows.indices, rows.data):
        checksum = zlib.crc32(np.ascontiguousarray(part, dtype="<i4").data, checksum)
    return checksum


class Archive:
    """Counts in a file, as a read-only matrix of [cells, genes], with the tables beside them.

    `archive[rows]` and `archive[rows, genes]` give CSR; rows are an integer, a slice, a mask or
    integers, genes also names. It is its own `X`, so that what reads an AnnData by blocks
    (`counts.matrix.iter_chunks`) reads it.

    Raises
    ------
    InputError
        No such file, or one that is damaged in what it says of itself.
    """

    format = "csr"

    def __init__(self, path: Path, *, threads: int = 1):
        self.threads = threads
        self._sections = SectionReader(path)
        try:
            payload = self._sections.read("HEAD")
            with self._damage_of("HEAD"):
                self.header = Header.from_bytes(payload, file_bytes=self._sections.n_bytes)
            with self._damage_of("INDX"):
                index = self._sections.read("INDX")
                self._index = Index.from_bytes(index, self.header, payload)
            self._places = self._place_chunks()
        except BaseException:
            self.close()
            raise
        self._cells = cells_of_chunks(self.header)

    def _damage_of(self, kind: str) -> "_Damage":
        return _Damage(self._sections, kind)

    def _place_chunks(self) -> np.ndarray:
        """[chunks] Offset of each chunk in the file; none is in two sections."""
        sizes = self._index.n_bytes
        sections = self._sections.find("CELL")
        with self._damage_of("INDX"):
            if sizes.max(initial=0) > self._sections.n_bytes:  # before they are added up
                raise ValueError(f"a chunk of {sizes.max():,} bytes is longer than the file")
        ends = np.cumsum(sizes)
        limits = np.cumsum([section.n_bytes for section in sections])
        total = int(limits[-1]) if len(limits) else 0
        cuts = np.searchsorted(ends, limits, side="right")
        with self._damage_of("INDX"):
            held = int(ends[-1]) if len(ends) else 0
            if held != total:
                raise ValueError(f"its chunks have {held:,} bytes and the sections {total:,}")
            if (np.append(0, ends)[cuts] != limits).any():
                raise ValueError("a chunk is in two sections")
        offsets = ends - sizes
        for number, section in enumerate(sections):
            first = int(cuts[number - 1]) if number else 0
            offsets[first : cuts[number]] += section.offset - (
                int(limits[number - 1]) if number else 0
            )
        return offsets

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._sections.close()

    @property
    def path(self) -> Path:
        """The file."""
        return self._sections.path

    @property
    def shape(self) -> tuple[int, int]:
        """(cells, genes)."""
        return self.header.shape

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return self.header.n_obs

    @property
    def n_vars(self) -> int:
        """Number of genes."""
        return self.header.n_vars

    @property
    def dtype(self) -> np.dtype:
        """Type of the values, as they were stored."""
        return np.dtype(self.header.dtype)

    @property
    def sparse_dtype(self) -> np.dtype:
        """Type of the values in a sparse matrix: scipy has none of float16."""
        return np.dtype(np.float32) if self.dtype == np.float16 else self.dtype

    @property
    def X(self) -> "Archive":  # noqa: N802 - as AnnData calls it
        """[cells, genes] The counts: this archive."""
        return self

    @cached_property
    def obs(self) -> "pd.DataFrame":
        """[cells] Table of the cells."""
        return self._read_part("obs")

    @cached_property
    def var(self) -> "pd.DataFrame":
        """[genes] Table of the genes."""
        return self._read_part("var")

    @cached_property
    def varm(self) -> dict[str, Any]:
        """Tables of the genes, [genes, ...] each, by name."""
        return self._read_part("varm")

    @cached_property
    def uns(self) -> dict[str, Any]:
        """What is of neither cells nor genes, by name."""
        return self._read_part("uns")

    @property
    def obs_names(self) -> "pd.Index":
        """[cells] Names of the cells."""
        return self.obs.index

    @property
    def var_names(self) -> "pd.Index":
        """[genes] Names of the genes."""
        return self.var.index

    def _read_part(self, name: str) -> Any:
        from scpress.archive.rest import from_files

        n_rows = {"obs": self.n_obs, "var": self.n_vars}.get(name)
        with self._damage_of("REST"):
            part = from_files(self.files(name), name)
            if n_rows is not None and len(part) != n_rows:
                raise ValueError(f"{name} has {len(part)} rows and the header says {n_rows}")
        return part

    def files(self, part: str = "") -> dict[str, bytes]:
        """Everything but the counts, or a part as "obs", as the files of a zarr folder."""
        payload = self._sections.read("REST")
        with self._damage_of("REST"):
            if zlib.crc32(payload) != self.header.rest_crc32:
                raise ValueError("it is of another archive")
            return unpack_tree(payload, part)

    @cached_property
    def codec(self) -> CountsCodec:
        """What decodes the chunks."""
        payload = self._sections.read("MODL")
        with self._damage_of("MODL"):
            if zlib.crc32(payload) != self.header.model_crc32:
                raise ValueError("it is of another archive")
            return CountsCodec(payload, self.n_vars, threads=self.threads)

    def __len__(self) -> int:
        return self.n_obs

    def __repr__(self) -> str:
        head = self.header
        return f"Archive of {head.n_obs} cells x {head.n_vars} genes in '{self.path}'"

    def __getitem__(self, key: Any) -> sparse.csr_matrix:
        rows, genes = key if isinstance(key, tuple) else (key, None)
        wanted = _positions(rows, self.n_obs, "cell")
        columns = None if genes is None else self._columns(genes)
        order = np.unique(wanted)
        parts = []
        for first, stop, block in self._chunks_of(order):
            here = order[np.searchsorted(order, first) : np.searchsorted(order, stop)] - first
            part = block if len(here) == stop - first else block[here]
            parts.append(part if columns is None else part[:, columns])
        n_vars = self.n_vars if columns is None else len(columns)
        found = stack_rows(parts, n_vars=n_vars, dtype=self.sparse_dtype)
        if len(order) == len(wanted) and (order == wanted).all():
            return found
        return found[np.searchsorted(order, wanted)]

    def iter_chunks(self, rows: int = 1024) -> Iterator[tuple[int, int, sparse.csr_matrix]]:
        """Walk over the cells, so many at a time: start, stop and CSR."""
        for start in range(0, self.n_obs, rows):
            stop = min(start + rows, self.n_obs)
            yield start, stop, self[start:stop]

    def counts(self, start: int, stop: int) -> sparse.csr_matrix:
        """[stop - start, genes] Some cells, int32, whatever type they were stored in."""
        blocks = [block for _, _, block in self._chunks_of(np.arange(start, stop))]
        whole = stack_rows(blocks, n_vars=self.n_vars, dtype=np.int32)
        first = start // self.header.cells_per_chunk * self.header.cells_per_chunk
        return whole[start - first : stop - first]

    def iter_counts(
        self, rows: np.ndarray | None = None
    ) -> Iterator[tuple[int, int, sparse.csr_matrix]]:
        """Walk over the chunks that hold some cells, or over all: start, stop and CSR, int32.

        A block has about `settings.chunk_bytes`.
        """
        yield from self._chunks_of(np.arange(self.n_obs) if rows is None else rows)

    def whole_cells(self) -> np.ndarray:
        """[cells] True for the cells of the chunks that are not damaged."""
        size = self.header.cells_per_chunk
        whole = np.ones(self.n_obs, dtype=bool)
        for number in range(self.header.n_chunks):
            try:
                self._decode(number, number + 1)
            except DamagedChunksError:
                whole[number * size : (number + 1) * size] = False
        return whole

    def count_nonzeros(self, rows: np.ndarray) -> int:
        """Nonzeros of the chunks that hold these cells."""
        return int(self._index.nonzeros[np.unique(rows // self.header.cells_per_chunk)].sum())

    def require_whole(self) -> None:
        """Check every section, every chunk and the sums of the header.

        Raises
        ------
        InputError
            The first that is damaged.
        """
        blocks = (block for _, _, block in self.iter_counts())
        total = sum(int(block.data.sum(dtype=np.int64)) for block in blocks)
        if total != self.header.sum:
            self._sections.refuse(f"holds {total} molecules and says {self.header.sum}")
        for section in self._sections.sections:
            self._sections.read_section(section)
        self._read_rest()

    def describe(self) -> dict[str, Any]:
        """Tell what the archive holds and costs, as JSON: bytes of each kind of section."""
        sizes = {"frames": self._sections.n_bytes}
        for section in self._sections.sections:
            sizes[section.kind] = sizes.get(section.kind, 0) + section.n_bytes
            sizes["frames"] -= section.n_bytes
        sizes["frames"] = sizes.pop("frames")
        bits = 8 * (sizes.get("CELL", 0) + sizes["MODL"] + sizes["INDX"])
        return {
            "file_bytes": self._sections.n_bytes,
            "sections": sizes,
            "bits_per_nonzero": bits / self.header.nnz if self.header.nnz else None,
            "header": dataclasses.asdict(self.header),
        }

    def to_anndata(self) -> "ad.AnnData":
        """The AnnData that was packed, its counts in the types and the order they had."""
        adata = self._read_rest()
        matrix = self.as_stored()
        if self.header.place == "X":
            adata.X = matrix
        else:
            adata.layers[self.header.place.removeprefix("layers/")] = matrix
        return adata

    def _read_rest(self) -> "ad.AnnData":
        """The AnnData without the counts."""
        from scpress.archive.rest import from_files

        files = self.files()
        with self._damage_of("REST"):
            adata = from_files(files)
            if adata.shape != self.shape:
                raise ValueError(f"it is of shape {adata.shape} and the header says {self.shape}")
        return adata

    def as_stored(self, rows: Any = slice(None)) -> Any:
        """[rows, genes] The counts in memory, in the layout and the types they were stored in."""
        found = self[rows]
        if self.header.storage == "dense":
            return found.toarray().astype(self.dtype, copy=False)
        stored = found.tocsc() if self.header.storage == "csc" else found
        stored.indices = stored.indices.astype(self.header.indices, copy=False)
        stored.indptr = stored.indptr.astype(self.header.indptr, copy=False)
        return stored

    def _columns(self, genes: Any) -> np.ndarray:
        if isinstance(genes, str):
            genes = [genes]
        is_names = not isinstance(genes, slice | int | np.integer) and any(
            isinstance(gene, str) for gene in genes
        )
        if not is_names:
            return _positions(genes, self.n_vars, "gene")
        wanted: Any = np.asarray(genes, dtype=object)
        places = self.var_names.get_indexer_for(wanted)
        if (places < 0).any() or len(places) != len(genes):
            odd = [gene for gene in genes if (self.var_names == gene).sum() != 1]
            times = int((self.var_names == odd[0]).sum())
            raise InputError(
                f"the archive '{self.path}' has {times or 'no'} genes named {odd[0]!r}. "
                "Give names that it has once, or positions."
            )
        return places

    def _chunks_of(self, rows: np.ndarray) -> Iterator[tuple[int, int, sparse.csr_matrix]]:
        """Decode the chunks that hold the rows, which are sorted: first row, stop and CSR."""
        size = self.header.cells_per_chunk
        numbers = np.unique(rows // size)
        most = max(1, settings.chunk_bytes // 8)
        at = 0
        while at < len(numbers):
            # Chunks that lie side by side are decoded at once, as many as memory is meant for.
            stop, nonzeros = at, 0
            while stop < len(numbers) and numbers[stop] - numbers[at] == stop - at:
                nonzeros += int(self._index.nonzeros[numbers[stop]])
                if stop > at and nonzeros > most:
                    break
                stop += 1
            first, last = int(numbers[at]), int(numbers[stop - 1]) + 1
            block = self._decode(first, last)
            yield first * size, first * size + block.shape[0], block
            at = stop

    def _decode(self, first: int, stop: int) -> sparse.csr_matrix:
        """[cells of the chunks, genes] Chunks, int32; each is held against its checksums."""
        chunks = [self._read_chunk(number) for number in range(first, stop)]
        cells = [int(n) for n in self._cells[first:stop]]
        nonzeros = [int(n) for n in self._index.nonzeros[first:stop]]
        try:
            block = self.codec.decode(chunks, cells, nonzeros)
        except ValueError as error:
            if stop - first > 1:  # which of them?
                for number in range(first, stop):
                    self._decode(number, number + 1)
            self._refuse_chunk(first, str(error))
        if block.shape != (sum(cells), self.n_vars):
            self._refuse_chunk(first, f"it decodes to a matrix of {block.shape}")
        require_inside(block.indices, self.n_vars, f"the archive '{self.path}'")
        at = 0
        for number, n_cells in zip(range(first, stop), cells, strict=True):
            part = block[at : at + n_cells]
            if (
                part.nnz != self._index.nonzeros[number]
                or counts_checksum(part) != self._index.counts_crc32[number]
            ):
                self._refuse_chunk(number, "it decodes to other counts than were packed")
            at += n_cells
        return block

    def _read_chunk(self, number: int) -> bytes:
        size = int(self._index.n_bytes[number])
        chunk = self._sections.read_at(int(self._places[number]), size)
        if zlib.crc32(chunk) != self._index.coded_crc32[number]:
            self._refuse_chunk(number, "its checksum is another")
        return chunk

    def _refuse_chunk(self, number: int, fault: str) -> None:
        first = number * self.header.cells_per_chunk
        last = first + int(self._cells[number]) - 1
        raise DamagedChunksError(
            f"the archive '{self.path}' is damaged in chunk {number} (cells {first} to {last}): "
            f"{fault}. {COPY} `scpress unpack --skip-damaged` writes the cells that are whole."
        )


def open_archive(path: Path | str, *, threads: int = 1) -> Archive:
    """Open an archive that `scpress pack` wrote; close it, or use it in a `with` block.

    Raises
    ------
    InputError
        No such file, or one that is damaged in what it says of itself.
    """
    return Archive(Path(path), threads=threads)


class _Damage:
    """Names the section in which something is wrong."""

    def __init__(self, sections: SectionReader, kind: str):
        self._sections, self._kind = sections, kind

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if isinstance(error, InputError) or not isinstance(error, Exception):
            return
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        self._sections.refuse_section(self._sections.find(self._kind)[0], reason)


def _positions(wanted: Any, n: int, noun: str) -> np.ndarray:
    """Positions on an axis of length n, from an integer, a slice, a mask or integers."""
    if isinstance(wanted, slice):
        return np.arange(n)[wanted]
    found = np.atleast_1d(np.asarray(wanted))
    if found.size == 0:
        found = found.astype(np.int64)
    if found.ndim != 1 or found.dtype.kind not in "biu":
        raise IndexError(f"{noun}s are an integer, a slice, a mask or integers; got {wanted!r}")
    if found.dtype.kind == "b":
        if len(found) != n:
            raise IndexError(f"the mask of {noun}s has {len(found)} values, not {n}")
        return np.flatnonzero(found)
    found = found.astype(np.int64)
    if ((found < -n) | (found >= n)).any():
        raise IndexError(f"{noun} {found[(found < -n) | (found >= n)][0]} is not among {n}")
    return np.where(found < 0, found + n, found)
