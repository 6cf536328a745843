"""What a model must beat: gene means, PCA of log-normalized counts, PCA of Pearson residuals."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from scpress.counts.components import add_products, first_components, mirror
from scpress.counts.matrix import gene_totals, iter_chunks
from scpress.counts.sizes import log_normalize
from scpress.errors import InputError

# A predicted mean is never lower than this fraction of the gene mean: PCA's clipped zeros would
# make one molecule cost an infinite deviance. Of 0.01, 0.03, 0.1, 0.2 and 0.3 none lets PCA explain
# more deviance on PBMC 3k (within 0.0002, at 2, 10 and 50 components): the rival is at its best.
FLOOR = 0.1
# Inverse dispersion of Pearson residuals, of every gene (Lause et al. 2021).
_PEARSON_THETA = 100.0
# Rows that are dense at a time when a reconstruction is computed.
BLOCK_CELLS = 500


@dataclass(frozen=True)
class GeneMean:
    """Every gene at its mean, scaled by the cell's size factor.

    Attributes
    ----------
    rate
        [genes] Molecules per unit of size factor, float64; the Poisson maximum likelihood.
    """

    rate: np.ndarray

    def decode_counts(self, size_factor: np.ndarray) -> np.ndarray:
        """[cells, genes] Expected counts; call it on a block of cells."""
        return np.outer(size_factor, self.rate)


def fit_gene_mean(X: Any, size_factor: np.ndarray) -> GeneMean:
    """Fit the gene means; X [cells, genes] raw counts as for `counts.iter_chunks`."""
    return GeneMean(gene_totals(X) / np.sum(size_factor))


@dataclass(frozen=True)
class Pca:
    """Principal components of log1p(counts / size_factor), and the way back to counts.

    Attributes
    ----------
    mean
        [genes] Mean log-normalized value, float32.
    components
        [n_components, genes] Orthonormal rows, largest variance first, float32. The entry of a row
        that is largest in absolute value is positive, so the sign does not depend on the library.
    variance
        [n_components] Variance along each component, float32.
    total_variance
        Sum of the variances of all genes.
    rate
        [genes] Gene mean per unit of size factor, float32; the floor of `decode_counts`.
    scale
        [genes] Factor that makes the decoded totals of each gene equal the counted ones, float32:
        the exponential of a mean logarithm is too small.
    """

    mean: np.ndarray
    components: np.ndarray
    variance: np.ndarray
    total_variance: float
    rate: np.ndarray
    scale: np.ndarray

    @property
    def n_components(self) -> int:
        """Number of components."""
        return self.components.shape[0]

    def encode(self, block: sparse.csr_matrix, size_factor: np.ndarray) -> np.ndarray:
        """[cells, n_components] Scores of raw counts, float32."""
        values = log_normalize(block, size_factor)
        scores = values @ self.components.T - self.mean @ self.components.T
        return np.asarray(scores, dtype=np.float32)

    def decode(self, z: np.ndarray) -> np.ndarray:
        """[cells, genes] Log-normalized values, float32; call it on a block of cells."""
        return z @ self.components + self.mean

    def decode_counts(self, z: np.ndarray, size_factor: np.ndarray) -> np.ndarray:
        """[cells, genes] Expected counts, positive for every detected gene; call it on a block."""
        rho = np.maximum(np.expm1(self.decode(z)) * self.scale, FLOOR * self.rate)
        return rho * np.asarray(size_factor)[:, None]


def fit_pca(X: Any, size_factor: np.ndarray, n_components: int) -> Pca:
    """Fit PCA exactly, from the gene-gene Gram matrix summed over blocks of cells.

    Parameters
    ----------
    X
        [cells, genes] raw counts of the genes to model, as for `counts.iter_chunks`. Memory is
        genes x genes float64 whatever the number of cells.
    size_factor
        [cells] library_size over its median.

    Raises
    ------
    InputError
        More components than genes, or than cells less one.
    """
    n_obs, n_vars = X.shape
    most = min(n_vars, n_obs - 1)
    if not 1 <= n_components <= most:
        raise InputError(
            f"PCA with {n_components} dimensions needs as many genes and one cell more; found "
            f"{n_vars} genes and {n_obs} cells. Lower n_latent to at most {max(most, 1)}."
        )
    gram = np.zeros((n_vars, n_vars), order="F")
    total = np.zeros(n_vars)
    for start, stop, block in iter_chunks(X):
        values = log_normalize(block, size_factor[start:stop]).astype(np.float64)
        add_products(gram, values)
        total += np.asarray(values.sum(axis=0)).ravel()
    mirror(gram)
    mean = total / n_obs
    # It becomes the covariance where it is: no second array of genes x genes.
    covariance = gram
    for gene in range(n_vars):
        covariance[gene] -= n_obs * (mean[gene] * mean)
    covariance /= n_obs - 1
    total_variance = float(np.trace(covariance))
    variance, components = first_components(covariance, n_components)
    del gram, covariance
    pca = Pca(
        mean.astype(np.float32),
        components.astype(np.float32),
        np.maximum(variance, 0).astype(np.float32),
        total_variance,
        fit_gene_mean(X, size_factor).rate.astype(np.float32),
        np.ones(n_vars, dtype=np.float32),
    )
    return _with_scale(pca, X, size_factor)


def truncate_pca(pca: Pca, X: Any, size_factor: np.ndarray, n_components: int) -> Pca:
    """Keep the first components of a fit and fit its gene scale anew."""
    shorter = replace(
        pca, components=pca.components[:n_components], variance=pca.variance[:n_components]
    )
    return _with_scale(shorter, X, size_factor)


def _with_scale(pca: Pca, X: Any, size_factor: np.ndarray) -> Pca:
    """Fill `scale` from one more pass over the cells."""
    decoded = np.zeros(pca.mean.shape[0])
    for start, _, block in iter_chunks(X):
        for first, rows in _row_blocks(block):
            factor = size_factor[start + first : start + first + rows.shape[0]]
            rho = np.maximum(np.expm1(pca.decode(pca.encode(rows, factor))), 0)
            decoded += factor @ rho
    counted = pca.rate * np.sum(size_factor)
    # A gene whose decoded total is next to nothing keeps its floor alone.
    scale = np.divide(counted, decoded, out=np.ones_like(decoded), where=decoded > counted * 1e-3)
    return replace(pca, scale=scale.astype(np.float32))


def _row_blocks(block: sparse.csr_matrix) -> Iterator[tuple[int, sparse.csr_matrix]]:
    for first in range(0, block.shape[0], BLOCK_CELLS):
        yield first, block[first : first + BLOCK_CELLS]


@dataclass(frozen=True)
class PearsonPca:
    """Principal components of analytic Pearson residuals, and the way back to counts.

    (x - m) / sqrt(m + m^2 / 100), m = total * rate, within +- sqrt(cells) (Lause et al. 2021).

    Attributes
    ----------
    rate
        [genes] Share of each gene in the molecules of the training cells.
    mean
        [genes] Mean residual.
    components
        [n_components, genes] Orthonormal rows, largest variance first.
    clip
        Largest residual.
    """

    rate: np.ndarray
    mean: np.ndarray
    components: np.ndarray
    clip: float

    def decode_counts(self, block: sparse.csr_matrix) -> np.ndarray:
        """[cells, genes] Expected counts of cells, from their own residuals; call it on a block."""
        expected, deviation, residual = self.residuals(block)
        found = (residual - self.mean) @ self.components.T @ self.components + self.mean
        return np.maximum(expected + found * deviation, FLOOR * expected)

    def residuals(self, block: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """([cells, genes] expected counts by the gene means, their deviation, residuals)."""
        total = np.maximum(np.asarray(block.sum(axis=1), dtype=np.float64), 1)
        expected = total * self.rate
        deviation = np.sqrt(expected + expected**2 / _PEARSON_THETA)
        residual = (block.toarray() - expected) / deviation
        return expected, deviation, np.clip(residual, -self.clip, self.clip)

    def truncated(self, n_components: int) -> "PearsonPca":
        """The first components."""
        return replace(self, components=self.components[:n_components])


def fit_pearson_pca(X: sparse.csr_matrix, n_components: int) -> PearsonPca:
    """Fit it exactly, from the gene-gene Gram matrix summed over blocks of cells X [cells, genes].

    Residuals are dense, a block at a time; memory is genes x genes float64.
    """
    n_obs, n_vars = X.shape
    share = np.maximum(gene_totals(X), 0.5)
    none = np.zeros((0, n_vars))
    fitted = PearsonPca(share / share.sum(), none[:0], none, float(np.sqrt(n_obs)))
    gram, total = np.zeros((n_vars, n_vars), order="F"), np.zeros(n_vars)
    for _, rows in _row_blocks(X):
        residual = fitted.residuals(rows)[2]
        add_products(gram, residual)
        total += residual.sum(axis=0)
    mirror(gram)
    mean = total / n_obs
    covariance = gram / n_obs - np.outer(mean, mean)
    return replace(fitted, mean=mean, components=first_components(covariance, n_components)[1])
