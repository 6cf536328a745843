"""Whether donors' features tell a condition, beside covariates alone and the majority."""

import logging

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scpress.cells.panels import UNASSIGNED
from scpress.config.cohort import ClassifyOptions
from scpress.donors.classification import (
    Classifier,
    area_interval,
    area_under_curve,
    make_folds,
    permutation_p,
    permute_labels,
)
from scpress.donors.design import Comparison, compare
from scpress.donors.features import log_ratios
from scpress.donors.views import make_pseudobulk
from scpress.tables.classification import Classification, View, Weight
from scpress.tables.cohort import TYPE_CELLS, CohortRecord, cohort_record

log = logging.getLogger("scpress")

COVARIATES = "covariates"
# Weights that are listed of each view.
_LISTED = 50


def classify(
    cohort: ad.AnnData, options: ClassifyOptions | None = None
) -> tuple[pd.DataFrame, Classification]:
    """Predict the condition of every donor by models of other donors.

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
    comparison = compare(cohort.obs, record, options, group_key=options.group_key)
    fewest = min(
        len(set(comparison.group[side])) for side in (comparison.is_case, ~comparison.is_case)
    )
    n_folds = min(options.n_folds, fewest)
    views, rows = [], []
    for name in (COVARIATES, *dict.fromkeys(options.views)):
        values, features = features_of(cohort, record, comparison, name)
        if not values.shape[1]:
            continue
        view, weights = _classify(values, features, comparison, name, n_folds, options)
        log.info(
            "classify: %s: AUC %.2f (%.2f to %.2f), p %.3f.",
            name,
            view.auc,
            view.auc_low,
            view.auc_high,
            view.p_value,
        )
        views.append(view)
        rows.append(weights)
    share = float(comparison.is_case.mean())
    return pd.concat(rows, ignore_index=True), Classification(
        condition_key=str(options.condition_key),
        levels=comparison.levels,
        held_out=options.group_key or record.donor_key,
        n_folds=n_folds,
        n_permutations=options.n_permutations,
        majority_accuracy=max(share, 1 - share),
        unit=tuple(map(str, cohort.obs_names[comparison.rows])),
        is_case=tuple(map(bool, comparison.is_case)),
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


def known_types(cohort: ad.AnnData, record: CohortRecord, rows: np.ndarray) -> tuple[str, ...]:
    """Types that each unit has enough cells of; of others a value would have to be made up."""
    n_cells = cohort.obsm[TYPE_CELLS].iloc[rows].to_numpy()
    is_known = (n_cells >= record.min_type_cells).all(axis=0)
    named = zip(record.types, is_known, strict=True)
    return tuple(name for name, kept in named if kept and name != UNASSIGNED)


def pseudobulk_of(
    cohort: ad.AnnData, record: CohortRecord, rows: np.ndarray
) -> tuple[sparse.csr_matrix, list[str]]:
    """[units, features] Log counts by type and gene, and their names."""
    view = make_pseudobulk(cohort[rows], known_types(cohort, record, rows))
    return view.matrix, view.features


def _classify(
    values: sparse.csr_matrix,
    features: list[str],
    comparison: Comparison,
    name: str,
    n_folds: int,
    options: ClassifyOptions,
) -> tuple[View, pd.DataFrame]:
    is_case, group = comparison.is_case, comparison.group
    # Of covariates alone there is nothing to take off.
    nuisance = comparison.nuisance.to_numpy(dtype=float)[:, : 0 if name == COVARIATES else None]
    classifiers, folds = [], []
    for repeat in range(options.n_repeats):
        # The same folds for every view.
        rng = np.random.default_rng([options.seed, repeat])
        fold = make_folds(is_case, group, n_folds, rng)
        folds.append(fold)
        inner = [
            make_folds(is_case[fold != one], group[fold != one], min(3, n_folds), rng)
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
    found = [one.predict(is_case) for one in classifiers]
    scores = np.array([one.score for one in found])
    probability = np.mean([1 / (1 + np.exp(-one.log_odds)) for one in found], axis=0)
    rng = np.random.default_rng([options.seed, options.n_repeats])
    permuted = np.empty(options.n_permutations)
    for number in range(options.n_permutations):
        labels = permute_labels(is_case, comparison.donor, rng)
        tried = np.array([one.predict(labels).score for one in classifiers])
        permuted[number] = area_under_curve(tried, np.array(folds), labels)
    area = area_under_curve(scores, np.array(folds), is_case)
    low, high = area_interval(scores, np.array(folds), is_case, permuted)
    share = is_case.mean()
    view = View(
        name=name,
        n_features=values.shape[1],
        auc=area,
        auc_low=low,
        auc_high=high,
        p_value=permutation_p(area, permuted),
        permuted_auc=float(permuted.mean()),
        accuracy=float(((probability > 0.5) == is_case).mean()),
        brier=float(np.mean((probability - is_case) ** 2)),
        base_brier=float(share * (1 - share)),
        probability=tuple(map(float, probability)),
    )
    weights = np.concatenate([one.weights for one in found])
    mean = weights.mean(axis=0)
    heaviest = np.argsort(-np.abs(mean), kind="stable")[:_LISTED]
    heaviest = heaviest[mean[heaviest] != 0]
    same = (np.sign(weights[:, heaviest]) == np.sign(mean[heaviest])).mean(axis=0)
    table = pd.DataFrame(
        {
            "view": name,
            "feature": [features[one] for one in heaviest],
            "weight": mean[heaviest],
            "share_of_folds": same,
        }
    )
    return view, table[list(Weight.__dataclass_fields__)]
