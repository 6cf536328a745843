"""Whether donors' features tell a condition, beside covariates alone and the majority."""

import logging

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scpress.config.cohort import ClassifyOptions
from scpress.donors.classification import Classifier, make_folds, permute_labels
from scpress.donors.design import Comparison, compare
from scpress.donors.features import log_ratios
from scpress.donors.performance import (
    GRID,
    accuracies,
    area_interval,
    areas_under_curves,
    calibrate,
    one_against_others,
    permutation_p,
    roc_curve,
)
from scpress.donors.views import pseudobulk_of
from scpress.tables.classification import Calibration, Classification, Roc, View, Weight
from scpress.tables.cohort import TYPE_CELLS, CohortRecord, cohort_record

log = logging.getLogger("scpress")

COVARIATES = "covariates"
# Weights that are listed of each view.
_LISTED = 50


def classify(
    cohort: ad.AnnData, options: ClassifyOptions | None = None
) -> tuple[pd.DataFrame, Classification]:
    """Predict the condition of every donor by models of other donors.

    More than two conditions are told apart each from all others.

    Returns
    -------
    weights, record
        A row of `tables.classification.Weight` for the heaviest features of each view.

    Raises
    ------
    InputError
        As `donors.design.compare`, whose batch and covariates are a view of their own here.
    """
    options = options or ClassifyOptions()
    record = cohort_record(cohort)
    comparison = compare(cohort.obs, record, options, group_key=options.group_key, several=True)
    sizes = np.bincount(comparison.condition)
    fewest = min(
        len(set(comparison.group[comparison.condition == one])) for one in range(len(sizes))
    )
    n_folds = min(options.n_folds, fewest)
    views, rows = [], []
    for name in (COVARIATES, *dict.fromkeys(options.views)):
        values, features = features_of(cohort, record, comparison, name)
        if not values.shape[1]:
            continue
        view, weights = _classify(values, features, comparison, name, n_folds, options)
        log.info(
            "classify: %s: AUC %.2f (%.2f to %.2f), p %.3f, balanced accuracy %.2f.",
            name,
            view.auc,
            view.auc_low,
            view.auc_high,
            view.p_value,
            view.balanced_accuracy,
        )
        views.append(view)
        rows.append(weights)
    return pd.concat(rows, ignore_index=True), Classification(
        condition_key=str(options.condition_key),
        levels=comparison.levels,
        held_out=options.group_key or record.donor_key,
        n_folds=n_folds,
        n_permutations=options.n_permutations,
        majority_accuracy=float(sizes.max() / sizes.sum()),
        unit=tuple(map(str, cohort.obs_names[comparison.rows])),
        condition=tuple(map(int, comparison.condition)),
        views=tuple(views),
    )


def features_of(
    cohort: ad.AnnData, record: CohortRecord, comparison: Comparison, view: str
) -> tuple[sparse.csr_matrix, list[str]]:
    """[units, features] Of each unit by itself, and their names; none where a view has nothing."""
    rows = comparison.rows
    if view == COVARIATES:
        table = comparison.nuisance
        return sparse.csr_matrix(table.to_numpy(dtype=float)), [str(name) for name in table]
    if view == "composition":
        if len(record.types) < 2:
            return sparse.csr_matrix((len(rows), 0)), []
        n_cells = cohort.obsm[TYPE_CELLS].iloc[rows].to_numpy()
        return sparse.csr_matrix(log_ratios(n_cells)), list(record.types)
    return pseudobulk_of(cohort, record, rows)


def _classify(
    values: sparse.csr_matrix,
    features: list[str],
    comparison: Comparison,
    name: str,
    n_folds: int,
    options: ClassifyOptions,
) -> tuple[View, pd.DataFrame]:
    condition, group = comparison.condition, comparison.group
    # Of covariates alone there is nothing to take off.
    nuisance = comparison.nuisance.to_numpy(dtype=float)[:, : 0 if name == COVARIATES else None]
    classifiers, divisions = [], []
    for repeat in range(options.n_repeats):
        # The same folds for every view.
        rng = np.random.default_rng([options.seed, repeat])
        fold = make_folds(condition, group, n_folds, rng)
        divisions.append(fold)
        inner = [
            make_folds(condition[fold != one], group[fold != one], min(3, n_folds), rng)
            for one in range(n_folds)
        ]
        classifiers.append(
            Classifier(
                values,
                nuisance,
                fold,
                inner,
                n_features=options.n_features,
                n_directions=options.n_components if name == "components" else None,
            )
        )
    folds, n_levels = np.array(divisions), len(comparison.levels)

    cases = one_against_others(condition, n_levels)
    rng = np.random.default_rng([options.seed, options.n_repeats])
    n_problems = len(cases)
    # The labels first and permuted ones after them, all at once.
    sets = [cases]
    for _ in range(options.n_permutations):
        permuted = permute_labels(condition, comparison.donor, rng)
        sets.append(one_against_others(permuted, n_levels))
    tried = [one.predict(np.concatenate(sets)) for one in classifiers]
    scores = np.array([one.score for one in tried])
    areas = np.array(
        [
            areas_under_curves(scores[:, at * n_problems : (at + 1) * n_problems], folds, labels)
            for at, labels in enumerate(sets)
        ]
    )
    view = _judge(
        name,
        values.shape[1],
        comparison,
        scores[:, :n_problems],
        np.array([one.log_odds[:n_problems] for one in tried]),
        folds,
        areas,
        rng,
    )
    named = comparison.levels if n_levels > 2 else comparison.levels[1:]
    tables = []
    for number, case in enumerate(named):
        weights = [one.weigh(made, number) for one, made in zip(classifiers, tried, strict=True)]
        table = _list_weights(np.concatenate(weights), features)
        tables.append(table.assign(view=name, condition=case))
    return view, pd.concat(tables, ignore_index=True)[list(Weight.__dataclass_fields__)]


