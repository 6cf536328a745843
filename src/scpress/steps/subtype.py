"""Subtypes within each cell type or cluster, kept only with evidence from held-out molecules."""

import logging
from collections.abc import Sequence
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from scpress import slots
from scpress.cells.markers import no_markers
from scpress.cells.seeds import Confirmation, confirm_subtypes
from scpress.cells.subtypes import find_subtypes
from scpress.config.options import SubtypeOptions
from scpress.counts.genes import gene_symbols
from scpress.counts.matrix import select_columns
from scpress.counts.measured import common_genes
from scpress.errors import InputError

log = logging.getLogger("scpress")


def subtype(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    clusters: ad.AnnData | None,
    annotation: ad.AnnData | None,
    options: SubtypeOptions | None = None,
    *,
    seed: int = 0,
    latents: Sequence[ad.AnnData] = (),
    model: str = "",
) -> tuple[ad.AnnData, pd.DataFrame]:
    """Look for subtypes in every group of cells, and for those found in the latents of all seeds.

    Counts decide what a subtype is; that the latent of some seed does not have it drops none.

    Parameters
    ----------
    counts
        [cells, genes] `X` raw counts, in memory or on disk; `obs["sample"]` where there are
        several.
    normalized
        Size factors and the variable genes, which are the ones looked at.
    clusters, annotation
        `obs["leiden"]` or `obs["cell_type"]`; the one that `groupby` does not name may be None.
    latents
        [cells, 0] each. Latents of one model with its seeds; of one alone nothing can be told.

    Returns
    -------
    subtypes
        [cells, 0] `obs`: subtype, the group's name alone or with a number: "B", "NK.1", "NK.2"; and
        subtype_confidence where there are both subtypes and several seeds.
        `uns["scpress"]["subtype"]`: groups (name, cells, subtypes, reason), candidates (what was
        tried in each group and why it was kept or not), n_seeds and seeds (subtype, how many have
        it, agreement in the one of the least and of the most), one array per column.
    markers
        Of `markers.MARKER_COLUMNS`: the subtypes' markers, best first, as measured on held-out
        molecules of held-out cells; the others are the cells of the group's other subtypes.

    Raises
    ------
    InputError
        A slot is missing, the cells differ, or no gene is variable.
    """
    options = options or SubtypeOptions()
    groups, groupby = _groups(counts, clusters, annotation, options)
    slots.require(normalized, slots.SIZE_FACTOR, slots.HIGHLY_VARIABLE)
    slots.require_same_cells(counts.obs_names, normalized.obs_names, "normalized")
    size_factor = normalized.obs[slots.SIZE_FACTOR.name].to_numpy(dtype=np.float64)
    is_used = normalized.var[slots.HIGHLY_VARIABLE.name].to_numpy(dtype=bool)
    common = common_genes(counts, "subtype")
    columns = np.flatnonzero(is_used if common is None else is_used & common)
    if not len(columns):
        raise InputError("no gene is highly variable; raise `n_top_genes` of normalize.")
    matrix = select_columns(counts.X, columns)
    genes = counts.var_names.to_numpy().astype(str)[columns]
    for one in latents:
        slots.require(one, slots.LATENT, model=model)
        slots.require_same_cells(counts.obs_names, one.obs_names, "the latent of a seed")
    points = [np.asarray(one.obsm[slots.LATENT.of(model)]) for one in latents]
    sample = np.zeros(counts.n_obs, dtype=np.int64)
    if slots.SAMPLE.name in counts.obs:
        sample = pd.factorize(counts.obs[slots.SAMPLE.name].astype(str))[0]

    names = groups.astype(str).to_numpy().astype(object)
    group_rows: list[dict[str, Any]] = []
    candidate_rows: list[dict[str, Any]] = []
    seed_rows: list[dict[str, Any]] = []
    confidence = np.full(counts.n_obs, np.nan, dtype=np.float32)
    tables = []
    for number, group in enumerate(sorted(set(names))):
        rows = np.flatnonzero(names == group)
        if group == slots.UNASSIGNED:
            group_rows.append(_group_row(group, len(rows), 1, "cells without a type are no type"))
            continue
        if len(rows) > options.max_cells:
            log.info(
                "subtype: stability in %s is measured on subsamples of at most %d of %d cells.",
                group,
                options.max_cells,
                len(rows),
            )
        found = find_subtypes(
            matrix[rows],
            size_factor[rows],
            genes,
            sample[rows],
            options,
            rng=np.random.default_rng([seed, number]),
        )
        n_subtypes = int(found.labels.max()) + 1
        group_rows.append(_group_row(group, len(rows), n_subtypes, found.reason))
        candidate_rows += [{"group": group, **row} for row in found.candidates]
        if n_subtypes > 1:
            names[rows] = [f"{group}.{label + 1}" for label in found.labels]
            tables.append(_name_markers(found.markers, group, counts.var))
            if len(points) > 1:
                confirmation = confirm_subtypes(
                    found.labels,
                    [one[rows] for one in points],
                    sample[rows],
                    max_cells=options.max_cells,
                    rng=np.random.default_rng([seed, number, 1]),
                )
                confidence[rows] = confirmation.confidence
                seed_rows += _seed_rows(group, confirmation)
    n_split = sum(row["n_subtypes"] > 1 for row in group_rows)
    log.info("subtype: %d of %d groups have supported subtypes.", n_split, len(group_rows))
    for row in seed_rows:
        if row["n_found"] < len(points):
            log.info(
                "subtype: %s is found again in the latents of %d of %d seeds.",
                row["subtype"],
                row["n_found"],
                len(points),
            )

    result = ad.AnnData(obs=pd.DataFrame(index=counts.obs_names.copy()))
    result.obs[slots.SUBTYPE.name] = pd.Categorical(names.astype(str))
    result.uns[slots.RECORD.name] = {
        "subtype": {
            "groupby": groupby,
            "seed": seed,
            "groups": _as_arrays(group_rows),
            "candidates": _as_arrays(candidate_rows),
            "n_seeds": max(1, len(points)),
            "seeds": _as_arrays(seed_rows),
        }
    }
    if seed_rows:
        result.obs[slots.SUBTYPE_CONFIDENCE.name] = confidence
    return result, pd.concat(tables, ignore_index=True) if tables else no_markers()


