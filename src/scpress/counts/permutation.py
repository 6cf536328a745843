"""Counts without structure: each gene's counts dealt to other cells, by their depth alone."""

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from scpress.counts.thinning import estimate_theta

# Of a larger inverse dispersion a draw differs from a Poisson one by nothing.
_POISSON_THETA = 1e6


def depth_strata(size_factor: np.ndarray, group: np.ndarray, n_strata: int) -> np.ndarray:
    """[cells] Number of the stratum: cells of one group, divided into so many parts by depth.

    Parameters
    ----------
    group
        [cells] Sample or batch, 0 to n - 1.
    """
    order = np.lexsort((size_factor, group))
    size = np.bincount(group)
    place = np.arange(len(group)) - np.repeat(np.cumsum(size) - size, size)
    part = np.empty(len(group), dtype=np.int64)
    part[order] = place * n_strata // np.repeat(size, size)
    return np.unique(group * n_strata + part, return_inverse=True)[1]


def permute_counts(
    X: sparse.csr_matrix,
    size_factor: np.ndarray,
    stratum: np.ndarray,
    *,
    rng: np.random.Generator,
) -> sparse.csr_matrix:
    """Deal the counts of each gene anew to the cells of each stratum.

    Every gene keeps its counts in every stratum, zeros too: total, variance, dropouts. Every cell
    draws from the gene's negative binomial at its depth, and the largest count goes to the cell of
    the largest draw: so deep cells are deep again, and nothing else that a gene did in a cell says
    what another gene does there. Dealt by lot alone, all cells of a stratum would become of one
    depth; in strata so narrow that it does not matter, types of unlike depth would stay apart.

    Parameters
    ----------
    X
        [cells, genes] Molecules.
    size_factor
        [cells] Linear.
    stratum
        [cells] 0 to n - 1.

    Returns
    -------
    [cells, genes] CSR of the same type.
    """
    rows, columns, values = (
        np.concatenate(part)
        for part in zip(*_dealt(sparse.csr_matrix(X), size_factor, stratum, rng), strict=True)
    )
    dealt = sparse.csr_matrix((values, (rows, columns)), shape=X.shape, dtype=X.dtype)
    dealt.sort_indices()
    return dealt


def _dealt(
    X: sparse.csr_matrix, size_factor: np.ndarray, stratum: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows, columns and values of each gene in each stratum."""
    for number in range(int(stratum.max()) + 1):
        cells = np.flatnonzero(stratum == number)
        depth, part = size_factor[cells], X[cells]
        theta = estimate_theta(part, depth)
        of_genes = part.tocsc()
        of_genes.eliminate_zeros()
        for gene in range(X.shape[1]):
            counts = of_genes.data[of_genes.indptr[gene] : of_genes.indptr[gene + 1]]
            expected = depth * (counts.sum() / depth.sum())
            if theta[gene] < _POISSON_THETA:
                expected = expected * rng.gamma(theta[gene], 1 / theta[gene], size=len(cells))
            # Equal draws are told apart by lot.
            draw = rng.poisson(expected) + rng.random(len(cells))
            dealt = np.zeros(len(cells), dtype=counts.dtype)
            dealt[np.argsort(-draw)[: len(counts)]] = np.sort(counts)[::-1]
            _loosen(dealt, depth, rng)
            kept = np.flatnonzero(dealt)
            yield cells[kept], np.full(len(kept), gene), dealt[kept]


def _loosen(dealt: np.ndarray, depth: np.ndarray, rng: np.random.Generator) -> None:
    """Deal the counts of some cells by lot, so that counts grow in proportion to depth.

    A gene of deep cells alone has many large counts, which go to the deep cells again, and more of
    them than is due to depth. That a gene of shallow cells has too few for its deep ones cannot be
    put right, as it keeps its counts.
    """
    rate = dealt.sum() / depth.sum()
    beyond = depth - depth.mean()
    due, found = rate * (beyond @ depth), beyond @ dealt
    # Not what is chance: loosened where it is above alone, all genes would grow too slowly.
    if found > due + 2 * np.sqrt(rate * (beyond**2 @ depth)):
        some = np.flatnonzero(rng.random(len(depth)) < 1 - due / found)
        dealt[some] = rng.permutation(dealt[some])
