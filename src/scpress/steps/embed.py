"""Latent, likelihood and dispersion of cells through a trained model, seen before or new."""

import logging
from collections.abc import Iterator

import numpy as np
import pandas as pd
from anndata import AnnData

from scpress import slots
from scpress.config.options import EmbedOptions
from scpress.counts.digests import genes_digest
from scpress.counts.matrix import iter_chunks
from scpress.counts.sizes import library_sizes
from scpress.model.fitted import TrainedModel
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.modelled import ModelledCounts, select_genes
from scpress.steps.train import gene_theta

log = logging.getLogger("scpress")


def embed(
    counts: AnnData,
    normalized: AnnData | None,
    model: TrainedModel,
    options: EmbedOptions | None = None,
    *,
    name: str = "model",
) -> AnnData:
    """Extract the latent of every cell, block by block.

    Parameters
    ----------
    counts
        [cells, genes] Raw counts in X, in memory or on disk.
    normalized
        [cells, genes] obs: library_size. None for new cells: it is counted here.
    name
        Name of the model; the latent is obsm[f"X_{name}"].

    Returns
    -------
    AnnData
        [cells, modelled genes] without X.

    Raises
    ------
    InputError
        More of the model's genes are missing than options allow; a covariate is missing.
    """
    options = options or EmbedOptions()
    n_obs = counts.n_obs
    likelihood = LIKELIHOODS[model.config.likelihood]
    latent = np.zeros((n_obs, model.n_latent), dtype=np.float32)
    deviation = np.zeros_like(latent) if model.config.is_variational else None
    nll = np.zeros(n_obs, dtype=np.float32)
    pi_sum = np.zeros(model.config.n_genes)
    log_theta_sum = np.zeros(model.config.n_genes)
    for rows, block in modelled_blocks(
        counts,
        normalized,
        model,
        reference_batch=options.reference_batch,
        max_missing_fraction=options.max_missing_fraction,
    ):
        cells = block.cells_of(model)
        latent[rows], sd = model.encode(cells)
        if deviation is not None and sd is not None:
            deviation[rows] = sd
        nll[rows] = -model.log_likelihood(cells, latent[rows])
        if model.config.dispersion == "gene-cell" and likelihood.has_theta:
            log_theta_sum += model.log_theta(cells, latent[rows]).sum(axis=0)
        if likelihood.has_pi:
            pi_sum += model.extra_zero_fraction(cells, latent[rows]).sum(axis=0)

    var = pd.DataFrame(index=pd.Index(model.genes))
    if likelihood.has_theta and likelihood.on_counts:
        per_cell = model.config.dispersion == "gene-cell"
        theta = np.exp(log_theta_sum / n_obs) if per_cell else gene_theta(model)
        var[slots.THETA.of(name)] = theta.astype(np.float32)
    if likelihood.has_pi:
        var[slots.PI_MEAN.of(name)] = (pi_sum / n_obs).astype(np.float32)
    out = AnnData(obs=pd.DataFrame({slots.NLL.of(name): nll}, index=counts.obs_names), var=var)
    if normalized is not None and n_obs == model.n_fitted_cells:
        is_validation = np.zeros(n_obs, dtype=bool)
        is_validation[model.validation_cells] = True
        out.obs[slots.IS_VALIDATION.of(name)] = is_validation
    out.obsm[slots.LATENT.of(name)] = latent
    if deviation is not None:
        out.obsm[slots.LATENT_SD.of(name)] = deviation
    out.uns[slots.RECORD.name] = {"model": name, "genes_digest": genes_digest(model.genes)} | {
        key: value for key, value in model.record.items() if value is not None
    }
    return out


def modelled_blocks(
    counts: AnnData,
    normalized: AnnData | None,
    model: TrainedModel,
    *,
    reference_batch: str | None = None,
    max_missing_fraction: float = 0.0,
    n_cells: int = 1024,
) -> Iterator[tuple[slice, ModelledCounts]]:
    """The model's genes of all cells, at most `n_cells` cells at a time.

    Raises
    ------
    InputError
        As `embed`.
    """
    symbols = counts.var.get(slots.GENE_SYMBOL.name, pd.Series(counts.var_names)).astype(str)
    columns = model.matching_columns(
        [str(gene) for gene in counts.var_names],
        symbols.tolist(),
        max_missing_fraction=max_missing_fraction,
    )
    n_missing = int((columns < 0).sum())
    if n_missing:
        missing = [gene for gene, column in zip(model.genes, columns, strict=True) if column < 0]
        log.info("%d of the model's genes count as zeros: %s", n_missing, ", ".join(missing[:20]))
    batch = model.batch_codes(counts.obs, reference_batch=reference_batch)
    continuous = model.continuous_values(counts.obs)
    known = None
    if normalized is not None:
        slots.require(normalized, slots.LIBRARY_SIZE)
        slots.require_same_cells(counts, normalized, "normalized")
        known = normalized.obs[slots.LIBRARY_SIZE.name].to_numpy(dtype=np.float64)
    for start, stop, block in iter_chunks(counts.X):
        library = library_sizes(block) if known is None else known[start:stop]
        # A new cell without molecules is scored at the smallest library there is.
        part = ModelledCounts(
            select_genes(block, columns),
            np.maximum(library, 1) / model.median_library_size,
            None if batch is None else batch[start:stop],
            None if continuous is None else continuous[start:stop],
        )
        for rows, cells in part.blocks(n_cells=n_cells):
            yield slice(start + rows.start, start + rows.stop), cells
