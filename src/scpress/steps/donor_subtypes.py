"""Groups that donors fall into by themselves, each held against chance, batch and depth."""

import logging

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scpress import slots
from scpress.config.cohort import CohortOptions, DonorSubtypesOptions
from scpress.donors.associations import (
    Tested,
    adjust,
    associate_feature,
    associate_groups,
    associate_hazard,
    can_be_tested,
)
from scpress.donors.design import as_numbers, column_of, numbers_of
from scpress.donors.subtypes import Background, Grouping, choose, judge, name_groups
from scpress.donors.sums import require_counts
from scpress.donors.survival import log_rank, require_times, survival_curve
from scpress.donors.views import Cells, known_types, make_view
from scpress.errors import InputError
from scpress.steps.cohort import ALL_CELLS, types_of, units_of
from scpress.tables.cohort import (
    MOLECULES,
    N_CELLS,
    TYPE_CELLS,
    CohortRecord,
    cohort_record,
    layer_of,
)
from scpress.tables.donor_subtypes import (
    CONFIDENCE,
    DONOR_SUBTYPE,
    NO_SUBTYPE,
    NOTHING_FOUND,
    Association,
    DonorSubtypes,
    SubtypeSurvival,
)

log = logging.getLogger("scpress")

# Fewest donors among whom groups are looked for: two of three.
_MIN_DONORS = 6


def donor_subtypes(
    cohort: ad.AnnData,
    options: DonorSubtypesOptions | None = None,
    *,
    counts: ad.AnnData | None = None,
    annotation: ad.AnnData | None = None,
    latent: ad.AnnData | None = None,
) -> tuple[pd.DataFrame, DonorSubtypes]:
    """Group donors in each view, keep what no null makes, and say what goes with it.

    Parameters
    ----------
    counts, annotation, latent
        The cells that the cohort was made of, to be drawn anew; without them molecules are.

    Returns
    -------
    table, record
        [donors] donor, donor_subtype, donor_subtype_confidence, and the groups of each view, kept
        or not; and all that was tried.

    Raises
    ------
    InputError
        Fewer than six donors, donors in two units, no counts, donors who are all alike, other
        cells than the cohort's, a column that is not there or lacks values, times or events that
        cannot be.
    """
    options = options or DonorSubtypesOptions()
    record = cohort_record(cohort)
    _require_donors(cohort, record, options)
    times = _read_times(cohort, options)
    batch = _read_batch(cohort.obs, options)
    covariates = _read_covariates(cohort.obs, options)
    nuisance = np.hstack([batch, covariates])
    if np.linalg.matrix_rank(nuisance) + 1 > cohort.n_obs // 2:
        raise InputError(
            f"batch and covariates are {np.linalg.matrix_rank(nuisance)} columns, too many to be "
            f"taken off {cohort.n_obs} donors. Name fewer covariates, or set batch_key to null."
        )
    cells = None
    if counts is not None:
        cells = _read_cells(cohort, record, counts, annotation, latent, options)
    background = Background(cohort, record, batch, covariates, cells)
    known = known_types(cohort, record, np.arange(cohort.n_obs))
    if rare := [name for name in record.types if name not in known]:
        log.info(
            "donor_subtypes: of %s some donors have fewer than %d cells: only frequencies of these "
            "are looked at.",
            ", ".join(rare),
            record.min_type_cells,
        )
    tries = []
    for name in dict.fromkeys(options.views):
        view = make_view(cohort, record, name, known)
        if view is None:
            continue
        rng = np.random.default_rng([options.seed, DonorSubtypesOptions.views.index(name)])
        grouping = Grouping(view, background, options, rng)
        if grouping.is_varied:
            tries.append((grouping, grouping.attempt()))
    if not tries:
        raise InputError(
            f"all {cohort.n_obs} donors are alike in {', '.join(options.views)}, or the cohort has "
            "none of these; no groups can be told. Are these the counts?"
        )
    views = judge([tried for _, tried in tries], options)
    for view_record in views:
        log.info("donor_subtypes: %s: %s.", view_record.name, view_record.reason)
    best = choose(views)
    group = np.zeros(cohort.n_obs, dtype=np.int64)
    confidence = None
    if best is not None:
        group, confidence = tries[best][0].group, tries[best][0].confidence
    names = [NO_SUBTYPE] * cohort.n_obs if best is None else name_groups(group)
    verdict = f"{NOTHING_FOUND}."
    if best is not None:
        sizes = ", ".join(map(str, np.bincount(group)))
        verdict = f"{views[best].n_groups} donor subtypes of {sizes} donors, by {views[best].name}."
    log.info("donor_subtypes: %s", verdict)
    made = DonorSubtypes(
        donor_key=record.donor_key,
        n_donors=cohort.n_obs,
        verdict=verdict,
        view="" if best is None else views[best].name,
        donor=tuple(map(str, cohort.obs_names)),
        donor_subtype=tuple(names),
        confidence=tuple(confidence) if confidence else None,
        views=tuple(views),
        associations=tuple(
            _associate(cohort, record, options, times, group, [one for one, _ in tries])
        ),
        survival=_compare_survival(options, times, group) if best is not None else None,
    )
    table = pd.DataFrame(
        {
            "donor": made.donor,
            DONOR_SUBTYPE: names,
            CONFIDENCE: np.array(confidence or [np.nan] * cohort.n_obs),
            **{f"{one.name}_group": one.group for one in views},
        }
    )
    return table, made


