"""How well counts are predicted that a sample did not measure, by hiding some that it did."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import xlogy

from scpress.model.baselines import FLOOR
from scpress.model.batches import Cells
from scpress.model.fitted import TrainedModel
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.modelled import ModelledCounts, restrict
from scpress.model.scoring import gene_rates, library_of

# Held-out cells of one set of genes that are scored at most.
_MAX_SCORED = 2000
_BLOCK_CELLS = 512


@dataclass(frozen=True)
class Hidden:
    """Cells with some of what they measured hidden, as if their sample had not measured it.

    Attributes
    ----------
    seen
        [cells] What a predictor is told.
    X
        [cells, n_genes] All that was counted.
    genes
        [n_genes] True for those that are hidden, each of which some of the cells measured.
    mask
        Gives [rows, n_genes] which entries of some cells are hidden, and were measured.
    """

    seen: ModelledCounts
    X: sparse.csr_matrix
    genes: np.ndarray
    mask: Callable[[slice], np.ndarray]


def hide(data: ModelledCounts, rows: np.ndarray) -> Iterator[Hidden]:
    """Hide from cells what each other set of genes lacks, one set after the other.

    Parameters
    ----------
    data
        Counts of which some genes were not measured in all cells.
    rows
        Cells that no predictor was fitted to; at most 2,000 of them are drawn for each set.
    """
    assert data.measured is not None
    genes = data.measured.genes
    for kept in genes:
        of_sets = (genes & ~kept).any(axis=1)
        able = rows[of_sets[data.measured.of_cell[rows]]]
        if not len(able):
            continue
        drawn = np.sort(np.random.default_rng(0).permutation(able)[:_MAX_SCORED])
        part = data.take(drawn)
        assert part.measured is not None
        whole = part.measured

        def mask(at: slice, whole=whole, kept=kept) -> np.ndarray:  # type: ignore[no-untyped-def]
            return np.asarray(whole.mask(at) & ~kept)

        hidden = whole.genes[np.unique(whole.of_cell)].any(axis=0) & ~kept
        yield Hidden(restrict(part, kept), part.X, hidden, mask)


@dataclass(frozen=True)
class Prediction:
    """[rows, n_genes] each: expected counts, and how probably there is a molecule at all."""

    mean: np.ndarray
    presence: np.ndarray


Predict = Callable[[slice], Prediction]


def presence_of(model: TrainedModel, cells: Cells, z: np.ndarray) -> np.ndarray:
    """[cells, n_genes] Probability of at least one molecule, at each cell's library size.

    Of log-values, which have none, that of a Poisson count of the same mean.
    """
    likelihood = LIKELIHOODS[model.config.likelihood]
    absent = -model.mean_counts(cells, z).astype(np.float64)
    if likelihood.has_theta and likelihood.on_counts:
        theta = np.exp(model.log_theta(cells, z).astype(np.float64))
        absent = -theta * np.log1p(-absent / theta)
    absent = np.exp(absent)
    if likelihood.has_pi:
        pi = model.extra_zero_fraction(cells, z).astype(np.float64)
        absent = pi + (1 - pi) * absent
    return np.asarray(1 - absent)


def gene_means(training: ModelledCounts, hidden: Hidden) -> Predict:
    """Every gene at its share of the molecules, and as often present as in all cells."""
    rate = gene_rates(training)
    library = library_of(hidden.seen, "observed", rate)
    detected = np.bincount(training.X.indices, training.X.data > 0, minlength=len(rate))
    presence = detected / np.maximum(training.sums(np.ones(len(training))), 1)

    def predict(rows: slice) -> Prediction:
        mean = np.outer(library[rows], rate / rate.sum())
        return Prediction(mean, np.broadcast_to(presence, mean.shape))

    return predict


def neighbors(training: ModelledCounts, hidden: Hidden, nearest: np.ndarray) -> Predict:
    """What the nearest training cells have, each gene over those in which it was measured.

    Parameters
    ----------
    nearest
        [cells, n_neighbors] Rows of `training`.
    """
    by_all = gene_means(training, hidden)
    shared = shared_genes(training, hidden)
    size = np.asarray(training.X[:, shared].sum(axis=1), dtype=np.float64).ravel()
    own = np.asarray(hidden.seen.X[:, shared].sum(axis=1), dtype=np.float64).ravel()

    def predict(rows: slice) -> Prediction:
        cells = nearest[rows].ravel()
        n_rows, k = nearest[rows].shape
        add = sparse.csr_matrix(
            (np.ones(len(cells)), (np.repeat(np.arange(n_rows), k), np.arange(len(cells))))
        )
        of_cells = training.X[cells]
        measured = np.ones(of_cells.shape, dtype=bool)
        if training.measured is not None:
            measured = training.measured.mask(cells)
        n_measured, of_size = add @ measured, add @ (measured * size[cells][:, None])
        found = np.maximum((add @ of_cells).toarray(), 0)
        general = by_all(rows)
        mean = found / np.maximum(of_size, 1) * np.maximum(own[rows], 1)[:, None]
        mean = np.maximum(np.where(n_measured > 0, mean, general.mean), FLOOR * general.mean)
        present = (add @ (of_cells > 0)).toarray() / np.maximum(n_measured, 1)
        # Genes that no neighbour tells apart are in the order of all cells.
        present = np.where(n_measured > 0, present, general.presence) + 1e-3 * general.presence
        return Prediction(mean, present)

    return predict


def shared_genes(training: ModelledCounts, hidden: Hidden) -> np.ndarray:
    """[genes] True for genes that all training cells and all that is seen of the others have."""
    shared = np.ones(training.X.shape[1], dtype=bool)
    for one in (training, hidden.seen):
        if one.measured is not None:
            shared &= one.measured.genes[np.unique(one.measured.of_cell)].all(axis=0)
    return shared


@dataclass
class Tally:
    """Sums over the hidden entries of cells, for one predictor.

    Attributes
    ----------
    deviance
        [n_genes] Poisson deviance of the counts from the means, nats.
    n_entries
        [n_genes] Entries it is over.
    recall
        Of every cell with a molecule of a hidden gene, the share of such genes that are among the
        k most probable; of k where there are more than k.
    """

    deviance: np.ndarray
    n_entries: np.ndarray
    recall: list[float]

    @classmethod
    def of_genes(cls, n_genes: int) -> "Tally":
        """A tally of nothing yet."""
        return cls(np.zeros(n_genes), np.zeros(n_genes), [])

    def add(self, hidden: Hidden, predict: Predict, k: int) -> None:
        """Count the hidden entries of some cells."""
        for start in range(0, hidden.X.shape[0], _BLOCK_CELLS):
            rows = slice(start, min(start + _BLOCK_CELLS, hidden.X.shape[0]))
            mask, x = hidden.mask(rows), hidden.X[rows].toarray().astype(np.float64)
            found = predict(rows)
            mean = np.maximum(found.mean.astype(np.float64), 1e-9)
            deviance = 2 * (xlogy(x, x / mean) - (x - mean))
            self.deviance += np.where(mask, deviance, 0).sum(axis=0)
            self.n_entries += mask.sum(axis=0)
            self.recall += recall_at(k, np.where(mask, found.presence, -np.inf), (x > 0) & mask)


def recall_at(k: int, score: np.ndarray, is_true: np.ndarray) -> list[float]:
    """Share of the true genes among the k best of each cell [cells, genes] that has some.

    Of k, where a cell has more; of equal scores the first gene is the best.
    """
    best = np.argsort(-score, axis=1, kind="stable")[:, :k]
    hits = np.take_along_axis(is_true, best, axis=1).sum(axis=1)
    n_true = is_true.sum(axis=1)
    some = n_true > 0
    return list((hits[some] / np.minimum(n_true[some], k)).tolist())
