"""How lines respond to drugs, predicted for lines, drugs or both from which nothing was learned."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler

from scpress.donors.features import learn_rotation
from scpress.donors.learners import FITS, SEPARATE, fill_up

# What is simple, and hard to beat, where lines, drugs or both are held out.
RIVALS = {"line": "drug_mean", "drug": "line_mean", "both": "overall_mean"}
OVERALL = "overall_mean"
WITH_FEATURES = "+drug_features"
# Fewest drugs whose features say how much they tell of another.
_MIN_DRUGS = 3
# The number of a fold that holds nothing out.
_NO_FOLD = -1
# Strengths of the ridge on drugs' features, in units of how many there are.
_DRUG_RIDGES = np.logspace(-2, 3, 11)

Name = tuple[str, str]
"""Model and view; the view is '' where none is read."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is predicted, and from what.

    Attributes
    ----------
    values
        [lines, genes] Expression of each line by itself.
    responses
        [lines, drugs] NaN where there is none.
    drug_features
        [drugs, features] From which a drug is known that was held out; None without.
    """

    values: sparse.csr_matrix
    responses: np.ndarray
    drug_features: np.ndarray | None
    n_features: int
    n_components: int


def deal(codes: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """[units] Number of the fold of each; those of one code are in one, and folds are alike."""
    fold = rng.permutation(int(codes.max()) + 1) % n_folds
    return fold[codes]


class Predictor:
    """Every pair by models that have not seen what is held out, in one division into folds.

    A drug that was held out has no response of its own: what is predicted is the mean of all
    drugs, and what a model says of the line for the mean of the drugs that it knows. With features
    of drugs its whole profile is, by a ridge from these to the profiles of the known drugs
    (two-step kernel ridge regression, Stock et al. 2018).
    """

    def __init__(
        self,
        design: Design,
        line_fold: np.ndarray,
        drug_fold: np.ndarray,
        views: Sequence[str],
        learners: Sequence[str],
    ):
        self._design = design
        self._line_fold, self._drug_fold = line_fold, drug_fold
        self._views, self._learners = views, learners
        # What a fold of the lines has learned is the same where drugs are held out, too.
        self._features = functools.cache(self._learn_features)
        self._separate = functools.cache(self._fit_separate)

    def predict(self, split: str) -> dict[Name, np.ndarray]:
        """Predictions of every pair, {(model, view): [lines, drugs]}."""
        responses = self._design.responses
        made: dict[Name, np.ndarray] = {}
        for number in [_NO_FOLD] if split == "drug" else range(int(self._line_fold.max()) + 1):
            train, test = _part(self._line_fold, number)
            means = means_of_drugs(responses[train])
            for of_drugs in (
                [_NO_FOLD] if split == "line" else range(int(self._drug_fold.max()) + 1)
            ):
                known, asked = _part(self._drug_fold, of_drugs)
                place = np.ix_(test, asked)

                def put(name: Name, values: np.ndarray, place: tuple = place) -> None:
                    made.setdefault(name, np.full(responses.shape, np.nan))[place] = values

                put((OVERALL, ""), means[known].mean())
                own = means[known] + fill_up(responses[np.ix_(train, known)] - means[known])
                own -= own.mean(axis=1, keepdims=True)
                if split == "line":
                    put((RIVALS[split], ""), means[asked])
                for name, profile in self._profiles(split, number, known).items():
                    whole = means[known] + profile
                    if split == "line":
                        put(name, whole)
                        continue
                    of_line = whole.mean(axis=1, keepdims=True)
                    put(name, of_line)
                    features = self._design.drug_features
                    if features is not None:
                        added = _transfer(features[known], whole - of_line, features[asked], own)
                        put((name[0] + WITH_FEATURES, name[1]), of_line + added)
        return made

    def _profiles(self, split: str, number: int, drugs: np.ndarray) -> dict[Name, np.ndarray]:
        """{(model, view): [lines asked, drugs]} What lines have beyond the means of known drugs."""
        train, _ = _part(self._line_fold, number)
        responses = self._design.responses[np.ix_(train, drugs)]
        centred = responses - means_of_drugs(responses)
        found: dict[Name, np.ndarray] = {}
        if split == "drug":
            found[RIVALS[split], ""] = fill_up(centred)
        for view in self._views:
            for learner in self._learners:
                if learner in SEPARATE:
                    found[learner, view] = self._separate(number, learner, view)[:, drugs]
                else:
                    features, asked = self._features(number, view)
                    found[learner, view] = FITS[learner](features, centred, asked)
        return found

    def _fit_separate(self, number: int, learner: str, view: str) -> np.ndarray:
        train, _ = _part(self._line_fold, number)
        responses = self._design.responses[train]
        features, asked = self._features(number, view)
        return FITS[learner](features, responses - means_of_drugs(responses), asked)

    def _learn_features(self, number: int, view: str) -> tuple[np.ndarray, np.ndarray]:
        """Features of the training lines and of those that are asked for, learned of the former."""
        values, design = self._design.values, self._design
        train, test = _part(self._line_fold, number)
        rotation = learn_rotation(
            values[train],
            np.empty((len(train), 0)),
            n_features=design.n_features,
            n_directions=design.n_components,
        )
        turn = rotation.apply if view == "components" else rotation.standardize
        known, asked = (turn(values[rows], np.empty((len(rows), 0))) for rows in (train, test))
        return known, asked


def _part(fold: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """What is learned from and what is predicted; the same where nothing is held out."""
    if number == _NO_FOLD:
        return np.arange(len(fold)), np.arange(len(fold))
    return np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def means_of_drugs(responses: np.ndarray) -> np.ndarray:
    """[drugs] Mean of the lines that have one; the mean of all where none has."""
    known = ~np.isnan(responses)
    total = np.where(known, responses, 0.0)
    overall = total.sum() / max(known.sum(), 1)
    n = known.sum(axis=0)
    return np.where(n > 0, total.sum(axis=0) / np.maximum(n, 1), overall)


def _transfer(
    known: np.ndarray, profiles: np.ndarray, asked: np.ndarray, of_training: np.ndarray
) -> np.ndarray:
    """[lines, asked drugs] What unseen drugs add, by a ridge on drugs' features.

    Parameters
    ----------
    known, asked
        [drugs, features]
    profiles
        [lines, known drugs] What these add, of the lines that are asked for.
    of_training
        [training lines, known drugs] By which the strength is chosen, leaving out one drug.
    """
    scaler = StandardScaler().fit(known)
    known, asked = scaler.transform(known), scaler.transform(asked)
    strengths = _DRUG_RIDGES * known.shape[1]
    alpha = strengths[-1]
    # Of two, one tells nothing of the other.
    if len(known) >= _MIN_DRUGS:
        alpha = RidgeCV(alphas=strengths).fit(known, of_training.T).alpha_
    return Ridge(alpha=alpha).fit(known, profiles.T).predict(asked).reshape(len(asked), -1).T
