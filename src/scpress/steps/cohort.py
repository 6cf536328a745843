"""Cells of donors summed up: how many of each type, their counts and their mean latents."""

import logging

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scpress import slots
from scpress.config.cohort import CohortOptions
from scpress.counts.genes import gene_symbols
from scpress.counts.measured import require_all_measured
from scpress.donors.sums import describe_units, mean_rows, sum_counts
from scpress.errors import InputError
from scpress.tables.cohort import (
    MOLECULES,
    N_CELLS,
    TYPE_CELLS,
    CohortRecord,
    latent_of,
    layer_of,
)

log = logging.getLogger("scpress")

# Of a cohort without types.
ALL_CELLS = "all"


def cohort(
    counts: ad.AnnData,
    annotation: ad.AnnData | None = None,
    latent: ad.AnnData | None = None,
    options: CohortOptions | None = None,
    *,
    model: str = "",
) -> ad.AnnData:
    """Sum up the cells of every donor; what is compared afterwards are donors.

    Parameters
    ----------
    counts
        [cells, genes] `X` raw counts, in memory or on disk; `obs`: the donor, and what is known of
        it. Bulk counts are donors of one cell each.
    annotation
        `obs` with the column of types; that of the counts where not given.
    latent
        `obsm["X_{model}"]`.

    Returns
    -------
    [donors, genes] `X` counts of all cells, CSR int64. `obs`: n_cells, molecules, and each column
    of the cells that has one value in all cells of every donor. `layers["counts_{type}"]`: counts
    of the donor's cells of that type. `obsm`: type_cells (cells of each type),
    `X_{model}` and `X_{model}_{type}` (mean latent). What is below a floor is left out by name: a
    donor's type is then all zeros, and NaN in the latent.
    `uns["scpress"]["cohort"]`: see `tables.cohort.CohortRecord`.

    Raises
    ------
    InputError
        No such column, a donor without a name, other cells, no counts, or fewer than two donors.
    """
    require_all_measured(counts, "cohort")
    options = options or CohortOptions()
    unit, names = units_of(counts.obs, options)
    cell_type, types = types_of(counts, annotation, options)
    if latent is not None:
        slots.require(latent, slots.LATENT, model=model)
        slots.require_same_cells(counts.obs_names, latent.obs_names, "latent")
    n_cells = np.bincount(unit, minlength=len(names))
    kept = np.flatnonzero(n_cells >= options.min_cells)
    left_out = [
        f"{names[one]} ({n_cells[one]} cells)"
        for one in np.flatnonzero(n_cells < options.min_cells)
    ]
    if len(kept) < 2:
        raise InputError(
            f"{len(kept)} donor{'' if len(kept) == 1 else 's'} of at least {options.min_cells} "
            f"cells of {len(names)} in obs[{options.donor_key!r}], and a cohort has two or more. "
            "Give more donors, or lower `min_cells`."
        )
    number = np.full(len(names), -1)
    number[kept] = np.arange(len(kept))
    unit, names = number[unit], names[kept]
    n_units, n_types = len(names), len(types)
    inside = unit >= 0
    group = np.where(inside, unit * n_types + cell_type, -1)
    sums = sum_counts(counts.X, group, n_units * n_types)
    type_cells = np.bincount(group[inside], minlength=n_units * n_types).reshape(n_units, n_types)
    is_used = type_cells >= options.min_type_cells
    left_out += [
        f"{names[row]}: {types[column]} ({type_cells[row, column]} cells)"
        for row, column in zip(*np.nonzero(~is_used & (type_cells > 0)), strict=True)
    ]

    rows = np.flatnonzero(inside)
    ours = [name for name in counts.obs if slots.is_ours("obs", str(name))]
    cells = counts.obs.iloc[rows].drop(columns=[o for o in ours if o != slots.SAMPLE.name])
    table, varying = describe_units(cells, unit[rows], names)
    table = table.rename(columns={name: f"{name}_input" for name in (N_CELLS, MOLECULES)})
    made = ad.AnnData(
        X=_rows_of_units(sums, np.ones_like(is_used), range(n_types)),
        obs=table,
        var=_genes(counts.var),
    )
    made.obs[N_CELLS] = type_cells.sum(axis=1)
    made.obs[MOLECULES] = np.asarray(made.X.sum(axis=1)).ravel()
    made.obsm[TYPE_CELLS] = pd.DataFrame(type_cells, index=made.obs_names, columns=types)
    for column, name in enumerate(types):
        made.layers[layer_of(name)] = _rows_of_units(sums, is_used, [column])
    if latent is not None:
        points = np.asarray(latent.obsm[slots.LATENT.of(model)])
        made.obsm[latent_of(model)] = mean_rows(points, unit, n_units)
        of_types = mean_rows(points, group, n_units * n_types).reshape(n_units, n_types, -1)
        of_types[~is_used] = np.nan
        for column, name in enumerate(types):
            made.obsm[latent_of(model, name)] = of_types[:, column]
    record = CohortRecord(
        donor_key=options.donor_key,
        split_by=options.split_by or "",
        types=tuple(types),
        min_type_cells=options.min_type_cells,
        model=model if latent is not None else "",
        left_out=tuple(left_out),
        varying=tuple(varying),
        varying_example=tuple(varying.values()),
    )
    made.uns[slots.RECORD.name] = {"cohort": record.as_plain()}
    if left_out:
        log.info("cohort: below the floor: %s.", ", ".join(left_out))
    log.info("cohort: %d donors of %d types.", n_units, n_types)
    return made


