"""Which genes vary more than chance, measured over counts that are read block by block."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse, special

from scpress.counts.matrix import iter_chunks

# Overdispersion of the null model of Pearson residuals, as in scanpy and Lause et al. 2021.
_THETA = 100.0
# Fewer genes than this that vary leave nothing to fit a trend of variance over mean to.
_MIN_GENES_LOESS = 20
# Values of a tile of residuals computed at a time.
_TILE = 2**21


@dataclass
class GeneMoments:
    """Per batch: [batches] cells, [batches, genes] sum and sum of squares of the counts."""

    n_obs: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    def mean_and_variance(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """[genes] Mean and unbiased variance of the counts in one batch."""
        return _mean_and_variance(self.n_obs[batch], self.total[batch], self.squares[batch])

    def pooled(self, n_obs: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """[genes] Mean and unbiased variance over the cells of all batches.

        Parameters
        ----------
        n_obs
            [genes] Cells in which each gene was measured; all when not given.
        """
        of_genes = self.n_obs.sum() if n_obs is None else np.maximum(n_obs, 1)
        return _mean_and_variance(of_genes, self.total.sum(0), self.squares.sum(0))


def _mean_and_variance(
    n_obs: int | np.ndarray, total: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    mean = total / n_obs
    variance = (squares - total * mean) / np.maximum(n_obs - 1, 1)
    # total and squares are whole numbers and exact; a constant gene may still round off zero.
    variance[squares * n_obs == total * total] = 0.0
    return mean, np.maximum(variance, 0.0)


def measure_moments(X: Any, batches: np.ndarray, n_batches: int) -> GeneMoments:
    """Add up the counts and their squares, per batch and gene.

    Parameters
    ----------
    X
        [cells, genes] Counts, as for `counts.iter_chunks`.
    batches
        [cells] Number of each cell's batch; -1 leaves the cell out.
    """
    total = np.zeros((n_batches, X.shape[1]))
    squares = np.zeros_like(total)
    for start, stop, block in iter_chunks(X):
        present, member = _membership(batches[start:stop])
        values = block.astype(np.float64)
        total[present] += (member @ values).toarray()
        values.data **= 2
        squares[present] += (member @ values).toarray()
    return GeneMoments(np.bincount(batches[batches >= 0], minlength=n_batches), total, squares)


def _membership(batches: np.ndarray) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Batches of a block, and [batches of the block, cells] one where the cell is of the batch."""
    cells = np.flatnonzero(batches >= 0)
    present, number = np.unique(batches[cells], return_inverse=True)
    shape = (len(present), len(batches))
    return present, sparse.csr_matrix((np.ones(len(cells)), (number, cells)), shape=shape)


def fit_deviation(mean: np.ndarray, variance: np.ndarray, *, span: float = 0.3) -> np.ndarray:
    """[genes] Standard deviation expected at each mean: loess of log10 variance over log10 mean.

    Raises
    ------
    ValueError
        The fit is not possible: few genes, or many of the same mean.
    """
    from skmisc.loess import loess

    varies = variance > 0
    if varies.sum() < _MIN_GENES_LOESS:
        raise ValueError(f"only {int(varies.sum())} genes vary")
    model = loess(np.log10(mean[varies]), np.log10(variance[varies]), span=span, degree=2)
    model.fit()
    fitted = np.zeros(len(mean))
    fitted[varies] = model.outputs.fitted_values
    if not np.isfinite(fitted).all():
        raise ValueError("the fit is not finite")
    return np.sqrt(10**fitted)


def clipped_variances(
    X: Any, batches: np.ndarray, moments: GeneMoments, deviations: np.ndarray
) -> np.ndarray:
    """[batches, genes] Variance of the standardized counts, clipped at sqrt(cells) (seurat_v3).

    Parameters
    ----------
    X, batches
        As for `measure_moments`.
    deviations
        [batches, genes] Expected standard deviation, from `fit_deviation`.

    Notes
    -----
    Stuart et al. 2019, as scanpy computes it: with c = min(x, mean + deviation sqrt(n)),
    sum((c - mean)^2) = n mean^2 + sum(c^2) - 2 mean sum(c), so that zeros cost nothing.
    """
    n_batches, n_vars = deviations.shape
    means = moments.total / moments.n_obs[:, None]
    limits = means + deviations * np.sqrt(moments.n_obs)[:, None]
    total = np.zeros((n_batches, n_vars))
    squares = np.zeros_like(total)
    for start, stop, block in iter_chunks(X):
        present, member = _membership(batches[start:stop])
        values = block.astype(np.float64)
        rows = np.repeat(batches[start:stop], np.diff(values.indptr))
        values.data = np.minimum(values.data, limits[rows, values.indices])
        total[present] += (member @ values).toarray()
        values.data **= 2
        squares[present] += (member @ values).toarray()
    n_obs = moments.n_obs[:, None]
    spread = n_obs * means**2 + squares - 2 * means * total
    return spread / ((n_obs - 1) * deviations**2)


