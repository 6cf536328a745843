"""Whether donors' features tell a condition, on donors from whom nothing was learned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scpress.donors.features import Rotation, learn_rotation

# Strengths of the ridge that inner folds choose from, in units of the number of directions.
PENALTIES = (0.01, 0.1, 1.0, 10.0)
_NEWTON_STEPS = 30
# Numbers of the curvatures that are held at a time.
_MOST_NUMBERS = 4_000_000


@dataclass(frozen=True)
class Prediction:
    """Donors as predicted by models that have not seen them, for each set of labels.

    Attributes
    ----------
    score
        [sets, donors] Log odds of a case if both were as frequent; for ranks.
    log_odds
        [sets, donors] With the frequencies of the training donors; for probabilities.
    coefficients
        [sets, 1 + directions] of each fold.
    """

    score: np.ndarray
    log_odds: np.ndarray
    coefficients: list[np.ndarray]


def make_folds(
    condition: np.ndarray, group: np.ndarray, n_folds: int, rng: np.random.Generator
) -> np.ndarray:
    """[donors] Number of the fold; a group is in one, and each has its share of all conditions."""
    names, code = np.unique(group, return_inverse=True)
    mean = np.bincount(code, weights=condition) / np.bincount(code)
    order = rng.permutation(len(names))
    order = order[np.argsort(mean[order], kind="stable")]
    fold = np.empty(len(names), dtype=np.int64)
    # From one condition to the next, in turn: every fold gets some of each.
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

    def predict(self, cases: np.ndarray) -> Prediction:
        """Predict every donor by the model of the other folds; labels are [sets, donors]."""
        score, log_odds = np.zeros(cases.shape), np.zeros(cases.shape)
        coefficients = []
        for one in self._folds:
            labels = cases[:, one.train]
            penalty = _choose_penalties(one.train_values, labels, one.inner)
            fitted = fit_logistic(one.train_values, labels, _balance(labels), penalty)
            score[:, one.test] = fitted[:, :1] + fitted[:, 1:] @ one.test_values.T
            n_case = labels.sum(axis=1, keepdims=True)
            odds = np.maximum(n_case, 0.5) / np.maximum(labels.shape[1] - n_case, 0.5)
            log_odds[:, one.test] = score[:, one.test] + np.log(odds)
            coefficients.append(fitted)
        return Prediction(score, log_odds, coefficients)

    def weigh(self, found: Prediction, number: int) -> np.ndarray:
        """[folds, features] Weights of the scaled features by one set of labels; 0 of others."""
        weights = np.zeros((len(self._folds), self._n_columns))
        for row, one, fitted in zip(weights, self._folds, found.coefficients, strict=True):
            row[one.rotation.columns] = one.rotation.axes @ fitted[number, 1:]
        return weights


def _choose_penalties(values: np.ndarray, cases: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """[sets] The ridge under which inner folds are told best; the strongest of equals."""
    n_sets, n_inner, n_penalties = len(cases), int(inner.max()) + 1, len(PENALTIES)
    loss = np.zeros((n_sets, n_penalties))
    for number in range(n_inner):
        train, test = inner != number, inner == number
        fitted = fit_logistic(
            values[train],
            np.repeat(cases[:, train], n_penalties, axis=0),
            np.repeat(_balance(cases[:, train]), n_penalties, axis=0),
            np.tile(PENALTIES, n_sets),
        )
        log_odds = fitted[:, :1] + fitted[:, 1:] @ values[test].T
        log_odds = log_odds.reshape(n_sets, n_penalties, -1)
        labels = cases[:, test]
        side = np.where(labels, -1.0, 1.0)[:, None]
        weight = np.where(labels.any(axis=1, keepdims=True), _balance(labels), 1.0)[:, None]
        loss += np.sum(weight * np.logaddexp(0.0, side * log_odds), axis=2)
    best, least = np.full(n_sets, PENALTIES[-1]), np.full(n_sets, np.inf)
    for one in reversed(range(n_penalties)):
        is_better = loss[:, one] < least - 1e-9
        best[is_better], least[is_better] = PENALTIES[one], loss[is_better, one]
    return best


def _balance(cases: np.ndarray) -> np.ndarray:
    """[sets, donors] Weights with which both conditions count the same."""
    n = cases.shape[1]
    n_case = cases.sum(axis=1, keepdims=True)
    return n / 2 * np.where(cases, 1 / np.maximum(n_case, 1), 1 / np.maximum(n - n_case, 1))


def fit_logistic(
    values: np.ndarray, cases: np.ndarray, weight: np.ndarray, penalty: np.ndarray
) -> np.ndarray:
    """[fits, 1 + directions] Intercept and weights with the least weighted log loss and ridge.

    The ridge is penalty x directions / 2 x the sum of squared weights; of the intercept there is
    none. By Newton's steps, halved where one does not lower the loss; many fits at a time, as most
    of the time of one would go into calls.

    Parameters
    ----------
    values
        [donors, directions]
    cases, weight, penalty
        [fits, donors], [fits, donors], [fits]
    """
    design = np.column_stack([np.ones(len(values)), values])
    at_a_time = max(1, _MOST_NUMBERS // (design.size + design.shape[1] ** 2))
    parts = [slice(one, one + at_a_time) for one in range(0, len(penalty), at_a_time)]
    return np.concatenate([_fit(design, cases[one], weight[one], penalty[one]) for one in parts])


def _fit(
    design: np.ndarray, cases: np.ndarray, weight: np.ndarray, penalty: np.ndarray
) -> np.ndarray:
    n_columns = design.shape[1]
    ridge = np.repeat(penalty[:, None] * max(n_columns - 1, 1), n_columns, axis=1)
    ridge[:, 0] = 1e-9
    side = np.where(cases, -1.0, 1.0)

    def loss(beta: np.ndarray, fits: np.ndarray) -> np.ndarray:
        ends = weight[fits] * np.logaddexp(0.0, side[fits] * (beta @ design.T))
        return ends.sum(axis=1) + (ridge[fits] * beta**2).sum(axis=1) / 2

    going = np.arange(len(penalty))
    beta = np.zeros((len(penalty), n_columns))
    now = loss(beta, going)
    diagonal = np.arange(n_columns)
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(beta[going] @ design.T, -50, 50)))
        gradient = (weight[going] * (p - cases[going])) @ design + ridge[going] * beta[going]
        curvature = (design.T * (weight[going] * p * (1 - p))[:, None]) @ design
        curvature[:, diagonal, diagonal] += ridge[going]
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        then = loss(beta[going] - step, going)
        while True:
            is_worse = (then > now[going] + 1e-12) & (np.abs(step).max(axis=1) > 1e-12)
            if not is_worse.any():
                break
            step[is_worse] /= 2
            worse = going[is_worse]
            then[is_worse] = loss(beta[worse] - step[is_worse], worse)
        beta[going] -= step
        gain, now[going] = now[going] - then, then
        going = going[gain >= 1e-9 * (1 + then)]
        if not len(going):
            break
    return beta


def permute_labels(
    condition: np.ndarray, donor: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """[units] Conditions of a cohort in which they mean nothing.

    Units of a donor that has several change places; else the donors do.
    """
    names, first, code = np.unique(donor, return_index=True, return_inverse=True)
    by_donor = condition[first]
    if (by_donor[code] == condition).all():
        return rng.permutation(by_donor)[code]
    result = condition.copy()
    for one in range(len(names)):
        rows = np.flatnonzero(code == one)
        result[rows] = condition[rng.permutation(rows)]
    return result
