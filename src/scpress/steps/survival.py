"""Whether counts of donors tell who lives longer."""

import logging

import anndata as ad
import numpy as np
import pandas as pd

from scpress.config.cohort import SurvivalOptions
from scpress.donors.classification import make_folds
from scpress.donors.design import donors_of, numbers_of
from scpress.donors.performance import permutation_p
from scpress.donors.survival import (
    concordance,
    concordance_interval,
    count_concordant,
    fit_cox,
    log_rank,
    predict_risk,
    require_times,
    survival_curve,
)
from scpress.donors.views import pseudobulk_of
from scpress.errors import InputError
from scpress.tables.cohort import cohort_record
from scpress.tables.survival import Hazard, Survival

log = logging.getLogger("scpress")


def survival(
    cohort: ad.AnnData, options: SurvivalOptions | None = None
) -> tuple[pd.DataFrame, Survival]:
    """Predict the hazard of every donor by Cox regressions on components of other donors.

    Returns
    -------
    risks, record
        [donors] donor, time, event, risk (log hazard by models that had not seen the donor).

    Raises
    ------
    InputError
        A column that is not there or lacks values, or as `donors.survival.require_times`.
    """
    options = options or SurvivalOptions()
    record = cohort_record(cohort)
    time, event = (
        numbers_of(cohort.obs, getattr(options, key), key) for key in ("time_key", "event_key")
    )
    known = np.isfinite(time) & np.isfinite(event)
    if not known.all() and options.missing == "refuse":
        raise InputError(
            f"time or event is missing for {int((~known).sum())} of {len(known)} donors, "
            f"{cohort.obs_names[~known][0]!r} the first. Give it, or set missing to drop."
        )
    rows = np.flatnonzero(known)
    time, event, names = time[rows], event[rows], cohort.obs_names[rows].to_numpy().astype(str)
    require_times(time, event, names)
    values, _ = pseudobulk_of(cohort, record, rows)
    donor = donors_of(cohort.obs, record)[rows]
    words = {"n_features": options.n_features, "n_components": options.n_components}
    folds = np.array(
        [
            make_folds(
                event == 1, donor, options.n_folds, np.random.default_rng([options.seed, repeat])
            )
            for repeat in range(options.n_repeats)
        ]
    )
    risks = np.array([predict_risk(values, time, event, fold, **words) for fold in folds])
    wins, asked = count_concordant(risks, folds, time, event)
    rng = np.random.default_rng([options.seed, options.n_repeats])
    found = concordance(wins, asked)
    low, high = concordance_interval(wins, asked, rng)
    permuted = np.empty(options.n_permutations)
    for number in range(options.n_permutations):
        order = rng.permutation(len(time))
        tried = np.array(
            [predict_risk(values, time[order], event[order], fold, **words) for fold in folds]
        )
        permuted[number] = concordance(*count_concordant(tried, folds, time[order], event[order]))
    risk = risks.mean(axis=0)
    is_high = risk > np.median(risk)
    chi2, log_rank_p = log_rank(time, event, is_high)
    curves = tuple(
        survival_curve(name, time[half], event[half])
        for name, half in (("lower risk", ~is_high), ("higher risk", is_high))
    )
    log.info("survival: concordance %.2f (%.2f to %.2f).", found, low, high)
    table = pd.DataFrame({"donor": names, "time": time, "event": event.astype(int), "risk": risk})
    return table, Survival(
        time_key=str(options.time_key),
        event_key=str(options.event_key),
        n_donors=len(time),
        n_events=int(event.sum()),
        n_folds=options.n_folds,
        concordance=found,
        concordance_low=low,
        concordance_high=high,
        p_value=permutation_p(found, permuted),
        permuted=float(permuted.mean()),
        log_rank_chi2=chi2,
        log_rank_p=log_rank_p,
        curves=curves,
        hazards=_hazards(risk, is_high, time, event),
    )


def _hazards(
    risk: np.ndarray, is_high: np.ndarray, time: np.ndarray, event: np.ndarray
) -> tuple[Hazard, ...]:
    """Of the predicted risk; a side without events has no hazard to be compared."""
    if not all(event[half].any() for half in (is_high, ~is_high)):
        return ()
    rows = []
    for name, column in (
        ("higher half", is_high.astype(float)),
        ("one standard deviation", (risk - risk.mean()) / risk.std()),
    ):
        found = fit_cox(column[:, None], time, event)
        rows.append(
            Hazard(
                name=name,
                log_ratio=float(found.log_ratio[0]),
                error=float(found.error[0]),
                p_value=float(found.p_value[0]),
            )
        )
    return tuple(rows)
