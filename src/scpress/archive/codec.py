"""How a chunk of cells becomes bytes: a stand-in, numbers of seven bits a byte under zlib."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse


class CountsCodec:
    """Codes each chunk by itself: nonzeros of each cell, gaps of the columns, values less one."""

    cells_per_chunk = 24

    def __init__(self, n_vars: int):
        self.n_vars = n_vars

    @classmethod
    def fit(
        cls,
        read_blocks: Callable[[], Iterator[sparse.csr_matrix]],
        shape: tuple[int, int],
        *,
        latent: np.ndarray | None = None,
        seed: int = 0,
        threads: int = 1,
    ) -> "CountsCodec":
        """Choose a model for the counts."""
        return cls(shape[1])

    def to_bytes(self) -> bytes:
        """Give what `from_bytes` reads."""
        return self.n_vars.to_bytes(8, "little")

    @classmethod
    def from_bytes(cls, data: bytes, n_vars: int) -> "CountsCodec":
        """Read a model; ValueError where it is none for so many genes."""
        if data != n_vars.to_bytes(8, "little"):
            raise ValueError(f"it is no model of {n_vars} genes")
        return cls(n_vars)

    def encode(self, block: sparse.csr_matrix) -> list[bytes]:
        """Code some cells, `cells_per_chunk` of them in a chunk; the last may be shorter."""
        chunks = []
        for start in range(0, block.shape[0], self.cells_per_chunk):
            part = block[start : start + self.cells_per_chunk]
            per_cell = np.diff(part.indptr)
            gaps = np.diff(part.indices.astype(np.int64), prepend=0)
            starts = part.indptr[:-1][per_cell > 0]
            gaps[starts] = part.indices[starts]
            numbers = np.concatenate([per_cell, gaps, part.data.astype(np.int64) - 1])
            chunks.append(zlib.compress(_to_varints(numbers)))
        return chunks

    def decode(self, chunks: Sequence[bytes], n_cells: Sequence[int]) -> sparse.csr_matrix:
        """[sum of n_cells, genes] The counts; ValueError where a chunk is damaged."""
        parts = [self._decode(chunk, n) for chunk, n in zip(chunks, n_cells, strict=True)]
        if not parts:
            return sparse.csr_matrix((0, self.n_vars), dtype=np.int32)
        return sparse.vstack(parts, format="csr", dtype=np.int32)

    def _decode(self, chunk: bytes, n_cells: int) -> sparse.csr_matrix:
        try:
            numbers = _from_varints(zlib.decompress(chunk))
        except zlib.error as error:
            raise ValueError(str(error)) from error
        per_cell, rest = numbers[:n_cells], numbers[n_cells:]
        nnz = len(rest) // 2
        if len(per_cell) < n_cells or int(per_cell.sum()) != nnz or len(rest) % 2:
            raise ValueError("the numbers do not add up")
        indptr = np.append(0, np.cumsum(per_cell))
        gaps = rest[:nnz]
        totals = np.cumsum(gaps)
        before = np.append(0, totals)[indptr[:-1]]
        columns = totals - np.repeat(before, per_cell)
        if nnz and (columns.min() < 0 or columns.max() >= self.n_vars):
            raise ValueError("a gene is outside of the matrix")
        return sparse.csr_matrix(
            ((rest[nnz:] + 1).astype(np.int32), columns.astype(np.int32), indptr.astype(np.int32)),
            shape=(n_cells, self.n_vars),
        )

    def describe(self) -> dict[str, Any]:
        """Tell which models were tried, and which was chosen."""
        return {"chosen": "zlib", "why": "there is no other yet", "rungs": {}}


def _to_varints(numbers: np.ndarray) -> bytes:
    n_bytes = 1 + np.sum([numbers >= 1 << (7 * k) for k in range(1, 5)], axis=0)
    starts = np.cumsum(n_bytes) - n_bytes
    out = np.zeros(int(n_bytes.sum()), dtype=np.uint8)
    for k in range(5):
        has = n_bytes > k
        more = (n_bytes[has] > k + 1).astype(np.uint8) << 7
        out[starts[has] + k] = ((numbers[has] >> (7 * k)) & 127).astype(np.uint8) | more
    return out.tobytes()


def _from_varints(data: bytes) -> Any:
    values = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(values < 128)
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    if not len(ends) or ends[-1] != len(values) - 1:
        raise ValueError("the last number is cut")
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(values)) - np.repeat(starts, ends - starts + 1)
    if place.max() > 4:
        raise ValueError("a number is too long")
    return np.add.reduceat((values & 127).astype(np.int64) << (7 * place), starts)
