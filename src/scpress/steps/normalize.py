"""How large each cell is, and which genes the models see; the counts stay as they are."""

import logging
from collections.abc import Sequence
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from scpress import slots
from scpress.config.options import NormalizeOptions
from scpress.config.scores import AUTO
from scpress.counts.genes import find_ids_and_symbols, without_version
from scpress.counts.measured import Measured, measured_in
from scpress.counts.sizes import library_sizes, size_factors
from scpress.counts.variable_genes import (
    GeneMoments,
    binomial_deviances,
    clipped_variances,
    fit_deviation,
    measure_moments,
    rank_genes,
    residual_variances,
)
from scpress.errors import InputError

_log = logging.getLogger("scpress")


def normalize(
    counts: ad.AnnData,
    options: NormalizeOptions | None = None,
    *,
    gene_list: Sequence[str] | None = None,
) -> ad.AnnData:
    """Compute library sizes, size factors and the genes to model.

    Parameters
    ----------
    counts
        [cells, genes] Raw counts of all samples; X may be on disk and is read by blocks.
    gene_list
        Ids or symbols of the genes to model, instead of the ranking. (`options.gene_list` is the
        path the command line reads them from.)

    Returns
    -------
    AnnData
        obs: library_size, size_factor, over all genes that every sample measured; var:
        highly_variable and the statistics it follows from, of the cells in which a gene was
        measured; no X.

    Raises
    ------
    InputError
        An empty cell, no such batch column, or none of the listed genes.
    """
    options = options or NormalizeOptions()
    if gene_list is None and AUTO in (options.n_top_genes, options.flavor):
        raise InputError(
            "n_top_genes or flavor auto is chosen by `scpress genes`; give its file to `normalize` "
            "as --genes, or name a number and a ranking."
        )
    messages: list[str] = []
    measured = measured_in(counts)
    library_size = library_sizes(counts.X, None if measured is None else measured.everywhere)
    if measured is not None:
        of_sets = measure_moments(counts.X, measured.of_cell, len(measured.genes))
        measured.require_no_others(of_sets.total)
        _keep_empty(library_size, messages)
    obs = pd.DataFrame(
        {slots.LIBRARY_SIZE.name: library_size, slots.SIZE_FACTOR.name: size_factors(library_size)},
        index=counts.obs_names,
    )
    if gene_list is not None:
        chosen = _find_genes(counts.var, gene_list, messages)
        var = _statistics(_pool(counts.X), measured) | {slots.HIGHLY_VARIABLE.name: chosen}
        flavor = "gene_list"
    else:
        batches, names = _read_batches(counts, options, messages)
        if measured is not None:
            batches, names = _divide(batches, names, measured, options.min_cells_per_batch)
        var, flavor = _rank(counts.X, batches, names, options, messages, measured)
        asked = options.n_top_genes
        if asked is None or counts.n_vars <= int(asked):
            shown = "null" if asked is None else asked
            messages.append(f"all {counts.n_vars} genes are modelled: n_top_genes is {shown}")
    result = ad.AnnData(obs=obs, var=pd.DataFrame(var, index=counts.var_names))
    result.uns[slots.RECORD.name] = {
        "flavor": flavor,
        "n_highly_variable": int(result.var[slots.HIGHLY_VARIABLE.name].sum()),
        "median_library_size": float(np.median(library_size)),
        "messages": np.array(messages, dtype=str),
    }
    for message in messages:
        _log.info("%s", message)
    return result


