"""What counts look like when types, subtypes, batches and dispersion are known."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scpress.config.simulation import SimulateOptions

# Entries of a dense block of cells x genes; fixed, because every block has its own random stream
# and the counts must not depend on the memory of the machine.
_BLOCK_ENTRIES = 2**21
# Spread of the expression of genes, as the standard deviation of the log mean; in 10x data of
# blood it is 1.0 to 1.5 among detected genes.
LOG_MEAN_SD = 1.0


@dataclass(frozen=True)
class Simulation:
    """Simulated counts and the truth behind them.

    A cell of type t, subtype s and batch b has the expected counts
    library_size * rho, where rho is proportional to
    baseline * type_fold_change[t] * subtype_fold_change[s] * batch_fold_change[b] and sums to 1.
    The counts are negative binomial with variance mu + mu^2 / theta, and each is set to zero with
    the probability `zero_inflation` of the options.
    """

    counts: sparse.csr_matrix
    """[cells, genes] Molecules, int32."""
    cell_type: np.ndarray
    """[cells] Type, 0 to n_types - 1."""
    subtype: np.ndarray
    """[cells] Subtype, 0 to n_subtypes - 1 in the first type and 0 in the others."""
    batch: np.ndarray
    """[cells] Batch, 0 to n_batches - 1."""
    library_size: np.ndarray
    """[cells] Expected molecules before zero inflation, float64."""
    baseline: np.ndarray
    """[genes] Fraction of the molecules where no fold change acts."""
    theta: np.ndarray
    """[genes] Inverse dispersion."""
    type_fold_change: np.ndarray
    """[types, genes] 1 where the gene does not mark the type."""
    subtype_fold_change: np.ndarray
    """[subtypes, genes] 1 where the gene does not mark the subtype; subtypes share no marker."""
    batch_fold_change: np.ndarray
    """[batches, genes] All 1 where there is one batch."""


def simulate_counts(options: SimulateOptions, *, seed: int) -> Simulation:
    """Draw counts with known truth; the same options and seed give the same counts."""
    rng = np.random.default_rng(seed)
    baseline = np.exp(rng.normal(0.0, LOG_MEAN_SD, options.n_genes))
    baseline /= baseline.sum()
    theta = np.full(options.n_genes, options.theta)
    type_fold_change = marker_fold_changes(
        rng, options.n_types, baseline, options.marker_fraction, options.type_fold_change
    )
    subtype_fold_change = marker_fold_changes(
        rng,
        options.n_subtypes if options.n_subtypes > 1 else 0,
        baseline,
        options.marker_fraction,
        options.subtype_fold_change,
    )
    if options.n_subtypes == 1:
        subtype_fold_change = np.ones((1, options.n_genes))
    batch_fold_change = np.ones((options.n_batches, options.n_genes))
    if options.n_batches > 1:
        spread = np.log(options.batch_fold_change)
        batch_fold_change = np.exp(rng.normal(0.0, spread, batch_fold_change.shape))

    # Balanced and shuffled: every type has cells however few there are.
    cell_type = rng.permutation(np.arange(options.n_cells) % options.n_types)
    batch = rng.integers(0, options.n_batches, options.n_cells)
    subtype = np.zeros(options.n_cells, dtype=np.int64)
    first = np.flatnonzero(cell_type == 0)
    subtype[first] = rng.permutation(np.arange(len(first)) % options.n_subtypes)
    library_size = options.mean_library_size * np.exp(
        rng.normal(0.0, options.library_size_sd, options.n_cells)
    )

    # One row of rho for each combination that may occur, not for each cell.
    states = np.unique(np.column_stack([cell_type, subtype, batch]), axis=0)
    rho = baseline * type_fold_change[states[:, 0]] * batch_fold_change[states[:, 2]]
    in_first = states[:, 0] == 0
    rho[in_first] *= subtype_fold_change[states[in_first, 1]]
    rho /= rho.sum(axis=1, keepdims=True)
    key = (cell_type * options.n_subtypes + subtype) * options.n_batches + batch
    state_key = (states[:, 0] * options.n_subtypes + states[:, 1]) * options.n_batches
    state = np.searchsorted(state_key + states[:, 2], key)

    counts = draw_counts(rho, state, library_size, theta, options.zero_inflation, seed)
    return Simulation(
        counts=counts,
        cell_type=cell_type,
        subtype=subtype,
        batch=batch,
        library_size=library_size,
        baseline=baseline,
        theta=theta,
        type_fold_change=type_fold_change,
        subtype_fold_change=subtype_fold_change,
        batch_fold_change=batch_fold_change,
    )


def marker_fold_changes(
    rng: np.random.Generator,
    n_groups: int,
    baseline: np.ndarray,
    fraction: float,
    fold_change: float,
) -> np.ndarray:
    """Return [groups, genes] fold changes; two groups share no marker while genes last."""
    n_genes = len(baseline)
    n_markers = round(fraction * n_genes)
    result = np.ones((n_groups, n_genes))
    order = rng.permutation(n_genes)
    for group in range(n_groups):
        # Taken in turn from the shuffled genes, from the start again when all are used.
        result[group, order[np.arange(group * n_markers, (group + 1) * n_markers) % n_genes]] = (
            fold_change
        )
    return result


def draw_counts(
    rho: np.ndarray,
    state: np.ndarray,
    library_size: np.ndarray,
    theta: np.ndarray,
    zero_inflation: float,
    seed: int,
) -> sparse.csr_matrix:
    """[cells, genes] Negative binomial counts, gamma then Poisson, one block of cells at a time."""
    n_cells, n_genes = len(state), rho.shape[1]
    rows = max(1, _BLOCK_ENTRIES // n_genes)
    blocks = []
    for number, start in enumerate(range(0, n_cells, rows)):
        block = slice(start, min(start + rows, n_cells))
        # From 1: numpy gives [seed, 0] and seed, used above, the same stream.
        rng = np.random.default_rng([seed, number + 1])
        rate = rng.standard_gamma(theta, (block.stop - start, n_genes))
        rate *= rho[state[block]]
        rate *= library_size[block, None]
        rate /= theta
        molecules = rng.poisson(rate).astype(np.int32)
        if zero_inflation > 0:
            molecules[rng.random(molecules.shape, dtype=np.float32) < zero_inflation] = 0
        blocks.append(sparse.csr_matrix(molecules))
    return sparse.vstack(blocks, format="csr")
