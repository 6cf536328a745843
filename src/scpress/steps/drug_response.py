"""Whether expression tells how lines respond to drugs, beside the means of drugs and of lines."""

import logging
from dataclasses import dataclass, replace

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scpress import slots
from scpress.config.response import DrugResponseOptions
from scpress.donors.design import column_of, donors_of
from scpress.donors.drug_response import RIVALS, Design, Name, Predictor, deal
from scpress.donors.features import log_counts
from scpress.donors.performance import permutation_p
from scpress.donors.response_scores import (
    HeldOut,
    draw_weights,
    median_interval,
    skill,
    skill_interval,
)
from scpress.donors.views import pseudobulk_of
from scpress.errors import InputError
from scpress.tables.cohort import cohort_record
from scpress.tables.response import DrugModel, DrugResponse, DrugScore

log = logging.getLogger("scpress")

# Fewest lines of a fold; a correlation of fewer says nothing.
_MIN_FOLD = 3
# Fewest drugs from which an unseen one is told.
_MIN_DRUGS = 3


def drug_response(
    expression: ad.AnnData,
    responses: pd.DataFrame | None = None,
    options: DrugResponseOptions | None = None,
    *,
    drug_features: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, DrugResponse]:
    """Predict every response by models that have not seen its line, its drug, or either.

    Parameters
    ----------
    expression
        [lines, genes] `X`: whole numbers are counts, and read as log(1 + molecules in 10,000);
        others are read as they are, and should be logarithms. Or a cohort, whose donors are lines.
    responses
        [lines, drugs] NaN where there is none; columns of `obs` that begin with `obs_prefix` when
        not given.
    drug_features
        [drugs, features] Without these an unseen drug is predicted by what all drugs have in
        common.

    Returns
    -------
    scores, record
        A row of `tables.response.DrugScore` for each split, model and drug.

    Raises
    ------
    InputError
        No such lines or drugs, too few of them, values that are no numbers, or not positive where
        their logarithm is asked for, or drugs without features.
    """
    options = options or DrugResponseOptions()
    table = _of_obs(expression.obs, options) if responses is None else responses
    _require_distinct(table.index, "line", "the responses")
    _require_distinct(table.columns, "drug", "the responses")
    _require_distinct(expression.obs_names, "line", "the expression")
    table = _scaled(table.rename(index=str, columns=str), options)
    joined, left_out = _join(expression.obs_names.astype(str), table, options)
    rows = expression.obs_names.astype(str).get_indexer(joined.index)
    group = _groups(expression, rows, options)
    if group.max() + 1 < _MIN_FOLD * options.n_folds:
        raise _too_few(int(group.max()) + 1, options)
    splits = tuple(dict.fromkeys(options.splits))
    if joined.shape[1] < _MIN_DRUGS and set(splits) != {"line"}:
        raise InputError(
            f"an unseen drug is told from {_MIN_DRUGS} others on; drugs with responses: "
            f"{joined.shape[1]}. Give more drugs, or set splits to line."
        )
    values, is_counts = _values(expression, rows)
    design = Design(
        values=values,
        responses=joined.to_numpy(dtype=float),
        drug_features=_features_of(drug_features, joined.columns),
        n_features=options.n_features,
        n_components=options.n_components,
    )
    log.info(
        "drug_response: %d lines, %d drugs, %d responses; expression is read as %s.",
        *joined.shape,
        int(joined.notna().to_numpy().sum()),
        "counts" if is_counts else "log values",
    )
    if left_out:
        log.info("drug_response: left out: %s.", ", ".join(left_out))
    scores, models = [], []
    predicted = _predict(design, group, splits, options)
    for split in splits:
        of_split, found = _measure(predicted[split], joined.columns, group, split, options)
        scores.append(of_split)
        models += found
        best = max((one for one in found if one.model != RIVALS[split]), key=lambda one: one.skill)
        log.info(
            "drug_response: %s held out: %s saves %.0f %% (%.0f to %.0f) of the squared error of "
            "the %s; r %.2f.",
            split if split == "both" else f"{split}s",
            f"{best.model} of {best.view}" if best.view else best.model,
            *(100 * one for one in (best.skill, best.skill_low, best.skill_high)),
            RIVALS[split].replace("_", " "),
            best.r,
        )
    return pd.concat(scores, ignore_index=True), DrugResponse(
        scale=options.scale,
        is_counts=is_counts,
        has_drug_features=drug_features is not None,
        n_lines=len(joined),
        n_drugs=joined.shape[1],
        n_pairs=int(joined.notna().to_numpy().sum()),
        n_without_expression=len(table.index.difference(expression.obs_names.astype(str))),
        n_without_response=expression.n_obs - len(joined),
        left_out=tuple(left_out),
        n_line_folds=options.n_folds,
        n_drug_folds=min(options.n_folds, joined.shape[1]),
        n_permutations=options.n_permutations,
        models=tuple(models),
    )


# what is read -------------------------------------------------------------------------------------


