"""How the molecules of each cell are divided into two independent halves."""

import numpy as np
from scipy import sparse

from scpress.counts.matrix import sums_of_squares

# Above this inverse dispersion a negative binomial is a Poisson to float precision, and the
# fraction p below is the stated one.
_MAX_THETA = 1e8
# Values that are divided at a time; the random numbers depend on it.
_VALUES_AT_A_TIME = 2**22


def estimate_theta(counts: sparse.csr_matrix, size_factor: np.ndarray) -> np.ndarray:
    """[genes] Inverse dispersion by moments, given the size factors; huge for a Poisson gene.

    With x of mean s m and variance s m + s^2 m^2 / theta, the sum over cells of
    (x - s m)^2 - s m has the expectation m^2 sum(s^2) / theta.
    """
    total = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
    mean = total / size_factor.sum()
    sum_squares = (size_factor**2).sum()
    weighted = np.asarray(counts.T @ size_factor).ravel()
    residual = sums_of_squares(counts) - 2 * mean * weighted
    residual += mean**2 * sum_squares
    excess = residual - total
    signal = mean**2 * sum_squares
    theta = np.full(counts.shape[1], _MAX_THETA)
    over = excess * _MAX_THETA > signal
    theta[over] = np.maximum(signal[over] / excess[over], 1e-3)
    return theta


def split_counts(
    counts: sparse.csr_matrix,
    theta: np.ndarray,
    *,
    fraction: float = 0.5,
    rng: np.random.Generator,
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Divide every count into two folds that are independent if the counts are NB with this theta.

    p ~ Beta(fraction theta, (1 - fraction) theta) and x_first ~ Binomial(x, p), for each stored
    value. A plain binomial (p = fraction) would leave overdispersed folds correlated. Neufeld et
    al. 2024.

    Parameters
    ----------
    counts
        [cells, genes] Molecules.
    theta
        [genes] Inverse dispersion.
    fraction
        Expected part of the molecules in the first fold.

    Returns
    -------
    [cells, genes] twice; their sum is `counts`.
    """
    first, second = counts.copy(), counts.copy()
    for start in range(0, counts.nnz, _VALUES_AT_A_TIME):
        part = slice(start, min(start + _VALUES_AT_A_TIME, counts.nnz))
        per_value = theta[counts.indices[part]]
        p = rng.beta(fraction * per_value, (1 - fraction) * per_value)
        first.data[part] = rng.binomial(counts.data[part], p)
        second.data[part] -= first.data[part]
    first.eliminate_zeros()
    second.eliminate_zeros()
    return first, second
