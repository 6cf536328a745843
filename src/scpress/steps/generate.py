"""Cells that a model draws: a latent, then a count of every modelled gene."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy import sparse

from scpress import slots
from scpress.config.generate import GenerateOptions
from scpress.config.scores import CANDIDATES
from scpress.counts.frames import cells_with
from scpress.counts.matrix import stack_rows
from scpress.counts.measured import require_all_measured
from scpress.errors import InputError
from scpress.model.fitted import TrainedModel, record_options
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.modelled import ModelledCounts, modelled_counts

# Cells that are decoded at a time.
_BLOCK_CELLS = 256
# What NumPy can draw a Poisson of is less than 2^63; counts are int32.
_MOST = 2.0**30


def generate(
    counts: AnnData,
    normalized: AnnData | None,
    model: TrainedModel,
    options: GenerateOptions | None = None,
    *,
    seed: int = 0,
) -> AnnData:
    """Draw cells whose library sizes, batches and, of the posterior, latents are of given cells.

    Parameters
    ----------
    counts, normalized
        [cells, genes] The given cells; without normalized their library size is counted.

    Returns
    -------
    [n_cells, modelled genes] `X` CSR int32. `obs`: drawn_from, the name of the given cell, and
    its values of `key` and of the model's batch. `uns["simulation"]`: seed, options, the model's.

    Raises
    ------
    InputError
        A model without counts or, for the prior, without one; cells or a batch that are not there.
    """
    require_all_measured(counts, "generate")
    options = options or GenerateOptions()
    if model.config.likelihood not in CANDIDATES:
        raise InputError(
            f"a model with likelihood {model.config.likelihood!r} draws no counts; take one of "
            f"{', '.join(CANDIDATES)}."
        )
    if options.source == "prior" and model.config.prior != "kl":
        raise InputError(
            f"the model's prior is {model.config.prior!r}, and its latents are not drawn to a "
            "standard normal; take source posterior, or a model with prior kl."
        )
    given = np.flatnonzero(_chosen_cells(counts.obs, options))
    rng = np.random.default_rng(seed)
    # All given cells before one is taken again.
    rounds = -(-options.n_cells // len(given))
    drawn = np.concatenate([rng.permutation(given) for _ in range(rounds)])[: options.n_cells]
    read = modelled_counts(counts, normalized, model)
    blocks = _draw_blocks(read, model, drawn, options, rng)
    X = stack_rows(blocks, n_vars=len(model.genes), dtype=np.int32)
    obs = pd.DataFrame(
        {"drawn_from": counts.obs_names[drawn].to_numpy()},
        index=[f"drawn{number + 1}" for number in range(options.n_cells)],
    )
    for key in dict.fromkeys((options.key, model.config.batch_key)):
        if key is not None and key in counts.obs:
            obs[key] = counts.obs[key].astype(str).to_numpy()[drawn]
    if options.batch is not None and model.config.batch_key:
        obs[model.config.batch_key] = options.batch
    var = pd.DataFrame({slots.GENE_SYMBOL.name: model.symbols}, index=model.genes)
    record = {
        "seed": seed,
        "options": {k: v for k, v in record_options(options).items() if v not in (None, [])},
        "likelihood": model.config.likelihood,
    }
    return AnnData(X, obs=obs, var=var, uns={"simulation": record})


def _chosen_cells(obs: pd.DataFrame, options: GenerateOptions) -> np.ndarray:
    key, groups = options.key, options.groups
    if key is None and not groups:
        return np.full(len(obs), True)
    if key is None or not groups:
        raise InputError(
            f"key is {key!r} and groups has {len(groups)} values; cells are chosen by a column "
            "and what is in it. Give both or neither."
        )
    return cells_with(obs, key, groups, key_name="key", values_name="groups")


def _draw_blocks(
    read: ModelledCounts,
    model: TrainedModel,
    drawn: np.ndarray,
    options: GenerateOptions,
    rng: np.random.Generator,
) -> Iterator[sparse.csr_matrix]:
    """Blocks [cells, n_genes] of drawn counts, in the order of the draw."""
    code = None if options.batch is None else model.reference_code(options.batch)
    likelihood = LIKELIHOODS[model.config.likelihood]
    for start in range(0, len(drawn), _BLOCK_CELLS):
        part = read.take(drawn[start : start + _BLOCK_CELLS])
        mean, deviation = model.encode(part.cells_of(model))
        noise = rng.standard_normal(mean.shape).astype(np.float32)
        if options.source == "prior":
            z = noise
        else:
            z = mean if deviation is None else mean + deviation * noise
        if code is not None and part.batch is not None:
            part.batch = np.full(len(part), code, dtype=np.int64)
        cells = part.cells_of(model)
        if options.library_size is not None:
            size_factor = model.size_factors(np.full(len(part), options.library_size))
            ratio = torch.as_tensor(size_factor / part.size_factor, dtype=torch.float32)
            cells = dataclasses.replace(
                cells,
                total=cells.total * ratio.to(cells.total.device),
                size_factor=cells.size_factor * ratio.to(cells.total.device),
            )
        mu = model.mean_counts(cells, z).astype(np.float64)
        if likelihood.has_theta:
            theta = np.exp(model.log_theta(cells, z).astype(np.float64))
            mu = rng.gamma(np.broadcast_to(theta, mu.shape), mu / theta)
        x = rng.poisson(np.minimum(mu, _MOST))
        if likelihood.has_pi:
            x[rng.random(x.shape) < model.extra_zero_fraction(cells, z)] = 0
        yield sparse.csr_matrix(x.astype(np.int32))