def _of_obs(obs: pd.DataFrame, options: DrugResponseOptions) -> pd.DataFrame:
    """[lines, drugs] Columns of the lines, as numbers."""
    prefix = options.obs_prefix
    if prefix is None:
        raise InputError(
            "there are no responses: name a table in responses, or in obs_prefix what columns of "
            "obs begin with."
        )
    columns = [name for name in map(str, obs) if name.startswith(prefix) and name != prefix]
    if not columns:
        has = ", ".join(map(str, obs.columns)) or "nothing"
        raise InputError(f"no column of obs begins with {prefix!r}; there is {has:.200}.")
    made = {}
    for name in columns:
        texts = obs[name].astype(object)
        texts = texts.where(texts.notna() & (texts.astype(str).str.strip() != ""))
        numbers = pd.to_numeric(texts, errors="coerce")
        words = texts[texts.notna() & numbers.isna()]
        if len(words):
            raise InputError(
                f"obs[{name!r}] must be numbers; found {str(words.iloc[0])!r:.60} of line "
                f"{str(words.index[0])!r}."
            )
        made[name.removeprefix(prefix)] = numbers.astype(float)
    return pd.DataFrame(made, index=obs.index)


def _require_distinct(names: pd.Index, what: str, where: str) -> None:
    twice = names[names.duplicated()]
    if len(twice):
        raise InputError(f"{what} {str(twice[0])!r} is twice in {where}; keep one.")


def _scaled(table: pd.DataFrame, options: DrugResponseOptions) -> pd.DataFrame:
    """The responses, or their logarithms."""
    values = table.to_numpy(dtype=float)
    is_log = options.scale == "log"
    bad = np.argwhere(np.isinf(values) | (is_log & (values <= 0)))
    if len(bad):
        row, column = bad[0]
        wanted = "finite numbers" + is_log * ", above 0 where scale is log"
        advice = "Are these logarithms? Then set scale to as_is." if is_log else "Correct it."
        raise InputError(
            f"responses must be {wanted}; found {values[row, column]:g} of line "
            f"{table.index[row]!r} to drug {table.columns[column]!r}. {advice}"
        )
    return table.apply(np.log) if is_log else table


def _join(
    names: pd.Index, table: pd.DataFrame, options: DrugResponseOptions
) -> tuple[pd.DataFrame, list[str]]:
    """Responses of the lines that have expression, and the drugs that are left out."""
    common = names[names.isin(table.index)]
    if not len(common):
        raise InputError(
            f"no line of the responses has expression: they have {_some(table.index)}, and the "
            f"expression {_some(names)}. Name both alike."
        )
    if len(common) < _MIN_FOLD * options.n_folds:
        raise _too_few(len(common), options)
    joined = table.loc[common]
    values = joined.to_numpy()
    left_out, kept = [], []
    for drug, name in enumerate(joined):
        known = values[~np.isnan(values[:, drug]), drug]
        is_enough = len(known) >= options.min_lines
        kept.append(is_enough and np.ptp(known) > 0)
        if not kept[-1]:
            left_out.append(f"{name} ({'one value' if is_enough else f'lines: {len(known)}'})")
    if not any(kept):
        raise InputError(
            f"no drug has unlike responses of {options.min_lines} lines or more: "
            f"{', '.join(left_out):.200}. Give more lines, or lower min_lines."
        )
    return joined.loc[:, kept].dropna(how="all"), left_out


def _too_few(n: int, options: DrugResponseOptions) -> InputError:
    return InputError(
        f"lines, or groups of them, with expression and responses: {n}; n_folds {options.n_folds} "
        f"needs {_MIN_FOLD * options.n_folds}. Give more lines, or lower n_folds."
    )


def _some(names: pd.Index) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:3])
    return f"{shown:.120}{', ...' if len(names) > 3 else ''}"


def _groups(expression: ad.AnnData, rows: np.ndarray, options: DrugResponseOptions) -> np.ndarray:
    """[lines] Number of the group that is held out as a whole; lines of one donor are one."""
    if options.group_key is not None:
        column = column_of(expression.obs, options.group_key, "group_key").iloc[rows]
        if column.isna().any():
            raise InputError(
                f"{options.group_key!r} is missing for {int(column.isna().sum())} lines, "
                f"{str(column.index[column.isna()][0])!r} the first. Give it, or set group_key to "
                "null."
            )
        names = column.astype(str).to_numpy()
    elif slots.RECORD.name in expression.uns:
        names = donors_of(expression.obs, cohort_record(expression))[rows]
    else:
        return np.arange(len(rows))
    return np.unique(names, return_inverse=True)[1]


def _values(expression: ad.AnnData, rows: np.ndarray) -> tuple[sparse.csr_matrix, bool]:
    """[lines, genes] Log expression, and whether it was counts."""
    X = sparse.csr_matrix(expression.X)[rows]
    if not np.isfinite(X.data).all():
        raise InputError(
            f"expression must be finite; found {X.data[~np.isfinite(X.data)][0]:g}. Leave out the "
            "gene, or give its value."
        )
    is_counts = bool((X.data >= 0).all() and (X.data == np.rint(X.data)).all())
    if slots.RECORD.name in expression.uns:
        return pseudobulk_of(expression, cohort_record(expression), rows)[0], True
    return (log_counts(X) if is_counts else X.astype(float)), is_counts


