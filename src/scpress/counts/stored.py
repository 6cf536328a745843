"""Whether a compressed matrix on disk is what it says, asked before compiled code reads it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import sparse

from scpress.errors import InputError

_COPY = "The file is damaged; copy or download it again."


class StoredRows:
    """Rows of a compressed matrix on disk, HDF5 or zarr, none of which is read unchecked.

    scipy's loops trust pointers and indices: a wrong one is a number out of other memory, or the
    end of the process. Pointers are checked at once, indices when their rows are read.

    Parameters
    ----------
    group
        Holds `data`, `indices` and `indptr`.
    n_rows, n_columns
        What the matrix says of itself; of a CSC matrix the rows are its columns.
    where
        The matrix in messages; its file and its name there when not given.

    Raises
    ------
    InputError
        An array is missing, of a wrong type or length, or the pointers do not cut the values.
    """

    def __init__(self, group: Any, n_rows: int, n_columns: int, where: str | None = None):
        self.where = where or name_of(group)
        self.shape = n_rows, n_columns
        parts: dict[str, Any] = {name: group.get(name) for name in _PARTS}
        for name, part in parts.items():
            if not hasattr(part, "dtype"):
                raise InputError(f"{self.where} has no array {name!r}. {_COPY}")
            if part.ndim != 1:
                raise InputError(f"{self.where}: {name} has {part.ndim} axes, not one. {_COPY}")
        self._data, self._indices = parts["data"], parts["indices"]
        require_whole(self._indices.dtype, "indices", self.where)
        n_stored, n_indices = self._data.shape[0], self._indices.shape[0]
        if n_stored != n_indices:
            raise InputError(f"{self.where} has {n_stored} values and {n_indices} indices. {_COPY}")
        # Lengths come before the values: a wrong one may ask for more memory than there is.
        require_pointer_type(parts["indptr"], n_rows, self.where)
        with damage_named(self.where):
            pointers = parts["indptr"][:]
        self.pointers = require_pointers(pointers, n_rows, n_stored, self.where)

    def read(self, start: int, stop: int) -> sparse.csr_matrix:
        """[stop - start, columns] Some rows, CSR, as they are stored: entries may repeat."""
        part = slice(int(self.pointers[start]), int(self.pointers[stop]))
        with damage_named(self.where):
            data, indices = self._data[part], self._indices[part]
        require_inside(indices, self.shape[1], self.where)
        if data.dtype == np.float16:  # of which scipy has no sparse matrix
            data = data.astype(np.float32)
        pointers = self.pointers[start : stop + 1] - part.start
        return sparse.csr_matrix((data, indices, pointers), shape=(stop - start, self.shape[1]))


_PARTS = ("data", "indices", "indptr")


def stored_rows(group: Any, shape: tuple[int, ...], layout: str) -> StoredRows:
    """Rows of a matrix of that shape that calls itself "csr", or columns of a "csc".

    Raises
    ------
    InputError
        The pointers are not those of that layout, or as for `StoredRows`.
    """
    if len(shape) != 2 or min(shape) < 0:
        raise InputError(f"{name_of(group)} says that its shape is {tuple(shape)}. {_COPY}")
    n_rows, n_columns = (int(size) for size in (shape if layout == "csr" else shape[::-1]))
    pointers = group.get("indptr")
    # Read in the other layout a matrix is its transpose, without a word of anybody's.
    if n_rows != n_columns and getattr(pointers, "shape", ()) == (n_columns + 1,):
        other = "csc" if layout == "csr" else "csr"
        raise InputError(
            f"{name_of(group)} calls itself {layout}_matrix of {shape[0]} x {shape[1]}, and its "
            f"{n_columns + 1} pointers are those of a {other}_matrix. Write the file again."
        )
    return StoredRows(group, n_rows, n_columns)


def require_pointer_type(pointers: Any, n_rows: int, where: str) -> None:
    """Check type and length of row pointers, in memory or on disk."""
    require_whole(pointers.dtype, "indptr", where)
    if pointers.shape[0] != n_rows + 1:
        raise InputError(
            f"{where} has {pointers.shape[0]} row pointers; {n_rows + 1} are needed for its "
            f"{n_rows} rows. {_COPY}"
        )


def require_pointers(pointers: np.ndarray, n_rows: int, n_stored: int, where: str) -> np.ndarray:
    """[rows + 1] The pointers as int64, if they cut that many values into that many rows.

    Raises
    ------
    InputError
        Their number, the first, the last, or one that is below the one before it.
    """
    require_pointer_type(pointers, n_rows, where)
    if pointers[0] != 0 or pointers[-1] != n_stored:
        raise InputError(
            f"{where}: the row pointers do not fit the stored values: they go from {pointers[0]} "
            f"to {pointers[-1]}, and must go from 0 to {n_stored}. {_COPY}"
        )
    falls = pointers[1:] < pointers[:-1]
    if falls.any():
        at = int(np.argmax(falls))
        raise InputError(
            f"{where}: the row pointers do not fit the stored values: they fall from "
            f"{pointers[at]} to {pointers[at + 1]} in row {at}. {_COPY}"
        )
    return pointers.astype(np.int64, copy=False)


def require_inside(indices: np.ndarray, n_columns: int, where: str) -> None:
    """Check that every index is a column of the matrix.

    Raises
    ------
    InputError
        The first that is not, or a type that is not whole.
    """
    require_whole(indices.dtype, "indices", where)
    if not len(indices):
        return
    if indices.min() < 0 or indices.max() >= n_columns:
        at = int(np.argmax((indices < 0) | (indices >= n_columns)))
        raise InputError(
            f"{where} has the index {indices[at]}, outside of its axis of {n_columns}. {_COPY}"
        )


def require_whole(dtype: np.dtype, name: str, where: str) -> None:
    """Check that a type is one of whole numbers."""
    if dtype.kind not in "iu":
        raise InputError(f"{where}: {name} must be whole numbers; found type {dtype}. {_COPY}")


def name_of(stored: Any) -> str:
    """Name an HDF5 or zarr element in messages: its file, and its name there."""
    name = str(getattr(stored, "name", "")).strip("/") or "its matrix"
    file = getattr(stored, "file", None)
    path = getattr(file, "filename", None) if file is not None else None
    if path is None:
        store = getattr(getattr(stored, "store", None), "root", None)
        return f"'{store}': {name}" if store is not None else name
    return f"'{path}': {name}"


@contextmanager
def damage_named(where: str) -> Iterator[None]:
    """Raise what HDF5 cannot unpack as one line for the user.

    Raises
    ------
    InputError
        A part that is damaged.
    OSError
        What the system says of itself, as a disk that cannot be read.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise InputError(
            f"{where} cannot be read ({str(error).splitlines()[0]}). {_COPY}"
        ) from error
