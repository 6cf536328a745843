"""What is computed from raw counts, in chunks that fit in memory: totals, checks, log-values."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from scpress import settings
from scpress.errors import InputError

# The largest count of one gene in one cell; counts are stored as int32.
_MAX_COUNT = 2**31 - 1
# More nonzeros than this need int64 indices; a test lowers it.
_INT32_MAX = 2**31 - 1
# Rows whose logarithms are taken at a time.
_LOG_ROWS = 4096


@dataclass
class RawCounts:
    """One sample as a file holds it, with the counts still to be read.

    Parameters
    ----------
    obs
        [cells] Barcodes as index, and the file's own columns.
    var
        [genes] The file's own names as index, and its columns.
    read_blocks
        Starts reading: CSR blocks of some rows each, in order, of at most the given bytes.
    obsm
        Arrays of [cells, any].
    messages
        What the user should be told about the file.
    places
        Where else in the file a matrix is, named when this one does not hold counts.
    """

    obs: pd.DataFrame
    var: pd.DataFrame
    read_blocks: Callable[[int], Iterator[sparse.csr_matrix]]
    obsm: dict[str, Any] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    places: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(cells, genes)."""
        return len(self.obs), len(self.var)

    def chunks(self, max_bytes: int | None = None) -> Iterator[sparse.csr_matrix]:
        """Read the counts in blocks of rows; may be called again."""
        return self.read_blocks(settings.chunk_bytes if max_bytes is None else max_bytes)


def iter_chunks(
    X: Any, *, max_bytes: int | None = None
) -> Iterator[tuple[int, int, sparse.csr_matrix]]:
    """Walk over the rows of a CSR matrix in memory or on disk.

    Parameters
    ----------
    X
        [cells, genes] scipy matrix or array, anndata's backed sparse dataset, or a dense array
        in memory or on disk. CSC is turned into CSR as a whole, never into a dense array.
    max_bytes
        Size of a block; `settings.chunk_bytes` when not given. A block has at least one row.

    Yields
    ------
    start, stop, block
        The rows and their values, CSR.
    """
    if getattr(X, "format", "csr") != "csr":
        X = (X if sparse.issparse(X) else X.to_memory()).tocsr()
    n_obs = X.shape[0]
    budget = settings.chunk_bytes if max_bytes is None else max_bytes
    indptr = _row_pointers(X)
    start = 0
    while start < n_obs:
        if indptr is None:
            stop = start + max(1, budget // max(1, X.shape[1] * X.dtype.itemsize))
        else:
            # 8 bytes a nonzero: int32 index and int32 or float32 value.
            limit = int(indptr[start]) + budget // 8
            stop = int(np.searchsorted(indptr, limit, side="right")) - 1
        stop = min(max(stop, start + 1), n_obs)
        yield start, stop, sparse.csr_matrix(X[start:stop])
        start = stop


def _row_pointers(X: Any) -> np.ndarray | None:
    if sparse.issparse(X):
        return X.indptr
    if getattr(X, "format", None) == "csr":
        return X.group["indptr"][:]
    return None


def require_counts(
    values: np.ndarray,
    *,
    sample: str,
    columns: np.ndarray | None = None,
    genes: Sequence[str] | None = None,
    places: Sequence[str] = (),
) -> None:
    """Check that every stored value is a non-negative whole number that fits in int32.

    Parameters
    ----------
    values
        [nonzeros] Stored values of any type.
    columns, genes
        [nonzeros] Column of each value, and [genes] the names of the columns, for the message.
    places
        Other places of the file where the counts may be, for the message.

    Raises
    ------
    InputError
        The first value that is not a count, with its gene.
    """
    kind = values.dtype.kind
    if kind not in "biuf":
        raise InputError(
            f"counts must be non-negative integers; sample {sample!r} holds values of type "
            f"{values.dtype}. Give a matrix of numbers."
        )
    if kind == "b" or not len(values):
        return
    with np.errstate(invalid="ignore"):
        if kind == "f":
            bad = ~(np.isfinite(values) & (values >= 0) & (values == np.rint(values)))
        else:
            bad = values < 0 if kind == "i" else np.zeros(len(values), dtype=bool)
        if values.dtype.itemsize > 2:
            bad |= values > _MAX_COUNT
    if not bad.any():
        return
    at = int(np.argmax(bad))
    value = values[at]
    where = f" in gene {genes[columns[at]]!r}" if columns is not None and genes is not None else ""
    known = f" (the file also holds {', '.join(places)})" if places else ""
    if not np.isfinite(value):
        advice = "The file is damaged, or a value is missing in it."
    elif value > _MAX_COUNT and value == np.rint(value):
        advice = f"A count cannot be above {_MAX_COUNT}; was the matrix scaled?"
    else:
        was = "scaled" if value < 0 else "normalized"
        advice = f"A {was} matrix was given? Point `layer` at the raw counts{known}."
    raise InputError(
        f"counts must be non-negative integers; found {value:g}{where} of sample {sample!r}. "
        f"{advice}"
    )


def remap_columns(block: sparse.csr_matrix, target: np.ndarray, n_vars: int) -> sparse.csr_matrix:
    """[cells, n_vars] Column j of the block becomes column target[j]; -1 drops it."""
    columns = target[block.indices]
    kept = columns >= 0
    counted = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])
    result = sparse.csr_matrix(
        (block.data[kept], columns[kept], counted[block.indptr]), shape=(block.shape[0], n_vars)
    )
    result.sort_indices()
    return result