def _features_of(features: pd.DataFrame | None, drugs: pd.Index) -> np.ndarray | None:
    if features is None:
        return None
    lacking = [name for name in drugs if name not in features.index]
    if lacking:
        raise InputError(
            f"drug {lacking[0]!r} has no row in drug_features, nor have {len(lacking) - 1} others. "
            "Give every drug one."
        )
    return features.loc[drugs].to_numpy(dtype=float)


# what is measured ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Predicted:
    """Of one split: every model's predictions, and correlations of permuted responses."""

    held_out: dict[Name, HeldOut]
    permuted: dict[Name, list[float]]


def _predict(
    design: Design, group: np.ndarray, splits: tuple[str, ...], options: DrugResponseOptions
) -> dict[str, _Predicted]:
    """{split: what is predicted in it}; the folds are the same for every split and model."""
    n_drugs = design.responses.shape[1]
    folds = []
    for repeat in range(options.n_repeats):
        rng = np.random.default_rng([options.seed, repeat])
        lines = deal(group, options.n_folds, rng)
        folds.append((lines, deal(np.arange(n_drugs), min(options.n_folds, n_drugs), rng)))
    words = tuple(tuple(dict.fromkeys(one)) for one in (options.views, options.learners))
    found: dict[str, list[dict[Name, np.ndarray]]] = {split: [] for split in splits}
    for lines, drugs in folds:
        predictor = Predictor(design, lines, drugs, *words)
        for split in splits:
            found[split].append(predictor.predict(split))
    made = {}
    for split in splits:
        # Where drugs are held out, each has all of its lines in one fold.
        compared = np.array([lines * (split != "drug") for lines, _ in folds])
        held_out = {
            name: HeldOut(
                responses=design.responses,
                predicted=np.array([one[name] for one in found[split]]),
                line_fold=compared,
            )
            for name in found[split][0]
        }
        made[split] = _Predicted(held_out, {name: [] for name in held_out})
    rng = np.random.default_rng([options.seed, options.n_repeats])
    for _ in range(options.n_permutations):
        for of_splits, permuted in (
            (("line", "both"), rng.permutation(design.responses, axis=0)),
            # Drug by drug: else a line's mean would still be that of its other drugs.
            (("drug",), rng.permuted(design.responses, axis=0)),
        ):
            predictor = Predictor(replace(design, responses=permuted), *folds[0], *words)
            for split in set(splits) & set(of_splits):
                for name, values in predictor.predict(split).items():
                    one = HeldOut(
                        responses=permuted,
                        predicted=values[None],
                        line_fold=made[split].held_out[name].line_fold[:1],
                    )
                    made[split].permuted[name].append(float(np.median(one.correlation())))
    return made


def _measure(
    predicted: _Predicted,
    drugs: pd.Index,
    group: np.ndarray,
    split: str,
    options: DrugResponseOptions,
) -> tuple[pd.DataFrame, list[DrugModel]]:
    """Scores of every model in one split."""
    n_drugs = len(drugs)
    rng = np.random.default_rng([options.seed, options.n_repeats + 1])
    lines, of_drugs = draw_weights(split, group, n_drugs, rng)
    of_rival = predicted.held_out[RIVALS[split], ""].squared_errors()
    models, rows = [], []
    for name, one in predicted.held_out.items():
        permuted = np.array(predicted.permuted[name])
        errors = one.squared_errors()
        r = one.correlation()
        low, high = median_interval(one.correlations(lines), of_drugs)
        skills = skill_interval(errors.mean(axis=0), of_rival.mean(axis=0), lines, of_drugs)
        models.append(
            DrugModel(
                split=split,
                model=name[0],
                view=name[1],
                rmse=one.rmse(),
                r=float(np.median(r)),
                r_low=low,
                r_high=high,
                pooled_r=one.pooled_correlation(),
                skill=skill(errors, of_rival),
                skill_low=skills[0],
                skill_high=skills[1],
                skill_of_repeats=tuple(map(skill, errors, of_rival)),
                permuted_r=float(permuted.mean()),
                p_value=permutation_p(float(np.median(r)), permuted),
            )
        )
        n = one.known.sum(axis=0)
        rows.append(
            pd.DataFrame(
                {
                    "split": split,
                    "model": name[0],
                    "view": name[1],
                    "drug": drugs,
                    "n_lines": n,
                    "rmse": np.sqrt(errors.mean(axis=0).sum(axis=0) / n),
                    "r": r,
                    "skill": [
                        skill(errors[:, :, drug], of_rival[:, :, drug]) for drug in range(n_drugs)
                    ],
                }
            )[list(DrugScore.__dataclass_fields__)]
        )
    return pd.concat(rows, ignore_index=True), models
