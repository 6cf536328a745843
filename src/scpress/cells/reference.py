"""Names of cells from labelled ones in the same latent, and which cells are like none of them."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# Labelled cells that vote, and those whose distance is taken; cells of one's own data over which it
# is averaged, and the components in which they are alike.
_N_VOTES, _N_NEAREST = 15, 5
_N_ALIKE, _N_COMPONENTS = 15, 10
_N_FOLDS = 5
# Fewest cells of a type that is learned: two in each fold.
MIN_TYPE_CELLS = 2 * _N_FOLDS
# CellTypist's size of a cell, and the largest deviation that its models read.
_CELLTYPIST_SIZE, _CELLTYPIST_CLIP = 1e4, 10.0


@dataclass(frozen=True)
class Names:
    """What was found, of every cell and of the labelled cells when they are held out.

    Attributes
    ----------
    types
        Names, sorted.
    best
        [cells] Position in `types`.
    confidence
        [cells] Calibrated probability of it.
    p
        [cells] Share of the labelled cells that are as far from the others, and itself.
    held_out_rate
        Share of the labelled cells whose p is at most the rate, each by four fifths of the others.
    by_type
        [types, 3] Of held-out labelled cells: number, share named rightly, share at the rate.
    accuracy
        Share of held-out labelled cells that are named rightly, by knn, linear and both.
    mean_confidence
        Mean confidence of these names by both.
    """

    types: tuple[str, ...]
    best: np.ndarray
    confidence: np.ndarray
    p: np.ndarray
    held_out_rate: float
    by_type: np.ndarray
    accuracy: dict[str, float]
    mean_confidence: float


def name_cells(
    reference: np.ndarray,
    matched: np.ndarray,
    labels: np.ndarray,
    cells: np.ndarray,
    *,
    matched_alike: np.ndarray,
    alike: np.ndarray,
    rate: float,
    seed: int,
) -> Names:
    """Name cells by what labelled ones are nearest, and by a linear classifier, in one latent.

    The confidence is the mean of both, its temperature calibrated in folds (Guo et al. 2017).
    A distance is that of the nearest labelled cells where types have unit covariance, averaged
    over cells that are alike in their own data: a type that the reference lacks may be hard to
    tell in the latent, cell by cell, but is one group by its counts. Its p-value is conformal,
    among labelled cells at the depth of the others that are each left out of the reference.

    Parameters
    ----------
    reference, matched
        [labelled cells, n_latent] As they are, and with the molecules thinned to the others' depth.
    labels
        [labelled cells] Types, each of `MIN_TYPE_CELLS` or more; two or more of them.
    cells
        [cells, n_latent] Those to be named.
    matched_alike, alike
        [., alike] Of each cell, thinned and to be named, the rows of those that are alike.
    rate
        Share of labelled cells that may be called unlike all others.
    """
    types, code = np.unique(labels, return_inverse=True)
    whiten = _unit_within(reference, code)
    reference_at, matched_at = reference @ whiten, matched @ whiten
    everything = np.arange(len(reference))
    null = _distance(reference_at, matched_at, everything)[matched_alike].mean(axis=1)
    distance = _distance(reference_at, cells @ whiten)[alike].mean(axis=1)

    folds = StratifiedKFold(_N_FOLDS, shuffle=True, random_state=seed)
    held_out_p = np.zeros(len(reference))
    for seen, unseen in folds.split(matched, code):
        of_seen = _distance(reference_at[seen], matched_at, _places(seen, len(reference)))
        pooled = of_seen[matched_alike].mean(axis=1)
        held_out_p[unseen] = conformal_p(pooled[unseen], pooled[seen])

    both = CalibratedClassifierCV(_both(), method="temperature", cv=folds).fit(matched, code)
    shares = both.predict_proba(cells)
    held_out = {
        name: cross_val_predict(one, matched, code, cv=folds, method="predict_proba")
        for name, one in (("knn", _knn()), ("linear", _linear()), ("both", both))
    }
    is_right = {name: one.argmax(axis=1) == code for name, one in held_out.items()}
    is_far = held_out_p <= rate
    n = np.bincount(code)
    return Names(
        types=tuple(map(str, types)),
        best=shares.argmax(axis=1),
        confidence=shares.max(axis=1),
        p=conformal_p(distance, null),
        held_out_rate=float(is_far.mean()),
        by_type=np.column_stack(
            [n, *(np.bincount(code, w) / n for w in (is_right["both"], is_far))]
        ),
        accuracy={name: float(one.mean()) for name, one in is_right.items()},
        mean_confidence=float(held_out["both"].max(axis=1).mean()),
    )


def _knn() -> KNeighborsClassifier:
    return make_pipeline(StandardScaler(), KNeighborsClassifier(_N_VOTES))


def _linear() -> LogisticRegression:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _both() -> VotingClassifier:
    return VotingClassifier([("knn", _knn()), ("linear", _linear())], voting="soft")


def _unit_within(latent: np.ndarray, code: np.ndarray) -> np.ndarray:
    """[n_latent, n_latent] What gives the cells of one type, in the mean, unit covariance."""
    means = np.stack([latent[code == one].mean(axis=0) for one in range(code.max() + 1)])
    # A dimension that says nothing is left with a little, and is not divided by zero.
    residuals = (latent - means[code]).astype(np.float64)
    covariance = LedoitWolf(assume_centered=True).fit(residuals).covariance_
    covariance += 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    return np.linalg.cholesky(np.linalg.inv(covariance))


def _places(rows: np.ndarray, n: int) -> np.ndarray:
    """[n] Where a row is among some; -1 for others."""
    found = np.full(n, -1)
    found[rows] = np.arange(len(rows))
    return found


def _distance(
    points: np.ndarray, cells: np.ndarray, itself: np.ndarray | None = None
) -> np.ndarray:
    """[cells] Mean distance to the nearest points; [cells] row of the point that a cell is itself.

    That one is left out, or else the farthest, so that all have as many.
    """
    k = min(_N_NEAREST, len(points) - 1)
    distance, near = cKDTree(points).query(cells, k=k + 1)
    if itself is None:
        return distance[:, :k].mean(axis=1)
    is_itself = near == itself[:, None]
    is_itself[~is_itself.any(axis=1), -1] = True
    return distance[~is_itself].reshape(len(cells), k).mean(axis=1)


def conformal_p(distance: np.ndarray, null: np.ndarray) -> np.ndarray:
    """[cells] (1 + how many of the null are as far) / (1 + all of them)."""
    at_least = len(null) - np.searchsorted(np.sort(null), distance, side="left")
    return (1 + at_least) / (1 + len(null))


def find_alike(values: sparse.csr_matrix, *, seed: int) -> np.ndarray:
    """[cells, alike] Each cell and those nearest to it by principal components of their values.

    Parameters
    ----------
    values
        [cells, genes] Log-normalized counts.
    """
    n = min(_N_COMPONENTS, min(values.shape) - 1)
    places = PCA(n, svd_solver="arpack", random_state=seed).fit_transform(values.astype(np.float64))
    _, near = cKDTree(places).query(places, k=min(_N_ALIKE, len(places)))
    return near


@dataclass(frozen=True)
class LinearNames:
    """A logistic regression on log-normalized counts, one against the rest, as CellTypist's.

    Attributes
    ----------
    genes
        [genes] Symbols.
    coefficients, intercepts
        [types, genes] and [types], on scaled values.
    mean, deviation
        [genes] What values are scaled by.
    """

    types: tuple[str, ...]
    genes: tuple[str, ...]
    coefficients: np.ndarray
    intercepts: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    def probabilities(
        self, counts: sparse.csr_matrix, library_size: np.ndarray, genes: np.ndarray
    ) -> np.ndarray:
        """[cells, types] Probability of each type by itself (Dominguez Conde et al. 2022).

        Parameters
        ----------
        counts
            [cells, some] Molecules of some of its genes.
        library_size
            [cells] Molecules of the cell over all genes.
        genes
            [some] Positions of these among the model's; the others are left out.
        """
        logs = counts.astype(np.float64)
        per_cell = _CELLTYPIST_SIZE / np.maximum(library_size, 1)
        logs.data = np.log1p(logs.data * np.repeat(per_cell, np.diff(logs.indptr)))
        scaled = (logs.toarray() - self.mean[genes]) / self.deviation[genes]
        scaled = np.minimum(scaled, _CELLTYPIST_CLIP)
        return expit(scaled @ self.coefficients[:, genes].T + self.intercepts)
