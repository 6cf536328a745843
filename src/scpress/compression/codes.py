"""How a latent, a decoder and raw counts become files, whose bytes are what they cost."""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy import sparse

from scpress.io.hdf5 import new_hdf5

PRECISIONS = ("float32", "float16", "int8", "int6", "int4")
FLOAT16_MAX = float(np.finfo(np.float16).max)
# Values of a matrix appended at a time share HDF5 chunks of this many.
_HDF5_CHUNK = 2**16


def bits_of(precision: str) -> int:
    """Bits of an integer precision; 0 for a float."""
    return int(precision[3:]) if precision.startswith("int") else 0


def pack_latent(z: np.ndarray, precision: str) -> dict[str, np.ndarray]:
    """Quantise a latent.

    Parameters
    ----------
    z
        [cells, n_latent] Latent.
    precision
        `float32`, `float16`, or `int8`: 256 equal values from the smallest to the largest one of
        every dimension, which are stored, too; `int6` has 64 and `int4` 16 of them, a byte each
        before the file is compressed.
    """
    if bits_of(precision):
        most = 2 ** bits_of(precision) - 1
        low = z.min(axis=0).astype(np.float32)
        step = ((z.max(axis=0) - low) / most).astype(np.float32)
        safe = np.where(step > 0, step, 1)
        return {
            "z": np.clip(np.rint((z - low) / safe), 0, most).astype(np.uint8),
            "low": low,
            "step": step,
        }
    if precision == "float16":
        z = np.clip(z, -FLOAT16_MAX, FLOAT16_MAX)
    return {"z": z.astype(precision)}


def unpack_latent(packed: dict[str, np.ndarray]) -> np.ndarray:
    """[cells, n_latent] The latent that `pack_latent` stored, float32."""
    z = packed["z"].astype(np.float32)
    return z * packed["step"] + packed["low"] if "step" in packed else z


@dataclass(frozen=True)
class StoredArrays:
    """Arrays as they came back from their file, and what they cost there.

    Attributes
    ----------
    n_bytes
        Of the file.
    tensors
        Name -> bytes of the array within it, compressed; the file has some 100 more for each.
    """

    n_bytes: int
    arrays: dict[str, np.ndarray]
    tensors: dict[str, int]


def store_arrays(arrays: dict[str, np.ndarray], path: Path) -> StoredArrays:
    """Write arrays as one npz file (zlib) and read it again.

    The same format serves every code, the model's and the rivals'. It has no names of cells or
    genes; neither have the counts it is compared with.
    """
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    with zipfile.ZipFile(path) as file:
        tensors = {one.filename.removesuffix(".npy"): one.compress_size for one in file.infolist()}
    with np.load(path, allow_pickle=False) as stored:
        read = {name: stored[name] for name in stored.files}
    return StoredArrays(path.stat().st_size, read, tensors)


def store_counts(blocks: Iterable[sparse.csr_matrix], path: Path) -> int:
    """Write raw counts as an h5ad file stores X (CSR, int32, gzip); returns the file's bytes."""
    with new_hdf5(path) as (file, disk):
        options = {"compression": "gzip", "chunks": (_HDF5_CHUNK,), "maxshape": (None,)}
        parts = {
            name: file.create_dataset(name, shape=(0,), dtype=dtype, **options)
            for name, dtype in (("data", np.int32), ("indices", np.int32), ("indptr", np.int64))
        }
        _append(parts["indptr"], np.zeros(1, dtype=np.int64))
        nonzeros = 0
        for block in blocks:
            disk.check()
            _append(parts["data"], block.data)
            _append(parts["indices"], block.indices)
            _append(parts["indptr"], nonzeros + block.indptr[1:].astype(np.int64))
            nonzeros += block.nnz
    return path.stat().st_size


def _append(dataset: h5py.Dataset, values: np.ndarray) -> None:
    old = dataset.shape[0]
    dataset.resize(old + len(values), axis=0)
    dataset[old:] = values


def break_even_cells(fixed_bytes: float, cell_bytes: float, counts_cell_bytes: float) -> int | None:
    """Cells from which a code with a decoder is smaller than the counts; None where it never is."""
    saved = counts_cell_bytes - cell_bytes
    return int(np.ceil(fixed_bytes / saved)) if saved > 0 else None
