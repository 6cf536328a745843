"""Whether what one seed's latent shows is in the latents of the other seeds, too."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import sparse

from scpress.cells.stability import adjusted_rand_index, match_clusters
from scpress.cells.subtypes import (
    center_samples,
    cluster_by_means,
    cluster_centers,
    nearest_center,
)

# Agreement (ARI of the subtype against the other cells of its group) from which a seed's latent has
# a subtype. By chance it is 0, whatever the subtype's size.
FOUND = 0.5
# A latent is cut into as many clusters as there are subtypes, and finer: what it varies by most
# need not be what sets the subtypes apart.
_FINER = (1, 2, 4)


def neighbor_agreement(graphs: Sequence[sparse.csr_matrix]) -> tuple[np.ndarray, float]:
    """How much a cell's nearest neighbours are the same in the latents of two seeds.

    Parameters
    ----------
    graphs
        [cells, cells] for each seed: an entry for each neighbour, also one at a distance of 0.

    Returns
    -------
    agreement, chance
        [cells] Mean Jaccard index over the pairs of seeds; and that of neighbours drawn at random.
    """
    near = [_neighbors_of(graph) for graph in graphs]
    n_obs = near[0].shape[0]
    count = [np.diff(one.indptr).astype(np.float64) for one in near]
    agreement, chance = np.zeros(n_obs), 0.0
    pairs = list(combinations(range(len(near)), 2))
    for first, second in pairs:
        both = np.asarray(near[first].multiply(near[second]).sum(axis=1)).ravel()
        agreement += both / np.maximum(count[first] + count[second] - both, 1)
        expected = count[first] * count[second] / max(n_obs - 1, 1)
        chance += float(np.mean(expected / np.maximum(count[first] + count[second] - expected, 1)))
    return agreement / len(pairs), chance / len(pairs)


def _neighbors_of(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    """[cells, cells] One for each neighbour; a cell is none of its own."""
    rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    other = graph.indices != rows
    ones = np.ones(int(other.sum()), dtype=np.float32)
    return sparse.csr_matrix((ones, (rows[other], graph.indices[other])), shape=graph.shape)


@dataclass(frozen=True)
class Confirmation:
    """What the latents of some seeds say of the subtypes of one group."""

    agreement: np.ndarray
    """[seeds, subtypes] ARI of each subtype, against the group's other cells."""
    confidence: np.ndarray
    """[cells] Share of the seeds that have the cell's subtype and the cell in it."""

    @property
    def n_found(self) -> np.ndarray:
        """[subtypes] Seeds whose latent has it."""
        return (self.agreement >= FOUND).sum(axis=0)


def confirm_subtypes(
    labels: np.ndarray,
    latents: Sequence[np.ndarray],
    sample: np.ndarray,
    *,
    max_cells: int,
    rng: np.random.Generator,
) -> Confirmation:
    """Cluster one group of cells in the latent of each seed, and look for its subtypes there.

    Parameters
    ----------
    labels
        [cells] Subtype, 0 to n - 1.
    latents
        [cells, n_latent] for each seed.
    sample
        [cells] As for `find_subtypes`.
    max_cells
        Cells on which clusters are made; the others go to the nearest centre.
    """
    n_subtypes = int(labels.max()) + 1
    agreement = np.zeros((len(latents), n_subtypes))
    confidence = np.zeros(len(labels))
    drawn = rng.permutation(len(labels))[:max_cells]
    for latent, of_seed in zip(latents, agreement, strict=True):
        points = latent.astype(np.float64)
        center_samples(points, sample, fit=np.ones(len(points), dtype=bool))
        found_again = np.zeros(len(labels), dtype=bool)
        for finer in _FINER:
            k = min(finer * n_subtypes, len(drawn))
            proposed = cluster_by_means(points[drawn], k, rng=rng)
            cells = nearest_center(points, cluster_centers(points[drawn], proposed, k))
            found = match_clusters(labels, cells)
            for one in range(n_subtypes):
                value = adjusted_rand_index(labels == one, found == one)
                if value > of_seed[one]:
                    of_seed[one] = value
                    own = labels == one
                    found_again[own] = found[own] == one
        confidence += found_again & (of_seed >= FOUND)[labels]
    return Confirmation(agreement, confidence / len(latents))


def match_programs(own: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Look for the programs of one seed among those of another.

    Dimensions are free to turn and to change places and signs from seed to seed: a program that has
    no match of its own may still lie in what the others span together.

    Parameters
    ----------
    own, others
        [programs, genes] Changes of the same genes in two seeds; at least 2 genes.

    Returns
    -------
    [programs] Correlation with the best match, without its sign; 0 where nothing changes.
    [programs] Share of the variance over genes that the others explain together, by least squares.
    """
    own, others = (one - one.mean(axis=1, keepdims=True) for one in (own, others))
    length, other_length = (np.linalg.norm(one, axis=1) for one in (own, others))
    correlation = np.abs(own @ others.T) / np.maximum(np.outer(length, other_length), 1e-12)
    weights = np.linalg.lstsq(others.T, own.T, rcond=None)[0]
    left = np.linalg.norm(own.T - others.T @ weights, axis=0)
    spanned = 1 - (left / np.maximum(length, 1e-12)) ** 2
    return np.minimum(correlation.max(axis=1), 1), np.where(length > 0, np.clip(spanned, 0, 1), 0)
