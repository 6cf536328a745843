"""Whether donors' features tell who lives longer, on donors from whom nothing was learned."""

import warnings

import numpy as np
from scipy import sparse
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from scpress.donors.features import learn_rotation
from scpress.errors import InputError

# Fewest events that a coefficient of a Cox regression is learned from.
_EVENTS_PER_DIRECTION = 5


def require_times(time: np.ndarray, event: np.ndarray, names: np.ndarray) -> None:
    """Check times and events of donors.

    Raises
    ------
    InputError
        A time is negative or not finite, an event is neither 0 nor 1, or too few have an event.
    """
    bad = np.flatnonzero(~(np.isfinite(time) & (time >= 0)))
    if len(bad):
        raise InputError(
            f"times are numbers of 0 and more; found {time[bad[0]]:g} of donor "
            f"{str(names[bad[0]])!r}."
        )
    bad = np.flatnonzero(~np.isin(event, (0, 1)))
    if len(bad):
        raise InputError(
            "events are 1 where one was seen and 0 where the time ended before; found "
            f"{event[bad[0]]:g} of donor {str(names[bad[0]])!r}."
        )
    if event.sum() < 2 * _EVENTS_PER_DIRECTION:
        raise InputError(
            f"{int(event.sum())} of {len(event)} donors have an event, and survival is compared "
            f"from {2 * _EVENTS_PER_DIRECTION} on. Give more donors, or longer times."
        )


def fit_cox(values: np.ndarray, time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """[columns] Log hazard ratios of a Cox regression, ties by Efron."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a likelihood that is flat far out
        model = PHReg(time, values, status=event, ties="efron")
        return np.asarray(model.fit(disp=0).params)


def predict_risk(
    values: sparse.csr_matrix,
    time: np.ndarray,
    event: np.ndarray,
    fold: np.ndarray,
    *,
    n_features: int,
    n_components: int,
) -> np.ndarray:
    """[donors] Log hazard of each by a Cox regression on components of the other folds' donors."""
    risk = np.zeros(len(time))
    nothing = np.empty((len(time), 0))
    for number in range(int(fold.max()) + 1):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        n = max(1, min(n_components, int(event[train].sum()) // _EVENTS_PER_DIRECTION))
        rotation = learn_rotation(
            values[train], nothing[train], n_features=n_features, n_directions=n
        )
        points = rotation.apply(values[train], nothing[train])
        scale = points.std(axis=0)
        weights = fit_cox(points / scale, time[train], event[train])
        risk[test] = rotation.apply(values[test], nothing[test]) / scale @ weights
    return risk


def count_concordant(
    risks: np.ndarray, folds: np.ndarray, time: np.ndarray, event: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """[donors, donors] How often who died first had the higher risk, ties half; how often asked.

    Row before column in time. Only donors of one fold are compared, as in `classification`.

    Parameters
    ----------
    risks, folds
        [repeats, donors]
    """
    first = (event[:, None] == 1) & (
        (time[:, None] < time) | ((time[:, None] == time) & (event == 0))
    )
    wins, asked = np.zeros(first.shape), np.zeros(first.shape)
    for risk, fold in zip(risks, folds, strict=True):
        together = first & (fold[:, None] == fold)
        difference = risk[:, None] - risk
        wins += together * ((difference > 0) + 0.5 * (difference == 0))
        asked += together
    return wins, asked


def concordance(wins: np.ndarray, asked: np.ndarray) -> float:
    """Harrell's C: the share of comparable pairs in the right order."""
    return float(wins.sum() / asked.sum())


def concordance_interval(
    wins: np.ndarray, asked: np.ndarray, rng: np.random.Generator, *, n_draws: int = 400
) -> tuple[float, float]:
    """95 % interval of it, by donors drawn with replacement."""
    n = len(wins)
    drawn = []
    for _ in range(n_draws):
        weight = np.bincount(rng.integers(0, n, n), minlength=n).astype(float)
        total = weight @ asked @ weight
        if total:
            drawn.append(weight @ wins @ weight / total)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def log_rank(time: np.ndarray, event: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Chi-square and p-value of equal hazards in all groups; 0 and 1 where there is one group."""
    if len(np.unique(group)) < 2:
        return 0.0, 1.0
    chi2, p_value = survdiff(time, event, group)
    return float(chi2), float(p_value)


def kaplan_meier(time: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times of events, and the share that lives on after each."""
    found = SurvfuncRight(time, event)
    return np.asarray(found.surv_times, dtype=float), np.asarray(found.surv_prob, dtype=float)
