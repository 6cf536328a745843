"""What more cells would bring: one model trained on parts of them, scored on the same molecules."""

import logging
from collections.abc import Callable
from dataclasses import replace

import anndata as ad
import numpy as np

from scpress.config.options import LearningCurveOptions, TrainOptions
from scpress.counts.measured import require_all_measured
from scpress.errors import InputError
from scpress.model.molecules import HeldOutFold, score_means
from scpress.steps.baselines import predict_gene_means
from scpress.steps.choose import paired_error
from scpress.steps.score import held_out_folds, means_of, without_fold
from scpress.steps.train import train
from scpress.tables.learning_curve import CurvePoint, LearningCurve, Outlook
from scpress.tables.scores import N_BLOCKS
from scpress.training.checkpoints import Checkpoint

log = logging.getLogger("scpress")

# On fewer cells a network is another thing, and a law has no curve through fewer sizes.
MIN_CELLS, MIN_SIZES = 200, 3
_EXPONENTS = np.linspace(0, 1, 21)
# Curves that are drawn for the interval, and the part of them outside on each side.
_N_DRAWS, _TAIL = 4000, 0.05


def learning_curve(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    folds: ad.AnnData,
    options: TrainOptions,
    curve: LearningCurveOptions,
    *,
    name: str,
    seed: int,
    device: str = "auto",
    checkpoint: Callable[[], Checkpoint | None] = lambda: None,
) -> LearningCurve:
    """Train a model on nested random parts of the cells, without each fold of the molecules.

    Scored is the fold in the cells that are in every part, as all of a run's cells are in its
    training: cells that are in none would ask how well a model takes in new ones, and may be of a
    batch that the smaller parts have not. The largest part is all cells. Each fold and repeat draws
    other parts and has another seed. Arguments as for `steps.score.score`.

    Raises
    ------
    InputError
        No halvings, one training for each size, folds of other cells or genes; as `train`.
    """
    require_all_measured(counts, "learning-curve")
    if curve.halvings < MIN_SIZES - 1:
        raise InputError(
            f"halvings is {curve.halvings}, which is no curve; set halvings to {MIN_SIZES - 1} or "
            "more."
        )
    sizes = curve_sizes(counts.n_obs, curve.halvings)
    found = LearningCurve(
        model=name,
        seed=seed,
        n_cells=counts.n_obs,
        n_folds=folds.n_obs // counts.n_obs,
        repeats=curve.repeats,
        n_scored=0,
        points=(),
    )
    if len(sizes) < MIN_SIZES:
        log.info("%d cells are too few for a curve of %d sizes", counts.n_obs, MIN_SIZES)
        return found
    if found.n_folds * curve.repeats < 2:
        raise InputError("one training for each size has no error; raise repeats, or thin's folds.")
    # A fit that fails on few cells is a point of the curve.
    options = replace(options, allow_failed_fit=True)
    losses: list[list[tuple[float, ...]]] = []
    gene_means: list[tuple[float, ...]] = []
    for number, fold in enumerate(held_out_folds(counts, normalized, folds), start=1):
        left = without_fold(counts, fold, folds.var_names)
        n_scored = min(sizes[0], len(fold.scored))
        for repeat in range(curve.repeats):
            order = _order_cells(fold, np.random.default_rng([seed, number, repeat]))
            scored = np.sort(order[:n_scored])
            of_run = []
            for size in sizes:
                rows = np.sort(order[:size])
                part = fold_of_cells(fold, rows, scored)
                cells = (left[0][rows].copy(), left[1][rows].copy())
                model, _ = train(
                    *cells, options, seed=seed + repeat, device=device, checkpoint=checkpoint()
                )
                of_run.append(score_means(part, means_of(model, part, cells)).poisson)
                loss = np.mean(of_run[-1])
                log.info("fold %d, %d cells: Poisson loss %.2f nats per cell", number, size, loss)
            losses.append(of_run)
            gene_means.append(score_means(part, predict_gene_means(part)).poisson)
    by_size = np.array(losses).transpose(1, 0, 2)  # [sizes, runs, blocks]
    of_all = by_size[-1]
    return replace(
        found,
        n_scored=n_scored,
        points=tuple(
            CurvePoint(
                n_cells=size,
                loss=float(loss.mean()),
                difference=float(loss.mean() - of_all.mean()),
                error=paired_error(loss[None], of_all[None]),
            )
            for size, loss in zip(sizes, by_size, strict=True)
        ),
        outlook=look_ahead(sizes, by_size, float(np.mean(gene_means) - of_all.mean())),
    )