def _judge(
    name: str,
    n_features: int,
    comparison: Comparison,
    scores: np.ndarray,
    log_odds: np.ndarray,
    folds: np.ndarray,
    areas: np.ndarray,
    rng: np.random.Generator,
) -> View:
    """How good the predictions of one view are.

    Parameters
    ----------
    scores, log_odds
        [repeats, problems, units]
    areas
        [1 + permutations, problems] Of the labels and of permuted ones.
    """
    condition, levels = comparison.condition, comparison.levels
    cases, (area, permuted) = one_against_others(condition, len(levels)), (areas[0], areas[1:])
    curves = []
    for number, is_case in enumerate(cases):
        one = slice(number, number + 1)
        low, high = area_interval(
            scores[:, one], folds, cases[one], is_case.astype(int), permuted[:, number]
        )
        part, least, most = roc_curve(scores[:, number], folds, is_case, rng)
        curves.append(
            Roc(
                condition=levels[number if len(levels) > 2 else 1],
                auc=float(area[number]),
                auc_low=low,
                auc_high=high,
                others=_floats(GRID),
                cases=_floats(part),
                low=_floats(least),
                high=_floats(most),
            )
        )
    probability = _probabilities(log_odds)
    predicted = probability.argmax(axis=1)
    accuracy, balanced = accuracies(
        condition, predicted, _probabilities(scores).argmax(axis=1), rng
    )
    is_hit, of_hit = condition == 1, probability[:, 1]
    if len(levels) > 2:
        is_hit, of_hit = predicted == condition, probability.max(axis=1)
    bins = calibrate(of_hit, is_hit)
    low, high = area_interval(scores, folds, cases, condition, permuted.mean(axis=1))
    truth = np.eye(len(levels))[condition]
    share = truth.mean(axis=0)
    return View(
        name=name,
        n_features=n_features,
        auc=float(area.mean()),
        auc_low=low,
        auc_high=high,
        p_value=permutation_p(float(area.mean()), permuted.mean(axis=1)),
        permuted_auc=float(permuted.mean()),
        accuracy=accuracy.value,
        accuracy_low=accuracy.low,
        accuracy_high=accuracy.high,
        balanced_accuracy=balanced.value,
        balanced_accuracy_low=balanced.low,
        balanced_accuracy_high=balanced.high,
        brier=float(np.square(probability - truth).sum(axis=1).mean() / 2),
        base_brier=float((share * (1 - share)).sum() / 2),
        probability=tuple(map(_floats, probability)),
        curves=tuple(curves),
        calibration=Calibration(
            predicted=tuple(one.predicted for one in bins),
            observed=tuple(one.n_hits / one.n for one in bins),
            low=tuple(one.low for one in bins),
            high=tuple(one.high for one in bins),
            n=tuple(one.n for one in bins),
        ),
    )


def _probabilities(log_odds: np.ndarray) -> np.ndarray:
    """[units, levels] Of each condition against the others, the mean over repeats, scaled to 1."""
    each = np.mean(1 / (1 + np.exp(-log_odds)), axis=0).T
    if each.shape[1] == 1:
        return np.column_stack([1 - each, each])
    return each / each.sum(axis=1, keepdims=True)


def _floats(values: np.ndarray) -> tuple[float, ...]:
    # Sums of shares may be over 1 by their last bit.
    return tuple(map(float, np.clip(values, 0.0, 1.0)))


def _list_weights(weights: np.ndarray, features: list[str]) -> pd.DataFrame:
    """The heaviest features; `weights` [folds, features]."""
    mean = weights.mean(axis=0)
    heaviest = np.argsort(-np.abs(mean), kind="stable")[:_LISTED]
    heaviest = heaviest[mean[heaviest] != 0]
    same = (np.sign(weights[:, heaviest]) == np.sign(mean[heaviest])).mean(axis=0)
    return pd.DataFrame(
        {
            "feature": [features[one] for one in heaviest],
            "weight": mean[heaviest],
            "share_of_folds": same,
        }
    )