def residual_variances(X: Any, batches: np.ndarray, moments: GeneMoments) -> np.ndarray:
    """[batches, genes] Variance of Pearson residuals, clipped at sqrt(cells of the batch).

    The null model is a negative binomial of mean (gene total x cell total / grand total) in each
    batch and theta 100 (Lause et al. 2021). Unlike scanpy, which clips every batch at the square
    root of the first one's cells, each batch is clipped at its own. Zeros count here, so this
    computes cells x genes values, tile by tile.
    """
    n_batches, n_vars = moments.total.shape
    share = moments.total / np.maximum(moments.total.sum(axis=1, keepdims=True), 1)
    total = np.zeros((n_batches, n_vars))
    squares = np.zeros_like(total)
    rows = max(1, _TILE // n_vars)
    for start, stop, block in iter_chunks(X):
        inside = batches[start:stop]
        sizes = np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()
        for batch in np.unique(inside[inside >= 0]):
            cells = np.flatnonzero(inside == batch)
            limit = np.sqrt(moments.n_obs[batch])
            for first in range(0, len(cells), rows):
                tile = cells[first : first + rows]
                mu = np.outer(sizes[tile], share[batch])
                residual = block[tile].toarray() - mu
                deviation = np.sqrt(mu + mu**2 / _THETA)
                np.divide(residual, deviation, out=residual, where=deviation > 0)
                np.clip(residual, -limit, limit, out=residual)
                total[batch] += residual.sum(axis=0)
                squares[batch] += np.einsum("ij,ij->j", residual, residual)
    mean = total / moments.n_obs[:, None]
    return np.where(moments.total > 0, squares / moments.n_obs[:, None] - mean**2, 0.0)


def binomial_deviances(X: Any, batches: np.ndarray, moments: GeneMoments) -> np.ndarray:
    """[batches, genes] Deviance of the counts from a gene that is the same part of every cell.

    Townes et al. 2019: with n the molecules of a cell and p the gene's part of all molecules of
    the batch, twice the sum over cells of x log(x / np) + (n - x) log((n - x) / (n - np)), nats.
    Taken apart, the logarithms of p meet sums over all cells, and those of x / n are nothing where
    x is: only the nonzeros are visited.
    """
    deviance = np.zeros_like(moments.total)
    for start, stop, block in iter_chunks(X):
        present, member = _membership(batches[start:stop])
        values = block.astype(np.float64)
        sizes = np.repeat(np.asarray(values.sum(axis=1)).ravel(), np.diff(values.indptr))
        x, part = values.data, values.data / sizes
        values.data = special.xlogy(x, part) + special.xlog1py(sizes - x, -part)
        deviance[present] += (member @ values).toarray()
    total = moments.total
    everything = total.sum(axis=1, keepdims=True)
    part = total / np.maximum(everything, 1)
    deviance -= special.xlogy(total, part) + special.xlog1py(everything - total, -part)
    # Sums that cancel leave a gene without any deviance a little below nothing.
    return np.maximum(2 * deviance, 0.0)


def rank_genes(
    scores: np.ndarray, n_top: int, *, votes_first: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Combine the scores of the batches into one choice of genes.

    Parameters
    ----------
    scores
        [batches, genes] Higher is more variable; NaN where a gene was not measured. Ranks in a
        batch are stretched from the genes that it measured to all, and votes are compared as parts
        of the batches that measured a gene.
    votes_first
        Whether the number of batches that choose a gene goes before its median rank in them
        (all but seurat_v3), or only breaks ties (seurat_v3).

    Returns
    -------
    chosen, rank, votes
        [genes] Whether the gene is among the `n_top`; its median rank over the batches that
        choose it, NaN if none; the number of those.
    """
    # argsort of argsort is the rank; stable, so that ties keep the order of the genes.
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = np.argsort(order, axis=1).astype(np.float64)
    is_measured = ~np.isnan(scores)
    ranks *= scores.shape[1] / np.maximum(is_measured.sum(axis=1, keepdims=True), 1)
    ranks[(ranks >= n_top) | ~is_measured] = np.nan
    votes = np.isfinite(ranks).sum(axis=0)
    rank = np.full(scores.shape[1], np.nan)
    some = votes > 0
    rank[some] = np.nanmedian(ranks[:, some], axis=0)
    by_rank = np.where(some, rank, np.inf)
    share = votes / np.maximum(is_measured.sum(axis=0), 1)
    keys = (by_rank, -share) if votes_first else (-share, by_rank)
    chosen = np.zeros(scores.shape[1], dtype=bool)
    chosen[np.lexsort(keys)[:n_top]] = True
    return chosen, rank, votes
