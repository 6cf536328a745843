"""Latent, likelihood and dispersion of cells through a trained model, seen before or new."""

import logging

import numpy as np
import pandas as pd
from anndata import AnnData

from scpress import slots
from scpress.config.options import EmbedOptions
from scpress.counts.digests import genes_digest
from scpress.model.fitted import TrainedModel
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.modelled import modelled_blocks
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
    digest = {"model": name, "genes_digest": genes_digest(model.genes)}
    out.uns[slots.RECORD.name] = digest | model.record.as_plain() | {"model": name}
    return out