def _read_batches(
    counts: ad.AnnData, options: NormalizeOptions, messages: list[str]
) -> tuple[np.ndarray, list[str]]:
    """[cells] Number of the batch, -1 in batches too small to rank genes in; names of batches."""
    together = np.zeros(counts.n_obs, dtype=np.int64), ["all cells"]
    key = options.batch_key
    if key is None or (key == slots.SAMPLE.name and key not in counts.obs):
        # Counts that did not pass ingest have no samples: one batch.
        return together
    if key not in counts.obs:
        found = ", ".join(map(str, counts.obs.columns)) or "no columns"
        raise InputError(
            f"batch_key {key!r} is not in obs; it has {found}. Set it to one of them or to null."
        )
    column = pd.Categorical(counts.obs[key].astype(object).map(str))
    sizes = np.bincount(column.codes, minlength=len(column.categories))
    small = sizes < options.min_cells_per_batch
    if not small.any():
        return column.codes.astype(np.int64), list(column.categories)
    if small.all():
        messages.append(
            f"every batch of {key!r} has fewer than {options.min_cells_per_batch} cells: "
            "genes are ranked over all cells together"
        )
        return together
    listed = ", ".join(f"{column.categories[i]} ({sizes[i]})" for i in np.flatnonzero(small)[:5])
    messages.append(
        f"{int(small.sum())} batches of {key!r} have fewer than {options.min_cells_per_batch} "
        f"cells and are left out of the ranking of genes: {listed}"
    )
    number = np.where(small, -1, np.cumsum(~small) - 1)
    return number[column.codes], list(column.categories[~small])


def _keep_empty(library_size: np.ndarray, messages: list[str]) -> None:
    """Take cells without a molecule of the genes that all samples measured for those of one."""
    empty = library_size == 0
    if empty.any():
        library_size[empty] = 1
        messages.append(
            f"{int(empty.sum())} cells have no molecules of the genes that every sample measured; "
            "their library size is taken for 1"
        )


def _divide(
    batches: np.ndarray, names: list[str], measured: Measured, min_cells: int
) -> tuple[np.ndarray, list[str]]:
    """Batches by the genes that were measured, too; without the small parts, if others are left."""
    n_sets = len(measured.genes)
    pairs = np.where(batches < 0, -1, batches * n_sets + measured.of_cell)
    sizes = np.bincount(pairs[pairs >= 0], minlength=len(names) * n_sets)
    kept = sizes >= min(min_cells, sizes.max())
    number = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)
    of_pair = [
        f"{name} where {n_genes} genes are measured"
        for name in names
        for n_genes in measured.genes.sum(axis=1)
    ]
    return number[pairs], [of_pair[pair] for pair in np.flatnonzero(kept)]


def _rank(
    X: Any,
    batches: np.ndarray,
    names: list[str],
    options: NormalizeOptions,
    messages: list[str],
    measured: Measured | None = None,
) -> tuple[dict[str, np.ndarray], str]:
    """Columns of var, and how the genes were ranked in the end.

    Where not all genes were measured in all cells, those of a batch are of one set of them.
    """
    moments = measure_moments(X, batches, len(names))
    var = _statistics(moments if (batches >= 0).all() else _pool(X), measured)
    was_measured = np.ones((len(names), X.shape[1]), dtype=bool)
    if measured is not None:
        was_measured[batches[batches >= 0]] = measured.genes[measured.of_cell[batches >= 0]]
    n_top = X.shape[1] if options.n_top_genes is None else int(options.n_top_genes)
    if options.flavor != "seurat_v3":
        if options.flavor == "pearson_residuals":
            scores = residual_variances(X, batches, moments)
            var[slots.RESIDUAL_VARIANCES.name] = _mean_score(scores, was_measured)
        elif options.flavor == "deviance":
            scores = binomial_deviances(X, batches, moments)
            var[slots.BINOMIAL_DEVIANCE.name] = _mean_score(scores, was_measured)
        else:
            scores = moments.total
        scores = np.where(was_measured, scores, np.nan)
        return var | _choose(scores, n_top, votes_first=True), options.flavor
    kept, deviations = _fit_batches(moments, names, messages)
    if not kept and len(names) > 1 and measured is None:
        messages.append("genes are ranked over all cells together")
        batches = np.zeros(X.shape[0], dtype=np.int64)
        moments = _pool(X)
        kept, deviations = _fit_batches(moments, ["all cells"], messages)
    if not kept:
        messages.append("genes are ranked by variance over mean instead of seurat_v3")
        mean = var[slots.MEANS.name]
        scores = (var[slots.VARIANCES.name] / np.where(mean > 0, mean, 1.0))[None]
        return var | _choose(scores, n_top, votes_first=False), "dispersion"
    number = np.full(len(moments.n_obs) + 1, -1)  # the last one is for cells of no batch
    number[kept] = np.arange(len(kept))
    moments = GeneMoments(moments.n_obs[kept], moments.total[kept], moments.squares[kept])
    scores = clipped_variances(X, number[batches], moments, np.stack(deviations))
    was_measured = was_measured[kept]
    var[slots.VARIANCES_NORM.name] = _mean_score(scores, was_measured)
    scores = np.where(was_measured, scores, np.nan)
    return var | _choose(scores, n_top, votes_first=False), options.flavor


