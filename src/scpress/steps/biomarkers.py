"""Genes of each type that differ between two conditions of donors."""

import logging

import anndata as ad
import numpy as np
import pandas as pd

from scpress import slots
from scpress.config.cohort import BiomarkersOptions
from scpress.counts.genes import gene_symbols
from scpress.donors.biomarkers import find_again, find_biomarkers
from scpress.donors.design import Comparison, compare
from scpress.tables.cohort import (
    TYPE_CELLS,
    Biomarker,
    Biomarkers,
    TestedType,
    cohort_record,
    layer_of,
)

log = logging.getLogger("scpress")


def biomarkers(
    cohort: ad.AnnData, options: BiomarkersOptions | None = None
) -> tuple[pd.DataFrame, Biomarkers]:
    """Test the genes of every type on the summed counts of donors.

    Parameters
    ----------
    cohort
        As `steps.cohort` makes it.

    Returns
    -------
    table, record
        A row of `tables.cohort.Biomarker` for each gene of each type, best first within a type;
        and how many donors and genes there were, or why a type was not tested.

    Raises
    ------
    InputError
        As `donors.design.compare`.
    """
    options = options or BiomarkersOptions()
    record = cohort_record(cohort)
    comparison = compare(cohort.obs, record, options)
    symbols = gene_symbols(cohort.var)
    names = cohort.var_names.to_numpy().astype(str)
    tables, tested = [], []
    for number, cell_type in enumerate(record.types):
        n_cells = cohort.obsm[TYPE_CELLS].iloc[comparison.rows, number].to_numpy()
        inside = np.flatnonzero(n_cells >= record.min_type_cells)
        part = comparison.restrict(inside)
        n_case, n_reference = part.count_donors()
        reason, genes, n_found = "", np.array([], dtype=int), 0
        counts = cohort.layers[layer_of(cell_type)][part.rows]
        if cell_type == slots.UNASSIGNED:
            reason = "cells without a type are no type"
        elif min(n_case, n_reference) < options.min_donors:
            reason = f"fewer than {options.min_donors} donors of a condition have enough cells"
        elif not part.is_told_apart():
            reason = "the condition coincides with what is held constant among these donors"
        else:
            total = np.asarray(counts.sum(axis=0)).ravel()
            genes = np.flatnonzero(total >= options.min_count)
            if len(genes) < 2:
                reason = "no two genes have enough molecules"
        if not reason:
            table = _test(counts[:, genes].toarray(), part, options, number)
            n_found = int((table["fdr"] <= options.max_fdr).sum())
            table.insert(0, "gene_symbol", np.asarray(symbols)[genes])
            table.insert(0, "gene", names[genes])
            table.insert(0, "cell_type", cell_type)
            tables.append(table.sort_values(["p_value", "gene"], kind="stable"))
        log.info(
            "biomarkers: %s: %s.",
            cell_type,
            reason or f"{n_found} of {len(genes)} genes, {n_case} donors against {n_reference}",
        )
        tested.append(
            TestedType(
                cell_type=cell_type,
                n_reference=n_reference,
                n_case=n_case,
                n_genes=0 if reason else len(genes),
                n_found=n_found,
                reason=reason,
            )
        )
    columns = list(Biomarker.__dataclass_fields__)
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
    return table[columns], Biomarkers(
        condition_key=str(options.condition_key),
        levels=comparison.levels,
        held_constant=tuple(map(str, comparison.nuisance)),
        max_fdr=options.max_fdr,
        types=tuple(tested),
    )


def _test(
    counts: np.ndarray, part: Comparison, options: BiomarkersOptions, number: int
) -> pd.DataFrame:
    nuisance = part.nuisance.to_numpy(dtype=float)
    found = find_biomarkers(counts, part.is_case, nuisance, max_fdr=options.max_fdr)
    stability = find_again(
        counts,
        part.is_case,
        nuisance,
        part.donor,
        found,
        max_fdr=options.max_fdr,
        n_samples=options.n_resamples,
        rng=np.random.default_rng([options.seed, number]),
    )
    return found.table.assign(stability=stability)
