"""Which cells are unlike a reference, and which of their genes: scores to p-values with an FDR."""

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import betainc, gammainc, gammaincc
from scipy.stats import betabinom

# How sure it is that no more of what is called than stated is false.
_CONFIDENCE = 0.95
# A normal distribution's deviation for one median absolute deviation.
_DEVIATIONS_PER_MAD = 1.4826


def place_of(library_size: np.ndarray, n_genes: np.ndarray) -> np.ndarray:
    """[cells, 2] Depth and complexity: logarithms of molecules and of detected genes, scaled."""
    logs = np.log(np.maximum(np.column_stack([library_size, n_genes]), 1).astype(np.float64))
    deviation = logs.std(axis=0)
    return (logs - logs.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)


def without_trend(scores: np.ndarray, place: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """[cells] Scores less their quadratic in the place, by least squares of the calibration cells.

    Beyond it neighbours do: without it those at the edge are all on one side of a cell.
    """
    columns = [np.ones(len(place)), *place.T]
    columns += [a * b for i, a in enumerate(place.T) for b in place.T[i:]]
    design = np.column_stack(columns)
    fitted, *_ = np.linalg.lstsq(design[calibration], scores[calibration], rcond=None)
    return scores - design @ fitted


def standardize_among_like(
    scores: np.ndarray, place: np.ndarray, calibration: np.ndarray, *, n_like: int
) -> np.ndarray:
    """[cells] Scores less the median of the calibration cells of like place, over their deviation.

    A cell is never among those that it is compared with, so that a calibration cell and a new one
    of the same kind are treated alike.

    Parameters
    ----------
    scores
        [cells] Any number that grows with strangeness.
    place
        [cells, dimensions] What a score may depend on: `place_of`.
    calibration
        [calibration cells] Rows of normal cells that no model has seen.
    n_like
        Cells that one is compared with, at most all of them.
    """
    n_like = min(n_like, len(calibration) - 1)
    _, near = cKDTree(place[calibration]).query(place, k=n_like + 1)
    # The cell itself goes out, or else the farthest one.
    others = calibration[near]
    is_itself = others == np.arange(len(scores))[:, None]
    is_itself[~is_itself.any(axis=1), -1] = True
    like = scores[others[~is_itself].reshape(len(scores), n_like)]
    median = np.median(like, axis=1)
    deviation = _DEVIATIONS_PER_MAD * np.median(np.abs(like - median[:, None]), axis=1)
    least = 1e-3 * max(float(np.median(deviation)), np.finfo(np.float64).tiny)
    return (scores - median) / np.maximum(deviation, least)


def cross_conformal_p(scores: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """[cells] Conformal p-values (Vovk 2015): how many normal cells are as strange, and itself.

    Parameters
    ----------
    scores
        [folds, cells] By the models that were trained without each fold.
    fold
        [cells] Fold of a normal cell, which the models of its row have not seen; -1 of a cell that
        none has seen. A normal cell is compared with the others, by the scores of its own fold.
    """
    n_folds, n_obs = scores.shape
    at_least = np.ones(n_obs)
    n_normal = int((fold >= 0).sum())
    for k in range(n_folds):
        normal = np.sort(scores[k, fold == k])
        own = np.where(fold >= 0, scores[np.maximum(fold, 0), np.arange(n_obs)], scores[k])
        at_least += len(normal) - np.searchsorted(normal, own, side="left")
    is_normal = fold >= 0
    # A normal cell has counted itself already.
    return np.where(is_normal, (at_least - 1) / max(n_normal, 1), at_least / (n_normal + 1))


def stated_fdr(p: np.ndarray, n_calibration: int) -> np.ndarray:
    """[tests] Part of those with no larger p-value that is false, at most, with 95 % confidence.

    The larger one of the adjustment of Benjamini and Hochberg, which is right on average over many
    experiments, and of a bound for this one: so few calibration cells beyond a threshold may be
    luck, and of `m` normal cells tested, those beyond the (c + 1)-th calibration score are
    beta-binomial. Beyond a half it is said to be 1.

    Parameters
    ----------
    p
        [tests] Conformal p-values, multiples of 1 / (n_calibration + 1).
    """
    m = len(p)
    values, first = np.unique(p, return_inverse=True)
    called = np.cumsum(np.bincount(first, minlength=len(values)))
    fdr = values * m / np.maximum(called, 1)
    few = np.flatnonzero(fdr <= 0.5)
    if len(few):
        beyond = np.rint(values[few] * (n_calibration + 1)).astype(np.int64) - 1
        beyond = np.clip(beyond, 0, n_calibration - 1)
        most = betabinom.ppf(_CONFIDENCE, m, beyond + 1, n_calibration - beyond)
        fdr[few] = np.maximum(fdr[few], most / called[few])
    fdr = np.minimum.accumulate(fdr[::-1])[::-1]
    return np.where(fdr > 0.5, 1.0, fdr)[first]


def count_p_values(
    counts: np.ndarray,
    mu: np.ndarray,
    theta: np.ndarray | None,
    pi: np.ndarray | None = None,
) -> np.ndarray:
    """[cells, genes] Two-sided p-values of counts, twice the smaller tail (Brechtmann 2018).

    Parameters
    ----------
    mu, theta
        [cells, genes] Mean and inverse dispersion of the negative binomial; without theta, Poisson.
    pi
        [cells, genes] Probability of an extra zero.
    """
    x = counts.astype(np.float64)
    if theta is None:
        at_most = gammaincc(x + 1, mu)
        at_least = np.where(x > 0, gammainc(np.maximum(x, 1), mu), 1.0)
    else:
        at_most = betainc(theta, x + 1, theta / (theta + mu))
        at_least = np.where(x > 0, betainc(np.maximum(x, 1), theta, mu / (theta + mu)), 1.0)
    if pi is not None:
        at_most = pi + (1 - pi) * at_most
        at_least = np.where(x > 0, (1 - pi) * at_least, 1.0)
    return np.minimum(2 * np.minimum(at_most, at_least), 1.0)