def with_subtypes(cohort: ad.AnnData, table: pd.DataFrame) -> ad.AnnData:
    """The cohort with the columns of the table in its obs; columns of these names give way."""
    made = cohort.copy()
    columns = table.set_index(made.obs_names).drop(columns="donor")
    taken = {name: f"{name}_input" for name in columns if name in made.obs}
    made.obs = made.obs.rename(columns=taken).join(columns)
    return made


def _require_donors(
    cohort: ad.AnnData, record: CohortRecord, options: DonorSubtypesOptions
) -> None:
    if options.max_subtypes < 2:
        raise InputError(
            f"max_subtypes is {options.max_subtypes}, and a grouping has two or more; set it to "
            "2 or more, 6 for example."
        )
    if record.split_by:
        raise InputError(
            f"donors are divided by {record.split_by!r}, and subtypes are of whole donors; give a "
            "cohort made without split_by."
        )
    if cohort.n_obs < _MIN_DONORS:
        raise InputError(
            f"{cohort.n_obs} donor{'' if cohort.n_obs == 1 else 's'}, and subtypes are looked for "
            f"among {_MIN_DONORS} or more. Give more donors."
        )
    for counts in (cohort.X, *(cohort.layers[layer_of(one)] for one in record.types)):
        require_counts(sparse.csr_matrix(counts))


def _read_batch(obs: pd.DataFrame, options: DonorSubtypesOptions) -> np.ndarray:
    """[donors, columns] Batches but one; none where donors have no such column."""
    if options.batch_key is None or options.batch_key not in obs:
        return np.empty((len(obs), 0))
    column = _complete(obs, options.batch_key, "batch_key")
    return as_numbers(column.astype(str), options.batch_key).to_numpy()


def _read_covariates(obs: pd.DataFrame, options: DonorSubtypesOptions) -> np.ndarray:
    parts = [as_numbers(_complete(obs, name, "covariates"), name) for name in options.covariates]
    return np.hstack([np.empty((len(obs), 0)), *(one.to_numpy() for one in parts)])


def _complete(obs: pd.DataFrame, name: str, key: str) -> pd.Series:
    column = column_of(obs, name, key)
    lacks = (column.isna() | (column.astype(str) == "")).to_numpy()
    if lacks.any():
        raise InputError(
            f"{name!r} is missing for {int(lacks.sum())} of {len(obs)} donors, "
            f"{str(obs.index[lacks][0])!r} the first. Give it, or do not name it in {key}."
        )
    return column


