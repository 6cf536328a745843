"""Whether donors' features tell who lives longer, on donors from whom nothing was learned."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from scpress.donors.features import learn_rotation
from scpress.errors import InputError
from scpress.tables.survival import Curve

# Fewest events that a coefficient of a Cox regression is learned from.
_EVENTS_PER_DIRECTION = 5
_Z = 1.959964


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


@dataclass(frozen=True)
class Hazards:
    """[columns] Log hazard ratios of a Cox regression, their standard errors and p-values."""

    log_ratio: np.ndarray
    error: np.ndarray
    p_value: np.ndarray


def fit_cox(values: np.ndarray, time: np.ndarray, event: np.ndarray) -> Hazards:
    """A Cox regression on the columns, ties by Efron."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a likelihood that is flat far out
        fitted = PHReg(time, values, status=event, ties="efron").fit(disp=0)
        return Hazards(*(np.asarray(one) for one in (fitted.params, fitted.bse, fitted.pvalues)))


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
        weights = fit_cox(points / scale, time[train], event[train]).log_ratio
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


def survival_curve(name: str, time: np.ndarray, event: np.ndarray) -> Curve:
    """Kaplan and Meier's curve of some donors.

    The interval is of Greenwood's variance on the scale log(-log(share)).
    """
    found = SurvfuncRight(time, event)
    alive = np.clip(np.asarray(found.surv_prob, dtype=float), 0.0, 1.0)
    error = np.asarray(found.surv_prob_se, dtype=float)
    # Where all are alive, or none, there is no scale; the share itself is all that is known.
    inside = (alive > 0) & (alive < 1) & np.isfinite(error)
    low, high = alive.copy(), alive.copy()
    logs = np.log(alive[inside])
    reach = np.exp(_Z * error[inside] / (alive[inside] * -logs))
    low[inside], high[inside] = np.exp(logs * reach), np.exp(logs / reach)
    return Curve(
        name=name,
        n_donors=len(time),
        n_events=int(event.sum()),
        time=tuple(map(float, found.surv_times)),
        n_at_risk=tuple(map(int, found.n_risk)),
        alive=tuple(map(float, alive)),
        low=tuple(map(float, low)),
        high=tuple(map(float, high)),
        censored=tuple(map(float, np.sort(time[event == 0]))),
    )
