"""How an HDF5 file is written so that a full disk is an error and not the end of the process."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py


class Disk(io.RawIOBase):
    """A file under HDF5 that keeps the first error of writing to itself until `check`.

    HDF5 2.0 ends the process with a segmentation fault when, on closing a file, it cannot write
    what it held back, so it is never told that the disk is full.
    """

    def __init__(self, path: Path):
        self._file = path.open("w+b", buffering=0)
        self._error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of it, or from the first error on nothing."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left and self._error is None:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._error = error
        return size

    def readinto(self, buffer: Any) -> int:
        """Read; what could not be written is zeros, which HDF5 refuses as any damage."""
        view = memoryview(buffer).cast("B")
        n_read = self._file.readinto(view) or 0
        view[n_read:] = bytes(len(view) - n_read)
        return len(view)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Tell the place."""
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        """Cut or extend the file."""
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._file.close()
        super().close()

    def check(self) -> None:
        """Raise the first error of writing, if there was one."""
        if self._error is not None:
            raise self._error


@contextmanager
def new_hdf5(path: Path) -> Iterator[tuple[h5py.File, Disk]]:
    """Open a new HDF5 file; call the disk's `check` now and then while much is written.

    Raises
    ------
    OSError
        What could not be written, instead of whatever HDF5 met after it.
    """
    with Disk(path) as disk:
        try:
            with h5py.File(disk, "w") as file:
                yield file, disk
        except Exception:
            disk.check()
            raise
        disk.check()