def curve_sizes(n_obs: int, halvings: int) -> list[int]:
    """Numbers of cells of the parts, all of them last; none but this is below `MIN_CELLS`."""
    sizes = [n_obs >> k for k in range(halvings, 0, -1)]
    return [*(size for size in sizes if size >= MIN_CELLS), n_obs]


def _order_cells(fold: HeldOutFold, rng: np.random.Generator) -> np.ndarray:
    """[cells] Rows in a random order; of many cells those that are scored come first."""
    others = np.setdiff1d(np.arange(len(fold.training)), fold.scored, assume_unique=True)
    return np.concatenate([rng.permutation(fold.scored), rng.permutation(others)])


def fold_of_cells(fold: HeldOutFold, rows: np.ndarray, scored: np.ndarray) -> HeldOutFold:
    """A fold of some of the cells.

    Parameters
    ----------
    rows, scored
        Sorted rows of the cells that are trained on, and of those among them that are scored.
    """
    block = np.random.default_rng(1).permutation(len(scored)) % min(N_BLOCKS, len(scored))
    return replace(
        fold,
        training=fold.training.take(rows),
        library_size=fold.library_size[rows],
        scored=np.searchsorted(rows, scored),
        molecules=fold.molecules[np.searchsorted(fold.scored, scored)],
        block=block,
    )


def look_ahead(sizes: list[int], losses: np.ndarray, over_gene_means: float) -> Outlook:
    """What twice the cells would bring, with the interval of curves that the losses allow.

    Two kinds of chance are drawn, as `steps.choose.paired_error` adds them: of the cells, from the
    blocks' losses, which all sizes share, and of the trainings, from what is left of the losses
    after the mean of each size and of each run; of few of these the tails are long (Student's t).

    Parameters
    ----------
    losses
        [sizes, runs, blocks]
    """
    n_sizes, n_runs, n_blocks = losses.shape
    of_cells = np.cov(losses.mean(axis=1)) / n_blocks
    of_runs = losses.mean(axis=2)
    rest = of_runs - of_runs.mean(axis=0) - of_runs.mean(axis=1, keepdims=True) + of_runs.mean()
    degrees = (n_sizes - 1) * (n_runs - 1)
    deviation = np.sqrt((rest**2).sum() / degrees / n_runs)
    rng = np.random.default_rng(0)
    mean = losses.mean(axis=(1, 2))
    drawn = rng.multivariate_normal(mean, of_cells, size=_N_DRAWS)
    long_tails = np.sqrt(degrees / rng.chisquare(degrees, size=(_N_DRAWS, 1)))
    drawn += rng.normal(size=drawn.shape) * deviation * long_tails
    low, high = np.quantile(fit_law(sizes, drawn)[0], [_TAIL, 1 - _TAIL])
    gain, exponent = (float(values[0]) for values in fit_law(sizes, mean[None]))
    return Outlook(
        gain=gain,
        low=float(low),
        high=float(high),
        exponent=exponent,
        over_gene_means=over_gene_means,
    )


def fit_law(sizes: list[int], losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[curves] Fall of the loss from all cells to twice as many, and the exponent, least squares.

    The law is a + b (n^-c - 1) / c with n in units of all cells; c from 0, where it is a - b log n
    and each doubling brings the same, to 1, where each brings half of what the last one did. A
    steeper or an upward-bending curve is not believed of so few points.

    Parameters
    ----------
    losses
        [curves, sizes]
    """
    n = np.array(sizes) / sizes[-1]
    shape = np.stack([_shape_of(n, c) for c in _EXPONENTS])
    centred = shape - shape.mean(axis=1, keepdims=True)
    squares = (centred**2).sum(axis=1)
    slope = losses @ centred.T / squares  # [curves, exponents]
    # Of the sum of squares about the mean, the part that a shape explains is the largest.
    best = (slope**2 * squares).argmax(axis=1)
    step = np.array([-_shape_of(np.array(2.0), c) for c in _EXPONENTS])
    return slope[np.arange(len(losses)), best] * step[best], _EXPONENTS[best]


def _shape_of(n: np.ndarray, exponent: float) -> np.ndarray:
    return -np.log(n) if exponent == 0 else (n**-exponent - 1) / exponent
