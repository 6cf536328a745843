"""Regressions of many responses on expression, each with its penalties chosen inside the fold."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNetCV, Ridge, RidgeCV
from sklearn.model_selection import KFold

# Ridges that are tried, in units of the mean squared length of a line's features.
_RIDGES = np.logspace(-2, 2, 9)
# Numbers of directions that are tried; all, which is the ridge, is one, too.
_SHARED = (1, 2, 3, 5, 8, 12, 20)
_INNER_FOLDS = 3
# Fewest lines that anything is learned from.
_MIN_FIT = 5

Learner = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def fit_ridge(features: np.ndarray, responses: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """[asked, drugs] By a ridge of each drug, its strength by leaving out one line (Allen 1974).

    Parameters
    ----------
    features, asked
        [lines, features] Those that are learned from, and those that are predicted.
    responses
        [lines, drugs] Centred; NaN where there is none.
    """
    predicted = np.zeros((len(asked), responses.shape[1]))
    for rows, drugs in _complete_parts(responses):
        model = RidgeCV(alphas=_strengths(features[rows]), alpha_per_target=True)
        model.fit(features[rows], responses[np.ix_(rows, drugs)])
        predicted[:, drugs] = model.predict(asked).reshape(len(asked), len(drugs))
    return predicted


def fit_elastic_net(features: np.ndarray, responses: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """As `fit_ridge`, by an elastic net of each drug, its strength by inner folds."""
    predicted = np.zeros((len(asked), responses.shape[1]))
    for rows, drugs in _complete_parts(responses):
        for drug in drugs:
            model = ElasticNetCV(
                l1_ratio=0.5,
                alphas=10,
                eps=0.05,
                cv=_inner_folds(len(rows)),
                precompute=True,
                tol=1e-2,
            )
            with warnings.catch_warnings():
                # Inner folds say which strengths are any good.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(features[rows], responses[rows, drug])
            predicted[:, drug] = model.predict(asked)
    return predicted


class ReducedRankRidge:
    """A ridge of all drugs whose predictions are of few directions (Mukherjee and Zhu 2011).

    Features become a point in a latent, from which all drugs are read: the directions in which
    what the ridge fits varies most.
    """

    def __init__(self, alpha: float, features: np.ndarray, responses: np.ndarray):
        self._ridge = Ridge(alpha=alpha).fit(features, responses)
        self._latent = PCA(svd_solver="full").fit(self._whole(features))

    def predict(self, features: np.ndarray, n_shared: int) -> np.ndarray:
        """[lines, drugs] Through so many directions."""
        directions = self._latent.components_[:n_shared]
        mean = self._latent.mean_
        return mean + (self._whole(features) - mean) @ directions.T @ directions

    def _whole(self, features: np.ndarray) -> np.ndarray:
        return self._ridge.predict(features).reshape(len(features), -1)


def fit_shared_latent(features: np.ndarray, responses: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """As `fit_ridge`, all drugs through directions that they share, as many as inner folds say.

    A response that a line lacks is filled up with the line's mean.
    """
    if len(features) < _MIN_FIT:
        return np.zeros((len(asked), responses.shape[1]))
    filled = fill_up(responses)
    alpha = RidgeCV(alphas=_strengths(features)).fit(features, filled).alpha_
    sizes = [n for n in _SHARED if n < responses.shape[1]] + [responses.shape[1]]
    errors = np.zeros(len(sizes))
    for train, test in _inner_folds(len(features)).split(features):
        model = ReducedRankRidge(alpha, features[train], filled[train])
        for place, n_shared in enumerate(sizes):
            predicted = model.predict(features[test], n_shared)
            errors[place] += np.nansum(np.square(predicted - responses[test]))
    best = sizes[int(errors.argmin())]
    return ReducedRankRidge(alpha, features, filled).predict(asked, best)


def fill_up(responses: np.ndarray) -> np.ndarray:
    """[lines, drugs] Centred responses, those that are missing with the mean of their line."""
    known = ~np.isnan(responses)
    total = np.where(known, responses, 0.0).sum(axis=1)
    mean = total / np.maximum(known.sum(axis=1), 1)
    return np.where(known, responses, mean[:, None])


def _complete_parts(responses: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Lines with a response, and the drugs of which they are these; drugs of too few have none."""
    patterns, of_drug = np.unique(~np.isnan(responses), axis=1, return_inverse=True)
    for number in range(patterns.shape[1]):
        rows = np.flatnonzero(patterns[:, number])
        if len(rows) >= _MIN_FIT:
            yield rows, np.flatnonzero(of_drug.ravel() == number)


def _strengths(features: np.ndarray) -> np.ndarray:
    return _RIDGES * max(float(np.square(features).sum(axis=1).mean()), 1e-9)


def _inner_folds(n_lines: int) -> KFold:
    # Rows are in no order that means anything to a fold: the outer ones drew them.
    return KFold(min(_INNER_FOLDS, n_lines), shuffle=True, random_state=0)


FITS: dict[str, Learner] = {
    "ridge": fit_ridge,
    "elastic_net": fit_elastic_net,
    "shared_latent": fit_shared_latent,
}
# Those that learn each drug by itself, so that leaving out a drug changes no other.
SEPARATE = ("ridge", "elastic_net")
