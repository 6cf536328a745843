"""The molecules of every cell divided into folds that are independent given what it expresses."""

import logging

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.cluster.vq import vq

from scpress import slots
from scpress.cells.subtypes import cluster_by_means
from scpress.config.options import ThinOptions
from scpress.counts.digests import digest_of
from scpress.counts.matrix import iter_chunks, select_columns, stack_rows
from scpress.counts.measured import measured_in
from scpress.counts.sizes import library_sizes, log_normalize
from scpress.counts.thinning import estimate_theta_within, split_folds
from scpress.errors import InputError
from scpress.model.baselines import fit_pca

log = logging.getLogger("scpress")

# Cells that are alike are found in this many components of at most so many genes, and the centres
# of their groups in at most so many cells.
_N_COMPONENTS, _MAX_GENES, _MAX_CELLS = 10, 2000, 20_000
# On simulated types (five, theta 3) folds that were divided by the dispersion over all cells have
# residuals that correlate by -0.18 in markers; by that within 10 or 20 groups, by 0.005.
_MAX_GROUPS, _CELLS_PER_GROUP = 20, 50


def thin(
    counts: ad.AnnData, normalized: ad.AnnData, options: ThinOptions | None = None
) -> ad.AnnData:
    """Divide the molecules of every cell into folds and what is left over.

    Counts are taken for negative binomial with one dispersion a gene within groups of cells that
    are alike; Poisson where a gene is not overdispersed. A model is trained on the counts less one
    fold, whose molecules it then has to predict.

    Returns
    -------
    AnnData
        [folds x cells, modelled genes] X: molecules of each fold, one fold after the other. obs:
        fold, library_size (as of `normalize`). var: thin_theta.

    Raises
    ------
    InputError
        More folds than there are molecules for, or results of other cells.
    """
    options = options or ThinOptions()
    if options.folds < 1:
        raise InputError("folds is 0, which divides nothing; set folds to 1 or more.")
    if options.folds * options.fraction > 1 + 1e-9:
        raise InputError(
            f"{options.folds} folds of {options.fraction:g} of the molecules are more than all of "
            "them; lower folds or fraction."
        )
    slots.require(normalized, slots.SIZE_FACTOR, slots.HIGHLY_VARIABLE)
    slots.require_same_cells(counts.obs_names, normalized.obs_names, "normalized")
    slots.require_same_genes(counts.var_names, normalized.var_names, "normalized")
    columns = np.flatnonzero(normalized.var[slots.HIGHLY_VARIABLE.name].to_numpy(dtype=bool))
    size_factor = normalized.obs[slots.SIZE_FACTOR.name].to_numpy(dtype=np.float64)
    measured, everywhere = measured_in(counts), None
    if measured is None:
        group = group_cells(select_columns(counts.X, columns), size_factor, seed=options.seed)
    else:
        # By what was measured in all; cells with other genes are of other groups, so that a gene's
        # dispersion is of cells in which it was measured.
        everywhere = measured.everywhere
        common = columns[everywhere[columns]]
        group = group_cells(select_columns(counts.X, common), size_factor, seed=options.seed)
        pairs = np.stack([group, measured.of_cell])
        group = np.unique(pairs, axis=1, return_inverse=True)[1].ravel()
    theta = estimate_theta_within(counts.X, size_factor, group)

    blocks: list[list[sparse.csr_matrix]] = [[] for _ in range(options.folds)]
    sizes = np.zeros((options.folds, counts.n_obs), dtype=np.int64)
    for start, stop, block in iter_chunks(counts.X):
        rng = np.random.default_rng([options.seed, start])
        fractions = [options.fraction] * options.folds
        *folds, _ = split_folds(block.astype(np.int32), theta, fractions=fractions, rng=rng)
        for k, fold in enumerate(folds):
            sizes[k, start:stop] = library_sizes(fold, everywhere)
            blocks[k].append(select_columns(fold, columns))
    in_order = [block for fold in blocks for block in fold]
    X = stack_rows(in_order, n_vars=len(columns), dtype=np.int32)
    log.info(
        "%d folds of about %.0f %% of the molecules; inverse dispersion within %d groups of cells",
        options.folds,
        100 * options.fraction,
        group.max() + 1,
    )
    numbers = np.repeat(np.arange(1, options.folds + 1), counts.n_obs)
    names = np.tile(counts.obs_names.to_numpy().astype(str), options.folds)
    obs = pd.DataFrame(
        {slots.FOLD.name: numbers, slots.LIBRARY_SIZE.name: sizes.ravel()},
        index=[f"{name}:{number}" for name, number in zip(names, numbers, strict=True)],
    )
    var = pd.DataFrame({slots.THIN_THETA.name: theta[columns]}, index=counts.var_names[columns])
    record = {
        "n_folds": options.folds,
        "fraction": options.fraction,
        "seed": options.seed,
        "n_groups": int(group.max()) + 1,
        "digest": digest_of(*(part.astype(np.int64) for part in (X.data, X.indices, X.indptr))),
    }
    return ad.AnnData(X, obs=obs, var=var, uns={slots.RECORD.name: {"thin": record}})


def group_cells(X: sparse.csr_matrix, size_factor: np.ndarray, *, seed: int) -> np.ndarray:
    """[cells] Group of each cell, 0 to n - 1, by k-means of principal components."""
    n_obs = X.shape[0]
    n_groups = min(_MAX_GROUPS, n_obs // _CELLS_PER_GROUP)
    if n_groups < 2 or X.shape[1] < 2:
        return np.zeros(n_obs, dtype=np.int64)
    molecules = np.asarray(X.sum(axis=0)).ravel()
    genes = np.sort(np.argsort(-molecules, kind="stable")[:_MAX_GENES])
    pca = fit_pca(X[:, genes], size_factor, min(_N_COMPONENTS, len(genes)))
    values = log_normalize(X[:, genes], size_factor)
    points = np.asarray(values @ pca.components.T, dtype=np.float64)
    rng = np.random.default_rng(seed)
    some = points[np.sort(rng.permutation(n_obs)[:_MAX_CELLS])]
    labels = cluster_by_means(some, n_groups, rng=rng)
    centers = np.stack([some[labels == one].mean(axis=0) for one in np.unique(labels)])
    return np.unique(vq(points, centers)[0], return_inverse=True)[1]
