"""How cells become chunks of bytes and come back: what a file says of its genes, and no float."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from scpress.archive import loops
from scpress.archive.encoding import encode_lane
from scpress.archive.fit import Fitted, fit_parameters
from scpress.archive.numpy_reader import HEAD_BITS, LANES, RARE_SHIFT, Parameters, rare_level_of
from scpress.archive.probabilities import BLOCK_PLACES, GROUP_PLACES, Tables, fill_survival
from scpress.archive.survey import ReadBlocks, level_of, library_of, rare_steps

CELLS_PER_CHUNK = 24
_DAMAGE = {
    loops.TOO_SHORT: "it ends too early",
    loops.TOO_LONG: "bytes are left over",
    loops.WRONG_END: "it does not end as it should",
    loops.WRONG_COUNT: "it has another number of entries",
    loops.TOO_LARGE: "it has a count that is none",
}


class CountsCodec:
    """Cells to bytes and back, by one file's parameters.

    Raises
    ------
    ValueError
        The parameters are damaged.
    """

    cells_per_chunk = CELLS_PER_CHUNK

    def __init__(self, parameters: bytes, n_vars: int, *, threads: int = 1):
        self._bytes, self.threads = parameters, threads
        self._fitted: Fitted | None = None
        p = self.parameters = Parameters(parameters, n_vars)
        self._genes = np.concatenate([p.direct, p.rare]).astype(np.uint32)
        self._rank = np.full(n_vars, -1)
        self._rank[self._genes] = np.arange(len(self._genes))
        tables = Tables(p.t[p.order], *p.mean_range())
        self._model = (
            tables.e_first, tables.nonzero, tables.ranges, tables.near, tables.guide, tables.pool,
        )  # fmt: skip
        base = p.t[p.direct] * tables.n_e - tables.e_first
        self._direct = (
            p.b[p.direct].astype(np.int32), base.astype(np.int32),
            p.w[:, p.direct].astype(np.int16, order="C"),
        )  # fmt: skip
        self._rare = self._survivals(p.b[p.rare], p.t[p.rare], p.rare_levels(), tables)
        width = max(len(values) for values, _ in p.tables)
        self._head_starts = np.full((len(p.tables), width + 1), 1 << HEAD_BITS)
        self._head_values = np.zeros((len(p.tables), width), np.int64)
        for k, (values, starts) in enumerate(p.tables):
            self._head_starts[k, : len(values) + 1] = starts
            self._head_values[k, : len(values)] = values

    @staticmethod
    def _survivals(b: np.ndarray, t: np.ndarray, levels: np.ndarray, tables: Tables) -> tuple:
        survivals, begins, ends = [], [], []
        survival = np.empty((len(b), BLOCK_PLACES), np.int32)
        end = np.empty(len(b), np.int32)
        for level in levels:
            n = fill_survival(
                level, b, t, tables.n_e, tables.e_first, tables.nonzero, survival, end
            )
            survivals.append(survival[:n].copy())
            ends.append(end[:n].copy())
            begins.append(np.append(np.int32(0), end[:n])[:n])
        first = np.cumsum([0, *map(len, ends)])
        survival = np.concatenate(survivals)
        group_ends = np.ascontiguousarray(survival[:, GROUP_PLACES - 1 :: GROUP_PLACES])
        b, row = b.astype(np.int32), (t * tables.n_e - tables.e_first).astype(np.int32)
        return (
            b, row, survival, group_ends, levels[0] >> RARE_SHIFT, first,
            np.concatenate(begins), np.concatenate(ends),
        )  # fmt: skip

    @classmethod
    def fit(
        cls,
        read_blocks: ReadBlocks,
        shape: tuple[int, int],
        *,
        latent: np.ndarray | None = None,
        seed: int = 0,
        threads: int = 1,
    ) -> "CountsCodec":
        """Choose the parameters for some counts.

        Parameters
        ----------
        read_blocks
            Gives the counts in blocks of rows, and again each time it is called: CSR of integers
            below 2^31, indices sorted, no explicit zeros.
        latent
            [cells, n_latent] A latent that somebody has made; it is used if it pays.
        """
        fitted = fit_parameters(read_blocks, shape, latent=latent, seed=seed)
        codec = cls(fitted.packed, shape[1], threads=threads)
        codec._fitted = fitted
        return codec

    def to_bytes(self) -> bytes:
        """Give the parameters, of which the same codec can be made."""
        return self._bytes

    def describe(self) -> dict[str, Any]:
        """What was tried, and the bytes that it saves."""
        return self._fitted.story if self._fitted else {}

    def encode(self, block: sparse.csr_matrix, first_cell: int = 0) -> list[bytes]:
        """Code cells that the codec was fitted to, of which the first is `first_cell` of the file.

        Raises
        ------
        ValueError
            They are others.
        """
        assert self._fitted is not None, "a codec that was read only decodes"
        levels = level_of(library_of(block))
        known = self.parameters.tables[0][0]
        heads = np.clip(np.searchsorted(known, levels), 0, len(known) - 1)[:, None]
        if (known[heads[:, 0]] != levels).any() or (self._rank[block.indices] < 0).any():
            raise ValueError("there are cells or genes that the codec was not fitted to")
        known = self.parameters.tables[1][0]
        more = np.clip(rare_steps(block, levels, self.parameters), known[0], known[-1])
        heads = np.concatenate([heads, np.searchsorted(known, more)[:, None]], axis=1)
        both = np.stack([levels, rare_level_of(levels, more)], axis=1)
        latents = np.zeros((len(levels), max(len(self._head_values) - 2, 1)), np.int64)
        if self._fitted.latent is not None:
            places = self._fitted.latent.places(block, levels, first_cell)
            heads = np.concatenate([heads, places], axis=1)
            for k, values in enumerate(self._head_values[2:]):
                latents[:, k] = values[places[:, k]]
        indptr = block.indptr.astype(np.int64)

        def work(first: int) -> bytes:
            cells = slice(first, min(first + self.cells_per_chunk, block.shape[0]))
            ends = indptr[cells.start : cells.stop + 1]
            here = slice(ends[0], ends[-1])
            n = cells.stop - cells.start
            room = n * (heads.shape[1] + len(self._genes) + 1) + 8 * int(ends[-1] - ends[0]) + 2
            words, found = np.empty(room, np.uint32), []
            for lane in range(LANES):
                used = encode_lane(
                    lane, ends - ends[0], block.indices[here], block.data[here], heads[cells],
                    both[cells], latents[cells], self._head_starts, self._rank,
                    self._direct, self._rare, self._model, words,
                )  # fmt: skip
                found.append(words[room - used :].copy())
            # One lane is read from the front, the other from the end.
            return np.concatenate([found[0], found[1][::-1]]).astype("<u4").tobytes()

        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(work, range(0, block.shape[0], self.cells_per_chunk)))

    def decode(
        self, chunks: Sequence[bytes], n_cells: Sequence[int], n_nonzeros: Sequence[int]
    ) -> sparse.csr_matrix:
        """Cells of some chunks, as int32.

        Raises
        ------
        ValueError
            A chunk is damaged.
        """
        n_vars = len(self.parameters.b)
        cell_at = np.cumsum([0, *n_cells])
        at = np.cumsum([0, *n_nonzeros])
        indptr = np.zeros(cell_at[-1] + 1, np.int64)
        indices, data = np.empty(at[-1], np.int32), np.empty(at[-1], np.int32)

        def work(part: range) -> None:
            words = [np.empty(0, "<u4"), *(np.frombuffer(chunks[i], "<u4") for i in part)]
            begins = slice(part.start, part.stop + 1)
            problem = loops.decode_chunks(
                np.concatenate(words), np.cumsum([*map(len, words)]), cell_at[begins], at[begins],
                self._head_starts, self._head_values,
                self._genes, self._direct, self._rare, self._model,
                n_vars, indptr, indices, data,
            )  # fmt: skip
            if problem != loops.OK:
                raise ValueError(_DAMAGE[problem])

        n_parts = max(1, min(self.threads, len(chunks)))
        bounds = np.linspace(0, len(chunks), n_parts + 1).astype(int)
        with ThreadPoolExecutor(n_parts) as pool:
            list(pool.map(work, [range(a, b) for a, b in pairwise(bounds)]))
        small = at[-1] < 1 << 31
        matrix = sparse.csr_matrix((cell_at[-1], n_vars), dtype=np.int32)
        matrix.data, matrix.indices = data, indices
        matrix.indptr = indptr.astype(np.int32) if small else indptr
        return matrix
