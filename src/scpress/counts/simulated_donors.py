"""What counts of many donors look like when what sets groups of donors apart is known."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scpress.config.simulation import SimulateOptions
from scpress.counts.simulation import LOG_MEAN_SD, draw_counts, marker_fold_changes
from scpress.errors import InputError


@dataclass(frozen=True)
class DonorSimulation:
    """Simulated counts of donors and the truth behind them.

    A donor has its own frequencies of types and its own expression of every gene in every type.
    Where an effect is planted, donors of the second condition (or kind) have the first type
    `donor_fold_change` times as often, or half of `donor_genes` genes of it so many times more and
    the other half so many times less expressed.
    """

    counts: sparse.csr_matrix
    """[cells, genes] Molecules, int32."""
    donor: np.ndarray
    """[cells] Donor, 0 to n_donors - 1."""
    cell_type: np.ndarray
    """[cells] Type, 0 to n_types - 1."""
    condition: np.ndarray
    """[donors] 0 or 1, as many of each as can be."""
    kind: np.ndarray
    """[donors] 0 or 1, what nothing in the data names; as often in each condition."""
    batch: np.ndarray
    """[donors] Batch, 0 to n_batches - 1."""
    library_size: np.ndarray
    """[cells] Expected molecules before zero inflation, float64."""
    baseline: np.ndarray
    """[genes] Fraction of the molecules where no fold change acts."""
    type_fold_change: np.ndarray
    """[types, genes] 1 where the gene does not mark the type."""
    condition_fold_change: np.ndarray
    """[genes] Of the second condition, in the first type."""
    kind_fold_change: np.ndarray
    """[genes] Of the second kind of donors, in the first type; no gene is of both."""


def simulate_donors(options: SimulateOptions, *, seed: int) -> DonorSimulation:
    """Draw counts of `n_donors` donors; the same options and seed give the same counts.

    Raises
    ------
    InputError
        Confounding is asked for and there are not two batches, or an effect has more genes than
        there are.
    """
    n_donors, n_types, n_genes = options.n_donors, options.n_types, options.n_genes
    if options.confounded and options.n_batches != 2:
        raise InputError(
            f"confounded needs n_batches 2, one of each condition; found {options.n_batches}."
        )
    if 2 * options.donor_genes > n_genes:
        raise InputError(
            f"donor_genes is {options.donor_genes} and n_genes {n_genes}; condition and kind have "
            "no gene in common, so there must be twice as many genes."
        )
    rng = np.random.default_rng(seed)
    baseline = np.exp(rng.normal(0.0, LOG_MEAN_SD, n_genes))
    baseline /= baseline.sum()
    type_fold_change = marker_fold_changes(
        rng, n_types, baseline, options.marker_fraction, options.type_fold_change
    )
    batch_fold_change = np.exp(
        rng.normal(0.0, np.log(options.batch_fold_change), (options.n_batches, n_genes))
    )
    if options.n_batches == 1:
        batch_fold_change[:] = 1.0

    place = rng.permutation(n_donors)
    condition = place % 2
    batch = condition if options.confounded else place // 2 % options.n_batches
    kind = place // (2 * options.n_batches) % 2
    genes = rng.permutation(n_genes)[: 2 * options.donor_genes].reshape(2, -1)
    fold_changes = np.ones((2, n_genes))
    log_frequency = rng.normal(0.0, options.donor_composition_sd, (n_donors, n_types))
    effects = (options.condition_effect, options.donor_subtype_effect)
    for number, (effect, group) in enumerate(zip(effects, (condition, kind), strict=True)):
        if effect == "composition":
            log_frequency[group == 1, 0] += np.log(options.donor_fold_change)
        if effect == "expression":
            # Half of them up and half down, so that what the others are measured by stays.
            signs = np.resize([1.0, -1.0], options.donor_genes)
            fold_changes[number, genes[number]] = options.donor_fold_change**signs

    donor = rng.permutation(np.arange(options.n_cells) % n_donors)
    cumulated = np.cumsum(np.exp(log_frequency), axis=1)
    drawn = rng.random(options.n_cells) * cumulated[donor, -1]
    cell_type = (drawn[:, None] > cumulated[donor]).sum(axis=1)
    library_size = options.mean_library_size * np.exp(
        rng.normal(0.0, options.library_size_sd, options.n_cells)
    )
    # [donors, types, genes], one row of rho for each type of each donor.
    rho = baseline * type_fold_change * batch_fold_change[batch][:, None]
    rho *= np.exp(rng.normal(0.0, options.donor_sd, rho.shape))
    for fold_change, group in zip(fold_changes, (condition, kind), strict=True):
        rho[group == 1, 0] *= fold_change
    rho /= rho.sum(axis=2, keepdims=True)
    counts = draw_counts(
        rho.reshape(-1, n_genes),
        donor * n_types + cell_type,
        library_size,
        np.full(n_genes, options.theta),
        options.zero_inflation,
        seed,
    )
    return DonorSimulation(
        counts=counts,
        donor=donor,
        cell_type=cell_type,
        condition=condition,
        kind=kind,
        batch=batch,
        library_size=library_size,
        baseline=baseline,
        type_fold_change=type_fold_change,
        condition_fold_change=fold_changes[0],
        kind_fold_change=fold_changes[1],
    )
