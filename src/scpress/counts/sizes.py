"""How large the cells are: library sizes, size factors, log-normalized values."""

from typing import Any

import numpy as np
from scipy import sparse

from scpress.counts.matrix import iter_chunks
from scpress.errors import InputError

# Rows whose logarithms are taken at a time.
_LOG_ROWS = 4096


def library_sizes(X: Any, genes: np.ndarray | None = None) -> np.ndarray:
    """[cells] Molecules per cell, int64; X as for `iter_chunks`.

    Parameters
    ----------
    genes
        [genes] True for those that count; all when not given.
    """
    sizes = np.zeros(X.shape[0], dtype=np.int64)
    for start, stop, block in iter_chunks(X):
        if genes is not None:
            block = block[:, genes]
        sizes[start:stop] = np.asarray(block.sum(axis=1, dtype=np.int64)).ravel()
    return sizes


def size_factors(library_size: np.ndarray) -> np.ndarray:
    """[cells] library_size over its median, linear, float64.

    Raises
    ------
    InputError
        A cell without molecules; quality control removes them.
    """
    if len(library_size) and library_size.min() <= 0:
        raise InputError(
            f"{int((library_size <= 0).sum())} cells have no molecules; "
            "remove them with `scpress qc`."
        )
    return library_size / np.median(library_size)


def log_normalize(block: sparse.csr_matrix, size_factor: np.ndarray) -> sparse.csr_matrix:
    """[cells, genes] log1p(counts / size_factor) as float32 CSR; zeros stay unstored."""
    scaled = block.astype(np.float32, copy=True)
    inverse = 1.0 / size_factor
    # Rows by rows, as the float64 values between two float32 ones take three times their memory.
    for first in range(0, scaled.shape[0], _LOG_ROWS):
        last = min(first + _LOG_ROWS, scaled.shape[0])
        per_row = np.repeat(inverse[first:last], np.diff(scaled.indptr[first : last + 1]))
        values = scaled.data[scaled.indptr[first] : scaled.indptr[last]]
        values[:] = np.log1p(values * per_row)
    return scaled