def _pool(X: Any) -> GeneMoments:
    return measure_moments(X, np.zeros(X.shape[0], dtype=np.int64), 1)


def _mean_score(scores: np.ndarray, was_measured: np.ndarray) -> np.ndarray:
    """[genes] Mean score over the batches in which a gene was measured; 0 where it was in none."""
    if was_measured.all():
        return np.asarray(scores.mean(axis=0))
    total = np.where(was_measured, scores, 0).sum(axis=0)
    return np.asarray(total / np.maximum(was_measured.sum(axis=0), 1))


def _statistics(moments: GeneMoments, measured: Measured | None) -> dict[str, np.ndarray]:
    n_obs = None if measured is None else measured.sums(np.ones(len(measured.of_cell)))
    mean, variance = moments.pooled(n_obs)
    return {slots.MEANS.name: mean, slots.VARIANCES.name: variance}


def _fit_batches(
    moments: GeneMoments, names: list[str], messages: list[str]
) -> tuple[list[int], list[np.ndarray]]:
    """Find the batches whose trend of variance over mean can be fitted, and the trends."""
    kept, deviations = [], []
    for batch, name in enumerate(names):
        try:
            deviations.append(fit_deviation(*moments.mean_and_variance(batch)))
            kept.append(batch)
        except ValueError as error:
            reason = error.args[0] if error.args else "no reason given"
            text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
            messages.append(
                f"seurat_v3 could not fit the trend of {name} ({text.strip().splitlines()[0]}): "
                "left out of the ranking of genes"
            )
    return kept, deviations


def _choose(scores: np.ndarray, n_top: int, *, votes_first: bool) -> dict[str, np.ndarray]:
    chosen, rank, votes = rank_genes(scores, n_top, votes_first=votes_first)
    return {
        slots.HIGHLY_VARIABLE.name: chosen,
        slots.HIGHLY_VARIABLE_RANK.name: rank,
        slots.HIGHLY_VARIABLE_NBATCHES.name: votes.astype(np.int64),
    }


def _find_genes(var: pd.DataFrame, wanted: Sequence[str], messages: list[str]) -> np.ndarray:
    """[genes] True for the listed genes; a symbol that several genes share means all of them."""
    ids, symbols = find_ids_and_symbols(var)
    places: dict[str, set[int]] = {}
    for column in (var.index.astype(str), ids, symbols):
        for place, name in enumerate(column):
            if name:
                places.setdefault(without_version(str(name)), set()).add(place)
    chosen = np.zeros(len(var), dtype=bool)
    missing = []
    for name in dict.fromkeys(wanted):
        found = places.get(without_version(name))
        if found is None:
            missing.append(name)
        else:
            chosen[list(found)] = True
    shown = ", ".join(missing[:10]) + (" ..." if len(missing) > 10 else "")
    if chosen.sum() < 2:
        raise InputError(
            f"{int(chosen.sum())} genes of the gene list are in the data, which have "
            f"{', '.join(map(str, var.index[:3]))}; missing: {shown or 'none'}. "
            "List at least 2 of them, by id or symbol."
        )
    if missing:
        messages.append(f"{len(missing)} genes of the gene list are not in the data: {shown}")
    return chosen
