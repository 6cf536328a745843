"""Where the counts that a model reads are kept: in memory, or in a file mapped from disk."""

import contextlib
import os
import tempfile
from typing import IO, Any

import numpy as np
from scipy import sparse

from scpress.counts.matrix import index_type, stack_rows

# Columns that are widened to int64 at a time.
_WIDENED = 2**22


class RowKeeper:
    """Takes blocks of rows and gives them back as one CSR matrix.

    Above a budget the nonzeros go to a file and are mapped: any row is then read at random through
    the system's page cache, which is not the process's own memory, so cells are shuffled across the
    whole data exactly as in memory and training gives the same bits. The file has no name, so that
    nothing is left of it however the process ends; it lies in the folder for temporary files.
    """

    def __init__(self, *, n_vars: int, max_bytes: int):
        self.n_vars, self.max_bytes = n_vars, max_bytes
        self._blocks: list[sparse.csr_matrix] = []
        self._files: list[IO[bytes]] = []
        self._pointers = [np.zeros(1, dtype=np.int64)]
        self._n_nonzeros = 0

    def add(self, block: sparse.csr_matrix) -> None:
        """Append rows of counts, int32.

        Raises
        ------
        OSError
            The folder for temporary files is full.
        """
        self._pointers.append(self._n_nonzeros + block.indptr[1:].astype(np.int64))
        self._n_nonzeros += block.nnz
        self._blocks.append(block)
        # 4 bytes each for the column and the count.
        if self._files or 8 * self._n_nonzeros > self.max_bytes:
            self._spill()

    def _spill(self) -> None:
        if not self._files:
            self._files = [_nameless_file() for _ in range(2)]
        try:
            for block in self._blocks:
                for file, values in zip(self._files, (block.data, block.indices), strict=True):
                    file.write(np.ascontiguousarray(values[: block.nnz], dtype=np.int32).data)
        except OSError:
            for file in self._files:
                with contextlib.suppress(OSError):  # what it still held back has no place, either
                    file.close()
            raise
        self._blocks = []

    def matrix(self) -> sparse.csr_matrix:
        """[rows, n_vars] All rows, CSR int32; the keeper is empty afterwards."""
        if not self._files:
            blocks, self._blocks = self._blocks[::-1], []
            given = (blocks.pop() for _ in range(len(blocks)))  # so that each can be freed
            return stack_rows(given, n_vars=self.n_vars, dtype=np.int32)
        pointers = np.concatenate(self._pointers)
        data, indices = (_mapped(file, np.int32) for file in self._files)
        index = index_type(self._n_nonzeros, self.n_vars)
        if index is np.int64:
            # scipy wants both kinds of indices of one type.
            with_wide = _nameless_file()
            for first in range(0, len(indices), _WIDENED):
                with_wide.write(indices[first : first + _WIDENED].astype(index).data)
            indices = _mapped(with_wide, index)
        return sparse.csr_matrix(
            (data, indices, pointers.astype(index)), shape=(len(pointers) - 1, self.n_vars)
        )


def _nameless_file() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="scpress-")


def _mapped(file: IO[bytes], dtype: Any) -> np.ndarray:
    with file:
        file.flush()
        if not os.fstat(file.fileno()).st_size:
            return np.zeros(0, dtype=dtype)
        # As a plain array, which compiled loops take; it keeps the mapping and so the bytes.
        return np.asarray(np.memmap(file, dtype=dtype, mode="r"))  # type: ignore[call-overload]
