"""What is known of a donor, as numbers that need no other donor; and what others say of them."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

# Molecules that a donor's counts are scaled to before the logarithm.
_SCALE = 1e4
# A count beside which no cell of a type is some.
_PRIOR = 0.5


def log_ratios(type_cells: np.ndarray) -> np.ndarray:
    """[donors, types] Log frequency of each type against the geometric mean of all types."""
    logs = np.log(np.asarray(type_cells, dtype=float) + _PRIOR)
    return logs - logs.mean(axis=1, keepdims=True)


def log_counts(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """[donors, genes] log(1 + molecules in 10,000), sparse."""
    total = np.asarray(counts.sum(axis=1), dtype=float).ravel()
    scaled = sparse.diags_array(_SCALE / np.maximum(total, 1)) @ counts.astype(float)
    return sparse.csr_matrix(scaled).log1p()


def log_of_total(counts: np.ndarray, total: np.ndarray) -> np.ndarray:
    """[..., genes] As `log_counts`, of some genes beside the molecules [...] of all."""
    return np.log1p(counts * (_SCALE / np.maximum(total, 1))[..., None])


@dataclass(frozen=True)
class Rotation:
    """Chosen and scaled features of some donors, turned so that there are no more than donors.

    A ridge does not see a rotation, and a fit in fewer numbers is quicker.

    Attributes
    ----------
    columns
        [kept] Those chosen, by their variance.
    of_nuisance, scale
        [1 + nuisance, kept], [kept] What is taken off, and what is divided by.
    axes
        [kept, directions] Orthogonal.
    """

    columns: np.ndarray
    of_nuisance: np.ndarray
    scale: np.ndarray
    axes: np.ndarray

    def apply(self, values: sparse.csr_matrix, nuisance: np.ndarray) -> np.ndarray:
        """[donors, directions] Any donors, by what was learned of some."""
        return self.standardize(values, nuisance) @ self.axes

    def standardize(self, values: sparse.csr_matrix, nuisance: np.ndarray) -> np.ndarray:
        """[donors, kept] The chosen features, nuisance taken off, scaled; not turned."""
        dense = values[:, self.columns].toarray()
        return (dense - with_ones(nuisance) @ self.of_nuisance) / self.scale


def with_ones(nuisance: np.ndarray) -> np.ndarray:
    """[donors, 1 + columns] The nuisance and a mean, which is taken off with it."""
    return np.column_stack([np.ones(len(nuisance)), nuisance])


def learn_rotation(
    values: sparse.csr_matrix,
    nuisance: np.ndarray,
    *,
    n_features: int,
    n_directions: int | None = None,
    is_scaled: bool = True,
) -> Rotation:
    """Choose features, scale and turn them; of the given donors alone, without their labels.

    Parameters
    ----------
    nuisance
        [donors, columns] What is taken off the features, as far as it explains them.
    n_directions
        How many principal components are kept; all when not given, which loses nothing.
    is_scaled
        Whether features are brought to one variance; else they keep their own.
    """
    values = sparse.csr_matrix(values)
    mean = np.asarray(values.mean(axis=0)).ravel()
    variance = np.asarray(values.multiply(values).mean(axis=0)).ravel() - mean**2
    columns = np.sort(np.argsort(-variance, kind="stable")[:n_features])
    dense = values[:, columns].toarray()
    known = with_ones(nuisance)
    of_nuisance = np.linalg.lstsq(known, dense, rcond=None)[0]
    dense = dense - known @ of_nuisance
    scale = dense.std(axis=0)
    kept = scale > 1e-6
    if not is_scaled:
        scale = np.ones_like(scale)
    axes = np.linalg.svd(dense[:, kept] / scale[kept], full_matrices=False)[2].T
    return Rotation(columns[kept], of_nuisance[:, kept], scale[kept], axes[:, :n_directions])
