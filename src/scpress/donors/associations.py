"""Whether what is known of donors goes with a grouping of them, or with one of their features."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.stats.multitest import multipletests

from scpress.donors.performance import permutation_p

# Fewest donors with a value in a column that is tested.
_MIN_DONORS = 6
# A column with more words than donors by this is a name.
_MAX_WORDS = 1 / 3
_N_PERMUTATIONS = 999


@dataclass(frozen=True)
class Tested:
    """One test; the effect has no sign."""

    test: str
    n_donors: int
    effect: float
    p_value: float


def is_number(column: pd.Series) -> bool:
    """Whether values have an order and distances: numbers, more than two of them."""
    return column.dtype.kind in "iuf" and column.nunique() > 2


def can_be_tested(column: pd.Series) -> bool:
    """Whether a column has two values or more in enough donors, and is not a name of each."""
    n_known, n_values = int(column.notna().sum()), column.nunique()
    if n_known < _MIN_DONORS or n_values < 2:
        return False
    return is_number(column) or n_values <= max(2, _MAX_WORDS * n_known)


def associate_groups(group: np.ndarray, column: pd.Series, rng: np.random.Generator) -> Tested:
    """Test a grouping of donors against a column: Kruskal and Wallis, or chi-square.

    Parameters
    ----------
    group
        [donors] Numbers.

    Returns
    -------
    The effect is epsilon squared, or Cramer's V; chi-square's p-value is of permuted donors, as
    many of its cells are small.
    """
    known = column.notna().to_numpy()
    group, column = group[known], column[known]
    if len(np.unique(group)) < 2 or column.nunique() < 2:
        return Tested("none", len(group), 0.0, 1.0)
    if is_number(column):
        return _kruskal(group, column.to_numpy(dtype=float))
    return _chi_square(group, pd.factorize(column)[0], rng)


def associate_feature(feature: np.ndarray, column: pd.Series) -> Tested:
    """Test a feature of donors against a column: Spearman, or Kruskal and Wallis."""
    known = column.notna().to_numpy()
    feature, column = feature[known], column[known]
    if np.ptp(feature) == 0 or column.nunique() < 2:
        return Tested("none", len(feature), 0.0, 1.0)
    if is_number(column):
        rho, p_value = stats.spearmanr(feature, column.to_numpy(dtype=float))
        return Tested("Spearman", len(feature), abs(float(rho)), float(p_value))
    return _kruskal(pd.factorize(column)[0], feature)


def associate_hazard(feature: np.ndarray, time: np.ndarray, event: np.ndarray) -> Tested:
    """Test a feature against survival: Wald's test of Cox's regression, per standard deviation."""
    scale = feature.std()
    if scale == 0:
        return Tested("none", len(feature), 0.0, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a likelihood that is flat far out
        model = PHReg(time, (feature - feature.mean()) / scale, status=event, ties="efron")
        fitted = model.fit(disp=0)
    effect, p_value = abs(float(fitted.params[0])), float(fitted.pvalues[0])
    return Tested("Cox", len(feature), effect, p_value if np.isfinite(p_value) else 1.0)


def adjust(p_values: list[float]) -> list[float]:
    """Benjamini and Hochberg's false discovery rates."""
    return [float(one) for one in stats.false_discovery_control(p_values)] if p_values else []


def adjust_all(p_values: list[float]) -> list[float]:
    """Holm's adjusted p-values: the chance that any of them is as small."""
    return [float(one) for one in multipletests(p_values, method="holm")[1]]


def _kruskal(group: np.ndarray, values: np.ndarray) -> Tested:
    n = len(values)
    if np.ptp(values) == 0:
        return Tested("none", n, 0.0, 1.0)
    found = stats.kruskal(*(values[group == one] for one in np.unique(group)))
    return Tested("Kruskal-Wallis", n, float(found.statistic / (n - 1)), float(found.pvalue))


def _chi_square(group: np.ndarray, word: np.ndarray, rng: np.random.Generator) -> Tested:
    group = np.unique(group, return_inverse=True)[1]
    shape = (int(group.max()) + 1, int(word.max()) + 1)
    n = len(group)
    expected = np.outer(np.bincount(group), np.bincount(word)) / n

    def statistic(words: np.ndarray) -> float:
        seen = np.bincount(group * shape[1] + words, minlength=expected.size).reshape(shape)
        return float(((seen - expected) ** 2 / expected).sum())

    found = statistic(word)
    permuted = np.array([statistic(rng.permutation(word)) for _ in range(_N_PERMUTATIONS)])
    effect = np.sqrt(found / (n * (min(shape) - 1)))
    return Tested("chi-square", n, float(min(effect, 1.0)), permutation_p(found, permuted))