def library_sizes(X: Any) -> np.ndarray:
    """[cells] Molecules per cell, int64; X as for `iter_chunks`."""
    sizes = np.zeros(X.shape[0], dtype=np.int64)
    for start, stop, block in iter_chunks(X):
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


def select_columns(X: Any, columns: np.ndarray, *, dtype: Any = np.int32) -> sparse.csr_matrix:
    """[cells, columns] Some genes of all cells, CSR in memory, read block by block."""
    return stack_rows(
        (block[:, columns].astype(dtype, copy=False) for _, _, block in iter_chunks(X)),
        n_vars=len(columns),
        dtype=dtype,
    )


def select_rows(X: Any, rows: np.ndarray) -> sparse.csr_matrix:
    """[rows, genes] Some cells, CSR in memory, read block by block; `rows` is sorted."""

    def selected() -> Iterator[sparse.csr_matrix]:
        for start, stop, block in iter_chunks(X):
            first, last = np.searchsorted(rows, [start, stop])
            yield block[rows[first:last] - start]

    return stack_rows(selected(), n_vars=X.shape[1], dtype=X.dtype)


def stack_rows(
    blocks: Iterable[sparse.csr_matrix], *, n_vars: int, dtype: Any
) -> sparse.csr_matrix:
    """[cells, n_vars] Blocks of rows as one CSR matrix, each freed once it is copied.

    Unlike `scipy.sparse.vstack` it never holds the values twice.
    """
    waiting = list(blocks)[::-1]
    if len(waiting) == 1:
        return waiting[0].astype(dtype, copy=False)
    n_obs, nonzeros = (sum(block.shape[0] for block in waiting), sum(b.nnz for b in waiting))
    # scipy wants both kinds of indices of one type.
    index = index_type(nonzeros, n_vars)
    data, indices = np.empty(nonzeros, dtype=dtype), np.empty(nonzeros, dtype=index)
    indptr = np.zeros(n_obs + 1, dtype=index)
    row = at = 0
    while waiting:
        block = waiting.pop()
        data[at : at + block.nnz] = block.data[: block.nnz]
        indices[at : at + block.nnz] = block.indices[: block.nnz]
        indptr[row + 1 : row + 1 + block.shape[0]] = block.indptr[1:]
        indptr[row + 1 : row + 1 + block.shape[0]] += at
        row, at = row + block.shape[0], at + block.nnz
    return sparse.csr_matrix((data, indices, indptr), shape=(n_obs, n_vars))


def index_type(n_nonzeros: int, n_vars: int) -> type[np.signedinteger]:
    """Type of the pointers and columns of a CSR matrix: int64 where int32 is too short."""
    return np.int32 if max(n_nonzeros, n_vars) <= _INT32_MAX else np.int64


def gene_totals(X: Any) -> np.ndarray:
    """[genes] Molecules of each gene over the cells, float64; X as for `iter_chunks`."""
    total = np.zeros(X.shape[1])
    for _, _, block in iter_chunks(X):
        total += np.asarray(block.sum(axis=0, dtype=np.float64)).ravel()
    return total


def sums_of_squares(X: Any) -> np.ndarray:
    """[genes] Sum over the cells of the squared values, float64; X as for `iter_chunks`."""
    total = np.zeros(X.shape[1])
    for _, _, block in iter_chunks(X):
        values = block.astype(np.float64)
        values.data **= 2
        total += np.asarray(values.sum(axis=0)).ravel()
    return total
