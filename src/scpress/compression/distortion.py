"""How much of the counts a decoded code keeps."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scpress.counts.sizes import log_normalize
from scpress.model.baselines import BLOCK_CELLS, FLOOR


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
