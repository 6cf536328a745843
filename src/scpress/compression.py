"""What a code of the counts costs in bytes of real files, and how much of the counts it keeps."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import sparse

from scpress.baselines import BLOCK_CELLS, FLOOR
from scpress.counts import log_normalize
from scpress.hdf5 import new_hdf5

PRECISIONS = ("float32", "float16", "int8")
_FLOAT16_MAX = float(np.finfo(np.float16).max)
# Values of a matrix appended at a time share HDF5 chunks of this many.
_HDF5_CHUNK = 2**16


def pack_latent(z: np.ndarray, precision: str) -> dict[str, np.ndarray]:
    """Quantise a latent.

    Parameters
    ----------
    z
        [cells, n_latent] Latent.
    precision
        `float32`, `float16`, or `int8`: 256 equal steps between the smallest and the largest value
        of every dimension, which are stored, too.
    """
    if precision == "int8":
        low = z.min(axis=0).astype(np.float32)
        step = ((z.max(axis=0) - low) / 255).astype(np.float32)
        safe = np.where(step > 0, step, 1)
        return {
            "z": np.clip(np.rint((z - low) / safe), 0, 255).astype(np.uint8),
            "low": low,
            "step": step,
        }
    if precision == "float16":
        z = np.clip(z, -_FLOAT16_MAX, _FLOAT16_MAX)
    return {"z": z.astype(precision)}


def unpack_latent(packed: dict[str, np.ndarray]) -> np.ndarray:
    """[cells, n_latent] The latent that `pack_latent` stored, float32."""
    z = packed["z"].astype(np.float32)
    return z * packed["step"] + packed["low"] if "step" in packed else z


def store_arrays(arrays: dict[str, np.ndarray], path: Path) -> tuple[int, dict[str, np.ndarray]]:
    """Write arrays as one npz file (zlib); returns its bytes and what it holds when read again.

    The same format serves every code, the model's and the rivals'. It has no names of cells or
    genes; neither have the counts it is compared with.
    """
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    with np.load(path, allow_pickle=False) as stored:
        return path.stat().st_size, {name: stored[name] for name in stored.files}


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


@dataclass(frozen=True)
class Distortion:
    """What a decoded code keeps of the counts.

    Attributes
    ----------
    deviance_explained
        1 - Poisson deviance of the code / that of gene mean x size factor; 0 is a code that knows
        the size factor alone.
    gene_correlation
        Median over genes of the correlation over cells, on log-normalized values, so that the depth
        of the cells is out. A gene decoded as a constant counts as 0.
    cell_correlation
        Median over cells of the correlation over genes, on log-normalized values. The gene mean
        alone scores high here: compare with it.
    """

    deviance_explained: float
    gene_correlation: float
    cell_correlation: float


def measure_distortion(
    X: sparse.csr_matrix,
    size_factor: np.ndarray,
    rate: np.ndarray,
    decode: Callable[[int, int], np.ndarray],
) -> Distortion:
    """Compare decoded means with the counts, a block of cells at a time.

    Parameters
    ----------
    X
        [cells, genes] Raw counts.
    rate
        [genes] Gene mean per unit of size factor; a tenth of it is the least a code may predict.
    decode
        (start, stop) -> [stop - start, genes] expected counts of these cells.
    """
    n_obs, n_vars = X.shape
    code_deviance = mean_deviance = 0.0
    sums = np.zeros((5, n_vars))
    cell_correlation = np.zeros(n_obs)
    for start in range(0, n_obs, BLOCK_CELLS):
        stop = min(start + BLOCK_CELLS, n_obs)
        block, factor = X[start:stop], size_factor[start:stop]
        expected = np.outer(factor, rate)
        mu = np.maximum(decode(start, stop), FLOOR * expected)
        code_deviance += poisson_deviance(block, mu)
        mean_deviance += poisson_deviance(block, expected)
        x = log_normalize(block, factor).toarray().astype(np.float64)
        y = np.log1p(mu / factor[:, None])
        for total, values in zip(sums, (x, y, x * x, y * y, x * y), strict=True):
            total += values.sum(axis=0)
        of_cells = np.stack([v.sum(axis=1) for v in (x, y, x * x, y * y, x * y)])
        cell_correlation[start:stop] = _correlation(of_cells, n_vars)
    detected = sums[0] > 0
    gene_correlation = _correlation(sums[:, detected], n_obs)
    return Distortion(
        float(1 - code_deviance / mean_deviance) if mean_deviance > 0 else 0.0,
        float(np.median(gene_correlation)) if detected.any() else 0.0,
        float(np.median(cell_correlation)),
    )


def poisson_deviance(block: sparse.csr_matrix, mu: np.ndarray) -> float:
    """Twice the log-likelihood ratio of the counts against their expectation, nats."""
    rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    x = block.data.astype(np.float64)
    seen = x > 0
    expected = mu[rows, block.indices][seen].astype(np.float64)
    ratio = np.sum(x[seen] * np.log(x[seen] / expected))
    return float(2 * (ratio - x.sum() + np.sum(mu, dtype=np.float64)))


def _correlation(sums: np.ndarray, n: int) -> np.ndarray:
    """Pearson's correlation from the sums of x, y, xx, yy, xy; 0 where one side is constant."""
    x, y, xx, yy, xy = sums
    covariance = xy - x * y / n
    x_variance, y_variance = xx - x * x / n, yy - y * y / n
    # Constant to rounding: what is left of the variance is cancellation.
    varies = (x_variance > 1e-9 * xx) & (y_variance > 1e-9 * yy)
    product = np.sqrt(np.where(varies, x_variance * y_variance, 1.0))
    return np.where(varies, covariance / product, 0.0)


