"""How well donors held out were told apart: areas, curves, accuracy and calibration."""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

# Parts of the other donors at which a curve is told: the middles of 60, in which every step of a
# fold of up to six of them lies whole.
GRID = (np.arange(60) + 0.5) / 60
_Z, _MOST_P = 1.959964, 0.05
_DRAWS = 200
# Donors in a group of like probability, and most groups.
_BIN_DONORS, _MOST_BINS = 8, 10


def one_against_others(condition: np.ndarray, n_conditions: int) -> np.ndarray:
    """[problems, donors] Whether each is a case; of two conditions the second one is the case."""
    named = range(n_conditions) if n_conditions > 2 else (1,)
    return np.array([condition == one for one in named])


def count_wins(
    scores: np.ndarray, folds: np.ndarray, is_case: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """[cases, others] How often a case scored above another donor, ties half, and how often asked.

    Only donors of one fold are compared: had they changed labels the model would be the same, so
    that without any signal half are won. Scores of different folds are of models that saw each
    other's donors, and would win fewer.

    Parameters
    ----------
    scores, folds
        [repeats, donors]
    """
    shape = (np.count_nonzero(is_case), np.count_nonzero(~is_case))
    wins, asked = np.zeros(shape), np.zeros(shape)
    for score, fold in zip(scores, folds, strict=True):
        together = fold[is_case][:, None] == fold[~is_case]
        difference = score[is_case][:, None] - score[~is_case]
        wins += together * ((difference > 0) + 0.5 * (difference == 0))
        asked += together
    return wins, asked


def area_under_curve(scores: np.ndarray, folds: np.ndarray, is_case: np.ndarray) -> float:
    """Chance that a case scores above another donor of its fold; 0.5 where none were compared."""
    wins, asked = count_wins(scores, folds, is_case)
    return float(wins.sum() / asked.sum()) if asked.any() else 0.5


def areas_under_curves(scores: np.ndarray, folds: np.ndarray, cases: np.ndarray) -> np.ndarray:
    """[problems] The area of each.

    Parameters
    ----------
    scores
        [repeats, problems, donors]
    folds, cases
        [repeats, donors], [problems, donors]
    """
    return np.array(
        [area_under_curve(scores[:, one], folds, is_case) for one, is_case in enumerate(cases)]
    )


def area_interval(
    scores: np.ndarray,
    folds: np.ndarray,
    cases: np.ndarray,
    condition: np.ndarray,
    permuted: np.ndarray,
) -> tuple[float, float]:
    """95 % interval of the mean area by DeLong's variance, on the scale of its log odds.

    Scores of donors who trained each other's models are not independent: near 0.5 the error is
    longer by as much as areas of permuted labels vary more than those of independent scores would.
    Where donors are told apart for sure the models agree, and it is not. An area that permuted
    labels have in one of twenty times is one of chance: the interval then holds 0.5.

    Parameters
    ----------
    scores, folds, cases
        As of `areas_under_curves`.
    condition
        [donors] Number of their condition.
    permuted
        [permutations] Mean areas of permuted labels.
    """
    n, n_problems = len(condition), len(cases)
    # What each donor adds to the mean area, as a case or as another.
    part = np.zeros(n)
    areas, independent = [], 0.0
    for one, is_case in enumerate(cases):
        wins, asked = count_wins(scores[:, one], folds, is_case)
        areas.append(wins.sum() / asked.sum())
        n_case = np.count_nonzero(is_case)
        for side, axis, size in ((is_case, 1, n_case), (~is_case, 0, n - n_case)):
            times = asked.sum(axis=axis)
            of_side = np.divide(
                wins.sum(axis=axis), times, out=np.full(len(times), areas[-1]), where=times > 0
            )
            part[side] += of_side / size / n_problems
        independent += (n + 1) / (12 * n_case * (n - n_case)) / n_problems**2
    area = float(np.mean(areas))
    variance = sum(
        np.count_nonzero(condition == one) * float(np.var(part[condition == one], ddof=1))
        for one in np.unique(condition)
    )
    # Of a perfect order the variance is 0: no surer than the smallest step of one donor.
    bounded = float(np.clip(area, 0.5 / n, 1 - 0.5 / n))
    slope = bounded * (1 - bounded)
    excess = max(0.0, float(np.std(permuted, ddof=1) / np.sqrt(independent)) - 1)
    least = slope / n / n_problems
    error = np.sqrt(max(variance, least)) / slope * (1 + 4 * excess * slope)
    middle = np.log(bounded / (1 - bounded))
    low, high = (1 / (1 + np.exp(-(middle + side * _Z * error))) for side in (-1, 1))
    # Of few permutations the count is coarse, and what it says of the spread is not exact: 0.5 is
    # left out where both allow it.
    far, others = abs(area - 0.5), np.abs(permuted - 0.5)
    reach = stats.t.ppf(0.975, len(others)) * np.sqrt(np.mean(others**2) * (1 + 1 / len(others)))
    is_chance = far <= reach or permutation_p(far, others) > _MOST_P
    chance = [0.5] if is_chance else []
    return min(float(low), area, *chance), max(float(high), area, *chance)


def roc_curve(
    scores: np.ndarray, folds: np.ndarray, is_case: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[points] Share of cases above thresholds that `GRID` of the others are above; its two ends.

    The mean of the curves of the folds, each counting as many times as it has pairs, so that the
    area under it is `area_under_curve`. Ends are the 95 % of donors drawn with replacement, at
    each point by itself.

    Parameters
    ----------
    scores, folds
        [repeats, donors]
    """
    drawn = [np.ones(len(is_case))]
    cases, others = np.flatnonzero(is_case), np.flatnonzero(~is_case)
    for _ in range(_DRAWS):
        weight = np.zeros(len(is_case))
        for side in (cases, others):
            np.add.at(weight, rng.choice(side, len(side)), 1.0)
        drawn.append(weight)
    weights = np.array(drawn)
    sums, total = np.zeros((len(weights), len(GRID))), np.zeros(len(weights))
    for score, fold in zip(scores, folds, strict=True):
        together = (fold[cases][:, None] == fold[others]).astype(float)
        difference = score[others] - score[cases][:, None]
        n_others = weights[:, others] @ together.T
        # The others above each case: its place among them, from `first` on where some are as high.
        first = weights[:, others] @ (together * (difference > 0)).T
        last = first + weights[:, others] @ (together * (difference == 0)).T
        of_case = weights[:, cases] * n_others
        with np.errstate(invalid="ignore", divide="ignore"):
            for number, at in enumerate(GRID):
                passed = np.clip((at * n_others - first) / (last - first), 0.0, 1.0)
                passed = np.where(last > first, passed, at * n_others > first)
                sums[:, number] += (of_case * passed).sum(axis=1)
        total += of_case.sum(axis=1)
    curves = sums[total > 0] / total[total > 0, None]
    low, high = np.quantile(curves[1:], [0.025, 0.975], axis=0)
    return curves[0], np.minimum(low, curves[0]), np.maximum(high, curves[0])


@dataclass(frozen=True)
class Accuracy:
    """A share of donors, or the mean of such shares, and its 95 % interval."""

    value: float
    low: float
    high: float


def accuracies(
    condition: np.ndarray,
    predicted: np.ndarray,
    predicted_balanced: np.ndarray,
    rng: np.random.Generator,
) -> tuple[Accuracy, Accuracy]:
    """Share of donors that are predicted rightly; and its mean over conditions, each as one.

    The latter is of predictions that take conditions to be equally frequent. Intervals are
    Jeffreys's; of the mean, by draws from what he says of each condition (Brodersen et al. 2010).
    """
    is_right = predicted == condition
    n, n_right = len(is_right), int(is_right.sum())
    low, high = proportion_confint(n_right, n, method="jeffreys")
    is_right_balanced = predicted_balanced == condition
    rights = [is_right_balanced[condition == one] for one in np.unique(condition)]
    drawn = [rng.beta(one.sum() + 0.5, (~one).sum() + 0.5, 4000) for one in rights]
    ends = np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])
    share, balanced = n_right / n, float(np.mean([one.mean() for one in rights]))
    return (
        Accuracy(share, min(float(low), share), max(float(high), share)),
        Accuracy(balanced, min(float(ends[0]), balanced), max(float(ends[1]), balanced)),
    )


@dataclass(frozen=True)
class Bin:
    """Donors of like probability: its mean, and how many of them there were of the condition."""

    predicted: float
    n: int
    n_hits: int
    low: float
    high: float


def calibrate(probability: np.ndarray, is_hit: np.ndarray) -> list[Bin]:
    """Groups of as many donors each, from the least probable on; 95 % intervals are Jeffreys's."""
    n_bins = int(np.clip(len(is_hit) // _BIN_DONORS, 1, _MOST_BINS))
    order = np.argsort(probability, kind="stable")
    bins = []
    for rows in np.array_split(order, n_bins):
        n, n_hits = len(rows), int(is_hit[rows].sum())
        low, high = proportion_confint(n_hits, n, method="jeffreys")
        # Of none or all it ends there.
        low, high = (0.0 if n_hits == 0 else float(low)), (1.0 if n_hits == n else float(high))
        bins.append(Bin(float(probability[rows].mean()), n, n_hits, low, high))
    return bins


def permutation_p(found: float, permuted: np.ndarray) -> float:
    """Share of permutations that are as good as what was found, itself among them.

    Phipson and Smyth 2010: never 0.
    """
    return float((1 + (permuted >= found - 1e-9).sum()) / (1 + len(permuted)))