def _groups(
    counts: ad.AnnData,
    clusters: ad.AnnData | None,
    annotation: ad.AnnData | None,
    options: SubtypeOptions,
) -> tuple[pd.Series, str]:
    """Groups of the cells, and what they are: clusters where no cell has a type."""
    by_type = options.groupby == slots.CELL_TYPE.name
    if by_type and annotation is not None and clusters is not None:
        slots.require(annotation, slots.CELL_TYPE)
        if (annotation.obs[slots.CELL_TYPE.name].astype(str) == slots.UNASSIGNED).all():
            log.info("subtype: no cell has a type, so subtypes of clusters are looked for.")
            by_type = False
    source, slot, what = (
        (annotation, slots.CELL_TYPE, "annotation")
        if by_type
        else (clusters, slots.LEIDEN, "clusters")
    )
    if source is None:
        raise InputError(f"groupby={options.groupby!r} needs the {what}; none were given.")
    groupby = slots.CELL_TYPE.name if by_type else slots.LEIDEN.name
    slots.require(source, slot)
    slots.require_same_cells(counts.obs_names, source.obs_names, what)
    return source.obs[slot.name], groupby


def _group_row(group: str, n_cells: int, n_subtypes: int, reason: str) -> dict[str, Any]:
    return {"group": group, "n_cells": n_cells, "n_subtypes": n_subtypes, "reason": reason}


def _seed_rows(group: str, found: Confirmation) -> list[dict[str, Any]]:
    return [
        {
            "subtype": f"{group}.{number + 1}",
            "n_found": int(found.n_found[number]),
            "least": float(of_seeds.min()),
            "most": float(of_seeds.max()),
        }
        for number, of_seeds in enumerate(found.agreement.T)
    ]


def _name_markers(markers: pd.DataFrame, group: str, var: pd.DataFrame) -> pd.DataFrame:
    """Give the subtypes their names and the genes their symbols."""
    number = markers["group"].to_numpy(dtype=np.int64)
    symbols = pd.Series(gene_symbols(var), index=var.index)
    return markers.assign(
        group=[f"{group}.{one + 1}" for one in number],
        gene_symbol=symbols.loc[markers["gene"]].to_numpy(),
    )


def _as_arrays(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """One array per column: an h5ad file holds these, and not a list of dictionaries."""
    table = pd.DataFrame(rows)
    return {
        str(name): table[name].astype(str).to_numpy().astype("U")
        if table[name].dtype.kind not in "if"
        else table[name].to_numpy()
        for name in table
    }
