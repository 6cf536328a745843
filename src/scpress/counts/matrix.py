"""What is computed from raw counts, in chunks that fit in memory: totals, checks, log-values."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from scipy import sparse

from scpress import settings
from scpress.counts.stored import damage_named, name_of, stored_rows
from scpress.errors import InputError

# More nonzeros than this need int64 indices; a test lowers it.
_INT32_MAX = 2**31 - 1


def _require_values(found: np.ndarray, values: str, where: str) -> None:
    """Check what is stored of a block that was just unpacked: numbers, none negative, no NaN."""
    if found.dtype.kind == "f":
        good = (found >= 0) & (found < np.inf)
        if values == "counts":
            good &= found == np.rint(found)
    else:
        good = found >= 0
    if not good.all():
        wanted = "counts are whole numbers" if values == "counts" else "its values are numbers"
        raise InputError(
            f"{where} holds {found[~good][0]}, and {wanted}, none negative. Run the step that "
            "writes it again, or give raw counts."
        )


def iter_chunks(
    X: Any, *, max_bytes: int | None = None, values: str = "counts"
) -> Iterator[tuple[int, int, sparse.csr_matrix]]:
    """Walk over the rows of a CSR matrix in memory or on disk.

    Parameters
    ----------
    X
        [cells, genes] scipy matrix or array, anndata's backed sparse dataset, or a dense array
        in memory or on disk. CSC is turned into CSR as a whole, never into a dense array.
    max_bytes
        Size of a block; `settings.chunk_bytes` when not given. A block has at least one row.
    values
        What a matrix on disk holds: counts, logs, or anything.

    Yields
    ------
    start, stop, block
        The rows and their values, CSR.

    Raises
    ------
    InputError
        What is on disk is not a matrix of that shape and of these values.
    """
    rows = None
    is_on_disk = hasattr(X, "group") or hasattr(X, "chunks")
    where = name_of(getattr(X, "group", X)) if is_on_disk and values != "anything" else ""
    if where and X.dtype.kind not in "biuf":
        raise InputError(f"{where} is of type {X.dtype} and must hold numbers. Give raw counts.")
    if hasattr(X, "group"):  # anndata's: its own loops would trust what is in the file
        rows = stored_rows(X.group, X.shape, X.format)
        if X.format == "csc":
            X, rows = rows.read(0, X.shape[1]).T, None
    if rows is None and getattr(X, "format", "csr") != "csr":
        X = X.tocsr()
    n_obs = X.shape[0]
    budget = settings.chunk_bytes if max_bytes is None else max_bytes
    indptr = rows.pointers if rows else X.indptr if sparse.issparse(X) else None
    if indptr is None:
        count = max(1, budget // max(1, X.shape[1] * X.dtype.itemsize))
        starts = range(0, n_obs, count)
        slabs = iter([(start, min(start + count, n_obs)) for start in starts])
    else:
        # 8 bytes a nonzero: int32 index and int32 or float32 value.
        slabs = iter_slabs(indptr, budget // 8)
    for start, stop in slabs:
        if rows is None:
            with damage_named(name_of(X)):
                block = to_csr(X[start:stop])
        else:
            block = rows.read(start, stop)
        if where:
            _require_values(block.data, values, where)
        yield start, stop, block


def to_csr(values: Any) -> sparse.csr_matrix:
    """[rows, columns] Values as CSR; scipy has no sparse matrix of float16."""
    if values.dtype == np.float16:
        values = np.asarray(values, dtype=np.float32)
    return sparse.csr_matrix(values)


def iter_slabs(pointers: np.ndarray, max_nonzeros: int) -> Iterator[tuple[int, int]]:
    """Start and stop of runs of rows with at most so many nonzeros, or of one row.

    Parameters
    ----------
    pointers
        [rows + 1] Where each row starts; of a CSC matrix the rows are its columns.
    """
    start, n_rows = 0, len(pointers) - 1
    while start < n_rows:
        limit = int(pointers[start]) + max_nonzeros
        stop = int(np.searchsorted(pointers, limit, side="right")) - 1
        stop = min(max(stop, start + 1), n_rows)
        yield start, stop
        start = stop


def kept_columns(kept: np.ndarray) -> np.ndarray:
    """[columns] The new column of each that is kept, -1 of the others; for `remap_columns`."""
    return np.where(kept, np.cumsum(kept) - 1, -1)


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


def column_joiner(
    target: np.ndarray, n_vars: int
) -> Callable[[sparse.csr_matrix], sparse.csr_matrix]:
    """`remap_columns` where several columns may become one: these are added up."""
    is_summed = (np.bincount(target[target >= 0]) > 1).any()

    def join(block: sparse.csr_matrix) -> sparse.csr_matrix:
        joined = remap_columns(block, target, n_vars)
        if is_summed:
            joined.sum_duplicates()
        return joined

    return join


def select_columns(
    X: Any, columns: np.ndarray, *, dtype: Any = np.int32, values: str = "counts"
) -> sparse.csr_matrix:
    """[cells, columns] Some genes of all cells, CSR in memory, read block by block.

    -1 gives a gene of zeros.
    """
    present = np.flatnonzero(columns >= 0)
    chosen = columns[present]
    blocks = iter_chunks(X, values=values)
    found = stack_rows(
        (block[:, chosen].astype(dtype, copy=False) for _, _, block in blocks),
        n_vars=len(chosen),
        dtype=dtype,
    )
    if len(present) == len(columns):
        return found
    wide = sparse.csr_matrix(
        (found.data, present[found.indices], found.indptr), shape=(found.shape[0], len(columns))
    )
    wide.sort_indices()
    return wide


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


def sum_of_all(blocks: Iterable[sparse.csr_matrix]) -> float:
    """Sum of all values, whatever they are."""
    return sum(float(block.data.sum(dtype=np.float64)) for block in blocks)


def sums_of_squares(X: Any) -> np.ndarray:
    """[genes] Sum over the cells of the squared values, float64; X as for `iter_chunks`."""
    total = np.zeros(X.shape[1])
    for _, _, block in iter_chunks(X):
        values = block.astype(np.float64)
        values.data **= 2
        total += np.asarray(values.sum(axis=0)).ravel()
    return total
