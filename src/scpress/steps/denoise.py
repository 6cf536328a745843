"""Denoised expression: the model's mean over the size factor, at one reference batch, in blocks."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from anndata import AnnData

from scpress import slots
from scpress.config.options import DenoiseOptions
from scpress.errors import InputError
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import modelled_blocks


def denoise(
    counts: AnnData,
    normalized: AnnData | None,
    model: TrainedModel,
    options: DenoiseOptions | None = None,
) -> AnnData:
    """Denoised expression of the named genes in memory; see `denoise_blocks` for what it is.

    Returns
    -------
    AnnData
        [cells, named genes] X dense float32. For all genes of many cells write `denoise_blocks`.
    """
    options = options or DenoiseOptions()
    columns = denoised_columns(model, options)
    X = np.zeros((counts.n_obs, len(columns)), dtype=np.float32)
    for rows, block in denoise_blocks(counts, normalized, model, options):
        X[rows] = block
    out = denoised_frame(counts, model, columns)
    out.X = X
    return out


def denoise_blocks(
    counts: AnnData,
    normalized: AnnData | None,
    model: TrainedModel,
    options: DenoiseOptions,
) -> Iterator[tuple[slice, np.ndarray]]:
    """[cells, named genes] mu over the size factor, blocks in cell order, float32.

    Not (1 - pi) mu: extra zeros are taken for technical. Every cell is decoded in the reference
    batch. Never an input to differential expression: the model has smoothed the noise away that
    a test needs.

    Raises
    ------
    InputError
        A gene that is not modelled, or cells that lack the model's genes.
    """
    columns = denoised_columns(model, options)
    code = model.reference_code(options.reference_batch)
    for rows, block in modelled_blocks(
        counts,
        normalized,
        model,
        reference_batch=options.reference_batch,
        max_missing_fraction=options.max_missing_fraction,
    ):
        z = model.encode(block.cells_of(model))[0]
        if block.batch is not None:
            block.batch = np.full(len(block), code, dtype=np.int64)
        mu = model.mean_counts(block.cells_of(model), z)[:, columns]
        yield rows, (mu / block.size_factor[:, None]).astype(np.float32)


def denoised_columns(model: TrainedModel, options: DenoiseOptions) -> np.ndarray:
    """[named genes] Their columns in the model, by id or by symbol; all when none is named.

    Raises
    ------
    InputError
        A name that is not among the modelled genes.
    """
    if not options.genes:
        return np.arange(len(model.genes))
    repeated = pd.Index(model.symbols).duplicated(keep=False)
    by_symbol = {s: i for i, s in enumerate(model.symbols) if not repeated[i]}
    by_name = by_symbol | {gene: i for i, gene in enumerate(model.genes)}
    unknown = [gene for gene in options.genes if gene not in by_name]
    if unknown:
        raise InputError(
            f"only the {len(model.genes)} modelled genes can be denoised; not modelled: "
            f"{', '.join(unknown[:5])}. A symbol of several genes needs the id; "
            "for others raise n_top_genes or name them in gene_list."
        )
    return np.array([by_name[gene] for gene in options.genes], dtype=np.int64)


def denoised_frame(counts: AnnData, model: TrainedModel, columns: np.ndarray) -> AnnData:
    """[cells, named genes] The AnnData around the denoised matrix, without it."""
    var = pd.DataFrame(
        {slots.GENE_SYMBOL.name: [model.symbols[i] for i in columns]},
        index=pd.Index([model.genes[i] for i in columns]),
    )
    return AnnData(obs=pd.DataFrame(index=counts.obs_names), var=var)