def _read_times(
    cohort: ad.AnnData, options: DonorSubtypesOptions
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Rows of donors whose time and event are known, and these; none where none are asked for."""
    if options.time_key is None and options.event_key is None:
        return None
    time, event = (
        numbers_of(cohort.obs, getattr(options, key), key) for key in ("time_key", "event_key")
    )
    rows = np.flatnonzero(~(np.isnan(time) | np.isnan(event)))
    names = cohort.obs_names[rows].to_numpy().astype(str)
    require_times(time[rows], event[rows], names)
    return rows, time[rows], event[rows]


def _read_cells(
    cohort: ad.AnnData,
    record: CohortRecord,
    counts: ad.AnnData,
    annotation: ad.AnnData | None,
    latent: ad.AnnData | None,
    options: DonorSubtypesOptions,
) -> Cells:
    """The cells of the cohort's donors, checked to be those."""
    type_key = None if record.types == (ALL_CELLS,) else options.type_key
    words = CohortOptions(donor_key=record.donor_key, type_key=type_key)
    number, names = units_of(counts.obs, words)
    cell_type, types = types_of(counts, annotation, words)
    row = pd.Series(np.arange(cohort.n_obs), index=cohort.obs_names.astype(str))
    unit = row.reindex(names.astype(str), fill_value=-1).to_numpy()[number]
    inside = unit >= 0
    n_cells = cohort.obsm[TYPE_CELLS].to_numpy()
    found = np.bincount(unit[inside] * len(types) + cell_type[inside], minlength=1)
    if tuple(types) != record.types or not np.array_equal(
        np.pad(found, (0, max(0, n_cells.size - len(found)))), n_cells.ravel()
    ):
        raise InputError(
            f"the cells are not those of the cohort: of {int(n_cells.sum())} cells of types "
            f"{', '.join(record.types):.100}, found {int(inside.sum())} of "
            f"{', '.join(types):.100}. Give the counts and annotation that it was made of, and "
            "type_key as there."
        )
    slots.require_same_genes(cohort.var_names, counts.var_names, "counts")
    points = None
    if latent is not None and record.model:
        slots.require(latent, slots.LATENT, model=record.model)
        slots.require_same_cells(counts.obs_names, latent.obs_names, "latent")
        points = np.asarray(latent.obsm[slots.LATENT.of(record.model)])
    return Cells(counts.X, unit, cell_type, points)


def _associate(
    cohort: ad.AnnData,
    record: CohortRecord,
    options: DonorSubtypesOptions,
    times: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
    group: np.ndarray,
    groupings: list[Grouping],
) -> list[Association]:
    """Subtypes, and features of donors, beside every column of donors that says something."""
    rng = np.random.default_rng([options.seed, len(DonorSubtypesOptions.views)])
    passed_over = {record.donor_key, options.batch_key, *options.covariates, N_CELLS, MOLECULES}
    passed_over |= {options.time_key, options.event_key}
    columns: dict[str, pd.Series] = {}
    said = set()
    for name, column in cohort.obs.items():
        # One column may be there twice, from the sheet and from the user's file.
        words = tuple(column.astype(str))
        if name not in passed_over and words not in said and can_be_tested(column):
            columns[str(name)] = column
            said.add(words)
    found: list[tuple[str, str, Tested]] = []
    for name, column in columns.items() if group.any() else ():
        found.append((DONOR_SUBTYPE, name, associate_groups(group, column, rng)))
    made = _adjusted(found)
    found = []
    for one in groupings:
        for label, feature in one.describe():
            for name, column in columns.items():
                found.append((label, name, associate_feature(feature, column)))
            if times is not None:
                rows, time, event = times
                found.append(
                    (label, str(options.time_key), associate_hazard(feature[rows], time, event))
                )
    return made + _adjusted(found)


def _adjusted(found: list[tuple[str, str, Tested]]) -> list[Association]:
    rates = adjust([tested.p_value for _, _, tested in found])
    return [
        Association(
            of=of,
            column=column,
            test=tested.test,
            n_donors=tested.n_donors,
            effect=tested.effect,
            p_value=tested.p_value,
            fdr=fdr,
        )
        for (of, column, tested), fdr in zip(found, rates, strict=True)
    ]


def _compare_survival(
    options: DonorSubtypesOptions,
    times: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
    group: np.ndarray,
) -> SubtypeSurvival | None:
    if times is None:
        return None
    rows, time, event = times
    group = group[rows]
    chi2, p_value = log_rank(time, event, group)
    curves = []
    for number in np.unique(group):
        inside = group == number
        name = name_groups(np.array([number]))[0]
        curves.append(survival_curve(name, time[inside], event[inside]))
    return SubtypeSurvival(
        time_key=str(options.time_key),
        event_key=str(options.event_key),
        n_donors=len(time),
        n_events=int(event.sum()),
        log_rank_chi2=chi2,
        log_rank_p=p_value,
        curves=tuple(curves),
    )
