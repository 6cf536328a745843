"""How well means that were learned from a part of the molecules predict the others."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import gammaln

from scpress.counts.matrix import gene_totals
from scpress.counts.measured import Measured
from scpress.model.fitted import TrainedModel
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.modelled import ModelledCounts
from scpress.tables.scores import N_BLOCKS, N_LEVELS, FoldScore

# Cells that are scored at most, drawn at random and the same for everything that is compared.
_MAX_SCORED = 20_000
# Entries of cells x genes that are dense at a time.
_DENSE_ENTRIES = 2**20
# No mean is below so many molecules in all training cells: one of a gene that is said to be
# nowhere would cost everything.
_FLOOR_MOLECULES = 0.05
# Open Problems' denoising task compares log1p of counts at so many molecules per cell.
_LOG_TARGET = 1e4

Predict = Callable[[slice], np.ndarray]


@dataclass(frozen=True)
class HeldOutFold:
    """The molecules of one fold, and those that a predictor is fitted to and told of.

    Attributes
    ----------
    training
        [cells] All molecules but those of the fold, of all cells.
    library_size
        [cells] Their number over all genes.
    scored
        [scored cells] Rows of the cells that are scored.
    molecules
        [scored cells, genes] The fold.
    ratio
        Expected molecules of the fold for one of training.
    theta
        [genes] Inverse dispersion of the fold's counts.
    level
        [genes] Level of expression, 0 is the lowest.
    block
        [scored cells] The block whose mean a cell's loss goes into.
    """

    training: ModelledCounts
    library_size: np.ndarray
    scored: np.ndarray
    molecules: sparse.csr_matrix
    ratio: float
    theta: np.ndarray
    level: np.ndarray
    block: np.ndarray

    def mask(self, rows: slice) -> np.ndarray | None:
        """[rows, genes] Whether some of the scored cells were measured; None where all were."""
        measured = self.training.measured
        return None if measured is None else measured.mask(self.scored[rows])

    def entries(self) -> np.ndarray:
        """[levels] Entries of the scored cells that were measured, by level of expression."""
        measured = self.training.measured
        if measured is None:
            return np.asarray(len(self.scored) * np.bincount(self.level))
        of_gene = measured.take(self.scored).sums(np.ones(len(self.scored)))
        return np.bincount(self.level, of_gene)

    @property
    def seen(self) -> ModelledCounts:
        """[scored cells] What a predictor is told of the cells that are scored."""
        return self.training.take(self.scored)


def hold_out(
    X: sparse.csr_matrix,
    molecules: sparse.csr_matrix,
    library_size: np.ndarray,
    *,
    fraction: float,
    theta: np.ndarray,
    measured: Measured | None = None,
) -> HeldOutFold:
    """Take a fold of the molecules away from all cells.

    Parameters
    ----------
    X
        [cells, genes] All molecules.
    molecules
        [cells, genes] Those of the fold.
    library_size
        [cells] What is left over all genes, the ones that are not modelled too.
    fraction
        Expected part of the molecules in the fold.
    theta
        [genes] Inverse dispersion of all molecules; that of a fold is its fraction of it.
    measured
        Which of the genes were measured in which cells; None where all were in all.
    """
    left = (X - molecules).tocsr()
    left.eliminate_zeros()
    n_obs, n_genes = X.shape
    scored = np.sort(np.random.default_rng(0).permutation(n_obs)[:_MAX_SCORED])
    ranks = np.argsort(np.argsort(gene_totals(X), kind="stable"), kind="stable")
    at_least_one = np.maximum(library_size, 1)
    return HeldOutFold(
        ModelledCounts(left, at_least_one / np.median(at_least_one), measured=measured),
        library_size,
        scored,
        molecules[scored],
        fraction / (1 - fraction),
        theta * fraction,
        ranks * min(N_LEVELS, n_genes) // n_genes,
        np.random.default_rng(1).permutation(len(scored)) % min(N_BLOCKS, len(scored)),
    )


def score_means(fold: HeldOutFold, predict: Predict) -> FoldScore:
    """Score expected counts against the molecules of a fold.

    The Poisson loss is mu - x log mu, the negative binomial's (theta + x) log(1 + mu / theta)
    - x log mu, which becomes it as theta grows; what does not depend on mu is left out. The former
    over cells and genes is Open Problems' denoising score with its arguments in their order
    (Luecken et al. 2025; there the means and the counts have changed places), log_mse is its other.
    What was not measured is in none of them.

    Parameters
    ----------
    predict
        Gives [rows, genes] the expected molecules of training of some of the scored cells.
    """
    n_scored, n_genes = fold.molecules.shape
    poisson, nb = np.zeros(n_scored), np.zeros(n_scored)
    by_gene, zeros, error, variance = (np.zeros(n_genes) for _ in range(4))
    log_error = 0.0
    floor = _FLOOR_MOLECULES / len(fold.training)
    for rows in _row_blocks(n_scored, n_genes):
        mu = np.maximum(predict(rows).astype(np.float64), floor) * fold.ratio
        x = fold.molecules[rows].toarray().astype(np.float64)
        of_x = x * np.log(mu)
        mask = fold.mask(rows)
        if mask is not None:
            mu *= mask
        loss = mu - of_x
        log_ratio = np.log1p(mu / fold.theta)
        poisson[rows] = loss.sum(axis=1)
        nb[rows] = ((fold.theta + x) * log_ratio - of_x).sum(axis=1)
        by_gene += loss.sum(axis=0)
        is_zero = np.exp(-fold.theta * log_ratio)
        zeros += (is_zero if mask is None else is_zero * mask).sum(axis=0)
        error += ((x - mu) ** 2).sum(axis=0)
        variance += (mu + mu**2 / fold.theta).sum(axis=0)
        log_error += ((_log_scaled(x) - _log_scaled(mu)) ** 2).sum()
    entries = fold.entries()
    return FoldScore(
        poisson=_block_means(poisson, fold.block),
        nb=_block_means(nb, fold.block),
        log_mse=float(log_error / entries.sum()),
        poisson_by_level=_by_level(by_gene / n_scored, fold.level),
        expected_zeros=tuple((np.bincount(fold.level, zeros) / entries).tolist()),
        dispersion=tuple(
            (np.bincount(fold.level, error) / np.bincount(fold.level, variance)).tolist()
        ),
    )


def predictive_losses(model: TrainedModel, fold: HeldOutFold, seen: ModelledCounts) -> np.ndarray:
    """[blocks, genes] Mean -log p(x | molecules of training) of the fold's counts, nats per cell.

    By the model's own distribution, of which a fold has e / (1 - e) of the mean and of theta. A
    gene with molecules in training has no extra zero in the fold; of one without, the fold is an
    extra zero, too, with the probability that its zero in training is one.

    Parameters
    ----------
    seen
        [scored cells] What the model reads of the molecules of training.
    """
    n_scored, n_genes = fold.molecules.shape
    likelihood = LIKELIHOODS[model.config.likelihood]
    sums = np.zeros((fold.block.max() + 1, n_genes))
    for rows in _row_blocks(n_scored, n_genes):
        part = seen.take(rows)
        cells = part.cells_of(model)
        z = model.encode(cells)[0]
        mu = model.mean_counts(cells, z).astype(np.float64)
        x = fold.molecules[rows].toarray().astype(np.float64)
        log_p = x * np.log(mu * fold.ratio) - gammaln(x + 1)
        if likelihood.has_theta:
            theta = np.exp(model.log_theta(cells, z).astype(np.float64))
            log_ratio = np.log1p(mu / theta)
            of_fold = theta * fold.ratio
            log_p += gammaln(x + of_fold) - gammaln(of_fold) - x * np.log(of_fold)
            log_p -= (x + of_fold) * log_ratio
        else:
            log_p -= mu * fold.ratio
        if likelihood.has_pi:
            pi = model.extra_zero_fraction(cells, z).astype(np.float64)
            zero = np.exp(-theta * log_ratio)
            is_extra = np.where(part.X.toarray() > 0, 0.0, pi / (pi + (1 - pi) * zero))
            log_p = np.logaddexp(
                np.log1p(-np.minimum(is_extra, 1 - 1e-12)) + log_p,
                np.log(np.maximum(np.where(x > 0, 0.0, is_extra), 1e-300)),
            )
        mask = fold.mask(rows)
        np.add.at(sums, fold.block[rows], -log_p if mask is None else np.where(mask, -log_p, 0))
    return sums / np.bincount(fold.block)[:, None]


@dataclass(frozen=True)
class FoldSummary:
    """What there is in a fold: cells, molecules, and by level the share of zeros and the mean."""

    n_cells: int
    n_molecules: int
    zeros: tuple[float, ...]
    means: tuple[float, ...]


def summarize_fold(fold: HeldOutFold) -> FoldSummary:
    """Count the molecules of a fold in the cells that are scored."""
    n_scored = fold.molecules.shape[0]
    entries = fold.entries()
    detected = np.bincount(fold.molecules.indices, minlength=len(fold.level))
    totals = gene_totals(fold.molecules)
    return FoldSummary(
        n_scored,
        int(totals.sum()),
        tuple((1 - np.bincount(fold.level, detected) / entries).tolist()),
        tuple((np.bincount(fold.level, totals) / entries).tolist()),
    )


def _row_blocks(n_obs: int, n_vars: int) -> Iterator[slice]:
    at_a_time = max(1, _DENSE_ENTRIES // n_vars)
    for start in range(0, n_obs, at_a_time):
        yield slice(start, min(start + at_a_time, n_obs))


def _log_scaled(values: np.ndarray) -> np.ndarray:
    total = np.maximum(values.sum(axis=1, keepdims=True), 1e-12)
    return np.log1p(values * (_LOG_TARGET / total))


def _block_means(values: np.ndarray, block: np.ndarray) -> tuple[float, ...]:
    return tuple((np.bincount(block, values) / np.bincount(block)).tolist())


def _by_level(values: np.ndarray, level: np.ndarray) -> tuple[float, ...]:
    return tuple(np.bincount(level, values).tolist())