def nearest_neighbors(z: np.ndarray, n_neighbors: int) -> np.ndarray:
    """[cells, n_neighbors] Exact Euclidean neighbours of every cell, nearest first, without itself.

    Fewer where there are not as many other cells.
    """
    count = min(n_neighbors, len(z) - 1)
    points = z.astype(np.float64)
    points -= points.mean(axis=0)
    square = np.sum(points**2, axis=1)
    neighbors = np.empty((len(z), count), dtype=np.int64)
    for start in range(0, len(z), BLOCK_CELLS):
        rows = np.arange(start, min(start + BLOCK_CELLS, len(z)))
        # |a - b|^2 less |a|^2, which is the same for all b.
        distance = square - 2 * (points[rows] @ points.T)
        distance[rows - start, rows] = np.inf
        near = np.argpartition(distance, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distance, near, axis=1), axis=1, kind="stable")
        neighbors[rows] = np.take_along_axis(near, order, axis=1)
    return neighbors


def neighbor_recall(neighbors: np.ndarray, reference: np.ndarray) -> float:
    """Mean fraction of a cell's reference neighbours that are found again."""
    n_obs, count = reference.shape
    # One number per (cell, neighbour) pair makes the intersection one call.
    offset = np.arange(n_obs, dtype=np.int64)[:, None] * n_obs
    found = np.isin(reference + offset, neighbors + offset)
    return float(found.sum() / (n_obs * count))


def cluster_neighbors(neighbors: np.ndarray, *, resolution: float = 1.0, seed: int = 0) -> Any:
    """[cells] Leiden clusters of the symmetric graph of neighbours, unit weights."""
    import random

    import igraph

    n_obs, count = neighbors.shape
    pairs = np.stack([np.repeat(np.arange(n_obs), count), neighbors.ravel()], axis=1)
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    igraph.set_random_number_generator(random.Random(seed))
    graph = igraph.Graph(n_obs, pairs.tolist())
    partition = graph.community_leiden(
        objective_function="modularity", resolution=resolution, n_iterations=2
    )
    return np.array(partition.membership)
