"""Simulated counts as an AnnData that carries its truth."""

import dataclasses

import anndata as ad
import numpy as np
import pandas as pd

from scpress import slots
from scpress.config.simulation import SimulateOptions
from scpress.counts.simulated_donors import simulate_donors
from scpress.counts.simulation import simulate_counts


def simulate(options: SimulateOptions | None = None, *, seed: int = 0) -> ad.AnnData:
    """Simulate counts with known types, subtypes, batches, library sizes and dispersion.

    Returns
    -------
    [cells, genes] `X` CSR int32 counts. `obs`: label, true_subtype, batch, sample (the batch),
    true_library_size. `var`: gene_symbol, true_theta, true_fraction. `uns["simulation"]`: seed,
    options and the fold changes of types, subtypes and batches, each [groups, genes].

    Of donors `obs` has donor, condition, batch and true_donor_kind, a donor is a sample, and
    `uns["simulation"]` holds the fold changes of types, condition and kind.
    """
    options = options or SimulateOptions()
    if options.n_donors:
        return _simulate_cohort(options, seed)
    truth = simulate_counts(options, seed=seed)
    n_obs, n_vars = truth.counts.shape
    types = np.array([f"type{number + 1}" for number in range(options.n_types)])
    batches = np.array([f"batch{number + 1}" for number in range(options.n_batches)])
    label = types[truth.cell_type]
    has_subtypes = (truth.cell_type == 0) & (options.n_subtypes > 1)
    numbered = np.char.add(np.char.add(label, "."), (truth.subtype + 1).astype(str))
    obs = pd.DataFrame(
        {
            slots.LABEL.name: pd.Categorical(label),
            "true_subtype": pd.Categorical(np.where(has_subtypes, numbered, label)),
            "batch": pd.Categorical(batches[truth.batch]),
            slots.SAMPLE.name: pd.Categorical(batches[truth.batch]),
            "true_library_size": truth.library_size,
        },
        index=[f"cell{number + 1}" for number in range(n_obs)],
    )
    genes = [f"gene{number + 1}" for number in range(n_vars)]
    var = pd.DataFrame(
        {
            slots.GENE_SYMBOL.name: genes,
            "true_theta": truth.theta,
            "true_fraction": truth.baseline,
        },
        index=genes,
    )
    record = {
        "seed": seed,
        "options": dataclasses.asdict(options),
        "type_fold_change": truth.type_fold_change,
        "subtype_fold_change": truth.subtype_fold_change,
        "batch_fold_change": truth.batch_fold_change,
    }
    return ad.AnnData(X=truth.counts, obs=obs, var=var, uns={"simulation": record})


def _simulate_cohort(options: SimulateOptions, seed: int) -> ad.AnnData:
    truth = simulate_donors(options, seed=seed)
    n_obs, n_vars = truth.counts.shape

    def name(word: str, numbers: np.ndarray) -> np.ndarray:
        return np.char.add(word, (numbers + 1).astype(str))

    donor = pd.Categorical(name("donor", truth.donor))
    obs = pd.DataFrame(
        {
            slots.LABEL.name: pd.Categorical(name("type", truth.cell_type)),
            "batch": pd.Categorical(name("batch", truth.batch[truth.donor])),
            slots.SAMPLE.name: donor,
            "donor": donor,
            "condition": pd.Categorical(
                np.array(["control", "case"])[truth.condition[truth.donor]]
            ),
            "true_donor_kind": pd.Categorical(name("kind", truth.kind[truth.donor])),
            "true_library_size": truth.library_size,
        },
        index=[f"cell{number + 1}" for number in range(n_obs)],
    )
    genes = [f"gene{number + 1}" for number in range(n_vars)]
    var = pd.DataFrame(
        {
            slots.GENE_SYMBOL.name: genes,
            "true_theta": np.full(n_vars, options.theta),
            "true_fraction": truth.baseline,
        },
        index=genes,
    )
    record = {
        "seed": seed,
        "options": dataclasses.asdict(options),
        "type_fold_change": truth.type_fold_change,
        "condition_fold_change": truth.condition_fold_change,
        "kind_fold_change": truth.kind_fold_change,
    }
    return ad.AnnData(X=truth.counts, obs=obs, var=var, uns={"simulation": record})
