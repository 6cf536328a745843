"""Whether donors' features tell a condition, on donors from whom nothing was learned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scpress.donors.features import Rotation, learn_rotation

# Strengths of the ridge that inner folds choose from, in units of the number of directions.
PENALTIES = (0.01, 0.1, 1.0, 10.0)
_INNER_FOLDS = 3
_NEWTON_STEPS = 30


@dataclass(frozen=True)
class Prediction:
    """Donors as predicted by models that have not seen them.

    Attributes
    ----------
    score
        [donors] Log odds of the second condition if both were as frequent; for ranks.
    log_odds
        [donors] With the frequencies of the training donors; for probabilities.
    weights
        [folds, features] Of the scaled features; 0 where one was not chosen.
    """

    score: np.ndarray
    log_odds: np.ndarray
    weights: np.ndarray


def make_folds(
    is_case: np.ndarray, group: np.ndarray, n_folds: int, rng: np.random.Generator
) -> np.ndarray:
    """[donors] Number of the fold; a group is in one, and each has its share of both conditions."""
    names, code = np.unique(group, return_inverse=True)
    share = np.bincount(code, weights=is_case) / np.bincount(code)
    order = rng.permutation(len(names))
    order = order[np.argsort(share[order], kind="stable")]
    fold = np.empty(len(names), dtype=np.int64)
    # From the fewest cases to the most, in turn: every fold gets some of each.
    fold[order] = np.arange(len(names)) % n_folds
    return fold[code]


@dataclass(frozen=True)
class _Fold:
    train: np.ndarray
    test: np.ndarray
    inner: np.ndarray
    rotation: Rotation
    train_values: np.ndarray
    test_values: np.ndarray


class Classifier:
    """A logistic regression with a ridge in nested cross-validation.

    What is learned without labels, the choice of features, their scale and directions, is learned
    once for each fold of the donors, from its training donors; so many sets of labels can be tried.
    """

    def __init__(
        self,
        values: sparse.csr_matrix,
        nuisance: np.ndarray,
        fold: np.ndarray,
        inner: Sequence[np.ndarray],
        *,
        n_features: int,
        n_directions: int | None = None,
    ):
        self._n_donors, self._n_columns = values.shape
        self._folds = []
        for number in range(int(fold.max()) + 1):
            train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            rotation = learn_rotation(
                values[train],
                nuisance[train],
                n_features=n_features,
                n_directions=n_directions,
            )
            self._folds.append(
                _Fold(
                    train,
                    test,
                    inner[number],
                    rotation,
                    rotation.apply(values[train], nuisance[train]),
                    rotation.apply(values[test], nuisance[test]),
                )
            )

    def predict(self, is_case: np.ndarray) -> Prediction:
        """Predict every donor by the model of the other folds."""
        score, log_odds = np.zeros(self._n_donors), np.zeros(self._n_donors)
        weights = np.zeros((len(self._folds), self._n_columns))
        for number, one in enumerate(self._folds):
            labels = is_case[one.train]
            penalty = _choose_penalty(one.train_values, labels, one.inner)
            fitted = fit_logistic(one.train_values, labels, penalty)
            score[one.test] = fitted[0] + one.test_values @ fitted[1:]
            n_case = int(labels.sum())
            odds = max(n_case, 0.5) / max(len(labels) - n_case, 0.5)
            log_odds[one.test] = score[one.test] + np.log(odds)
            weights[number, one.rotation.columns] = one.rotation.axes @ fitted[1:]
        return Prediction(score, log_odds, weights)


def _choose_penalty(values: np.ndarray, is_case: np.ndarray, inner: np.ndarray) -> float:
    """The ridge under which inner folds are told best; the strongest of equals."""
    best, least = PENALTIES[-1], np.inf
    for penalty in reversed(PENALTIES):
        loss = 0.0
        for number in range(int(inner.max()) + 1):
            train, test = inner != number, inner == number
            fitted = fit_logistic(values[train], is_case[train], penalty)
            log_odds = fitted[0] + values[test] @ fitted[1:]
            side = np.where(is_case[test], -1.0, 1.0)
            weight = _balance(is_case[test]) if is_case[test].any() else 1.0
            loss += float(np.sum(weight * np.logaddexp(0.0, side * log_odds)))
        if loss < least - 1e-9:
            best, least = penalty, loss
    return best


def _balance(is_case: np.ndarray) -> np.ndarray:
    """[donors] Weights with which both conditions count the same."""
    n_case = max(int(is_case.sum()), 1)
    n_other = max(int((~is_case).sum()), 1)
    return len(is_case) / 2 * np.where(is_case, 1 / n_case, 1 / n_other)


def fit_logistic(values: np.ndarray, is_case: np.ndarray, penalty: float) -> np.ndarray:
    """[1 + directions] Intercept and weights with the least balanced log loss and ridge.

    The ridge is penalty x directions / 2 x the sum of squared weights; of the intercept there is
    none. By Newton's steps, halved where one does not lower the loss.
    """
    design = np.column_stack([np.ones(len(values)), values])
    ridge = np.full(design.shape[1], penalty * max(values.shape[1], 1))
    ridge[0] = 1e-9
    weight, target = _balance(is_case), is_case.astype(float)
    side = np.where(is_case, -1.0, 1.0)

    def loss(beta: np.ndarray) -> float:
        ends = weight * np.logaddexp(0.0, side * (design @ beta))
        return float(ends.sum() + ridge @ beta**2 / 2)

    beta = np.zeros(design.shape[1])
    now = loss(beta)
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -50, 50)))
        gradient = design.T @ (weight * (p - target)) + ridge * beta
        curvature = (design * (weight * p * (1 - p))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        while (then := loss(beta - step)) > now + 1e-12 and np.abs(step).max() > 1e-12:
            step = step / 2
        beta, before, now = beta - step, now, then
        if before - now < 1e-9 * (1 + now):
            break
    return beta


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


def area_interval(
    scores: np.ndarray, folds: np.ndarray, is_case: np.ndarray, permuted: np.ndarray
) -> tuple[float, float]:
    """95 % interval of the area by DeLong's variance, on the scale of its log odds.

    Scores of donors who trained each other's models are not independent: near 0.5 the error is
    longer by as much as areas of permuted labels vary more than those of independent scores would.
    Where donors are told apart for sure the models agree, and it is not.
    """
    wins, asked = count_wins(scores, folds, is_case)
    area = float(wins.sum() / asked.sum())
    parts = (wins.sum(axis=1) / asked.sum(axis=1), wins.sum(axis=0) / asked.sum(axis=0))
    variance = float(np.sum([np.nanvar(part, ddof=1) / len(part) for part in parts]))
    # Of a perfect order the variance is 0: no surer than the smallest step of one donor.
    n, n_case = len(is_case), np.count_nonzero(is_case)
    bounded = float(np.clip(area, 0.5 / n, 1 - 0.5 / n))
    slope = bounded * (1 - bounded)
    independent = np.sqrt((n + 1) / (12 * n_case * (n - n_case)))
    excess = max(0.0, float(np.std(permuted, ddof=1) / independent) - 1)
    error = np.sqrt(max(variance, slope / n)) / slope * (1 + 4 * excess * slope)
    middle = np.log(bounded / (1 - bounded))
    low, high = (1 / (1 + np.exp(-(middle + side * 1.959964 * error))) for side in (-1, 1))
    return min(float(low), area), max(float(high), area)


def permute_labels(is_case: np.ndarray, donor: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[units] Labels of a cohort in which the condition means nothing.

    Units of a donor that has both conditions change places; else the donors do.
    """
    names, first, code = np.unique(donor, return_index=True, return_inverse=True)
    by_donor = is_case[first]
    if (by_donor[code] == is_case).all():
        return rng.permutation(by_donor)[code]
    result = is_case.copy()
    for one in range(len(names)):
        rows = np.flatnonzero(code == one)
        result[rows] = is_case[rng.permutation(rows)]
    return result


def permutation_p(found: float, permuted: np.ndarray) -> float:
    """Share of permutations that are as good as what was found, itself among them.

    Phipson and Smyth 2010: never 0.
    """
    return float((1 + (permuted >= found - 1e-12).sum()) / (1 + len(permuted)))