def units_of(obs: pd.DataFrame, options: CohortOptions) -> tuple[np.ndarray, np.ndarray]:
    """[cells] Number of each cell's unit, and [units] their names."""
    columns = [options.donor_key, *([options.split_by] if options.split_by else [])]
    for column in columns:
        if column not in obs:
            has = ", ".join(map(str, obs.columns)) or "nothing"
            raise InputError(
                f"obs has no column {column!r} of donors; it has {has:.200}. Give the sample sheet "
                "such a column, or name another."
            )
        lacks = obs[column].isna() | (obs[column].astype(str) == "")
        if lacks.any():
            raise InputError(
                f"obs[{column!r}] is empty in {int(lacks.sum())} cells, {obs.index[lacks][0]!r} "
                "the first. Give every cell one."
            )
    texts = obs[columns[0]].astype(str)
    for column in columns[1:]:
        texts = texts + "|" + obs[column].astype(str)
    unit, names = pd.factorize(texts, sort=True)
    return unit, np.asarray(names, dtype=object)


def types_of(
    counts: ad.AnnData, annotation: ad.AnnData | None, options: CohortOptions
) -> tuple[np.ndarray, list[str]]:
    """[cells] Number of each cell's type, and [types] their names."""
    if options.type_key is None:
        return np.zeros(counts.n_obs, dtype=np.int64), [ALL_CELLS]
    source = counts
    if annotation is not None:
        slots.require_same_cells(counts.obs_names, annotation.obs_names, "annotation")
        source = annotation
    if options.type_key not in source.obs:
        raise InputError(
            f"obs has no column {options.type_key!r} of types. Give the annotation, name another "
            "with type_key, or null, and all cells are of one type."
        )
    code, names = pd.factorize(source.obs[options.type_key].astype(str), sort=True)
    keys = pd.Series([layer_of(name) for name in names])
    if keys.duplicated().any():
        raise InputError(
            f"two types have the key {keys[keys.duplicated()].iloc[0]!r} in a file. Rename one."
        )
    return code, [str(name) for name in names]


def _rows_of_units(
    sums: sparse.csr_matrix, is_used: np.ndarray, columns: "range | list[int]"
) -> sparse.csr_matrix:
    """[units, genes] Sums of some types of each unit."""
    n_units, n_types = is_used.shape
    pairs = [(one, one * n_types + c) for c in columns for one in np.flatnonzero(is_used[:, c])]
    rows, groups = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    members = sparse.csr_matrix(
        (np.ones(len(rows), dtype=np.int64), (rows, groups)), shape=(n_units, sums.shape[0])
    )
    made = sparse.csr_matrix(members @ sums)
    made.sort_indices()
    return made


def _genes(var: pd.DataFrame) -> pd.DataFrame:
    made = pd.DataFrame(index=var.index.copy())
    if slots.GENE_ID.name in var:
        made[slots.GENE_ID.name] = var[slots.GENE_ID.name]
    made[slots.GENE_SYMBOL.name] = gene_symbols(var)
    return made
