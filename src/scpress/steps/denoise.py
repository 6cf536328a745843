"""Denoised expression: the model's mean over the size factor, at one reference batch, in blocks."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from scpress import slots
from scpress.config.options import DenoiseOptions
from scpress.errors import InputError
from scpress.model.batches import Cells
from scpress.model.fitted import TrainedModel
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.modelled import ModelledCounts, modelled_blocks


def denoise(
    counts: AnnData,
    normalized: AnnData | None,
    model: TrainedModel,
    options: DenoiseOptions | None = None,
    *,
    others: Sequence[TrainedModel] = (),
) -> AnnData:
    """Denoised expression of the named genes in memory; see `denoise_blocks` for what it is.

    Parameters
    ----------
    others
        The same model trained with other seeds: the mean of what all of them expect predicts
        unseen molecules better than one does.

    Returns
    -------
    AnnData
        [cells, named genes] X dense float32. For all genes of many cells write `denoise_blocks`.
    """
    options = options or DenoiseOptions()
    columns = denoised_columns(model, options)
    X = np.zeros((counts.n_obs, len(columns)), dtype=np.float32)
    for rows, block in denoise_blocks(counts, normalized, model, options, others=others):
        X[rows] = block
    out = denoised_frame(counts, model, columns)
    out.X = X
    if options.dca_keys:
        add_dca_keys(out, counts, normalized, model, options)
        for key, blocks in dca_blocks(counts, normalized, model, options).items():
            out.obsm[key] = np.concatenate(list(blocks))
    return out


def denoise_blocks(
    counts: AnnData,
    normalized: AnnData | None,
    model: TrainedModel,
    options: DenoiseOptions,
    *,
    others: Sequence[TrainedModel] = (),
) -> Iterator[tuple[slice, np.ndarray]]:
    """[cells, named genes] mu over the size factor, blocks in cell order, float32.

    Of several seeds of a model the mean, `others` as of `denoise`.

    Not (1 - pi) mu: extra zeros are taken for technical. Every cell is decoded in the reference
    batch. Never an input to differential expression: the model has smoothed the noise away that
    a test needs.

    Raises
    ------
    InputError
        A gene that is not modelled, cells that lack the model's genes, or models that are not one
        with several seeds.
    """
    seeds = {model.record.seed}
    for other in others:
        if other.genes != model.genes or other.config != model.config:
            raise InputError(
                "only trainings of one model with several seeds are averaged; these differ in "
                "genes or options. Give models of one run."
            )
        if other.record.seed in seeds:
            raise InputError(
                f"two of the models to average are of seed {other.record.seed}. Give one of each."
            )
        seeds.add(other.record.seed)
    columns = denoised_columns(model, options)
    models = (model, *others)
    walks = (_encoded_blocks(counts, normalized, one, options) for one in models)
    for of_models in zip(*walks, strict=True):
        expected = [
            one.mean_counts(cells, z)[:, columns] / block.size_factor[:, None]
            for one, (_, block, cells, z) in zip(models, of_models, strict=True)
        ]
        yield of_models[0][0], np.mean(expected, axis=0).astype(np.float32)


def _encoded_blocks(
    counts: AnnData, normalized: AnnData | None, model: TrainedModel, options: DenoiseOptions
) -> Iterator[tuple[slice, ModelledCounts, Cells, np.ndarray]]:
    """Blocks of cells as they are decoded, in the reference batch, and their latent."""
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
        yield rows, block, block.cells_of(model), z


def dca_blocks(
    counts: AnnData, normalized: AnnData | None, model: TrainedModel, options: DenoiseOptions
) -> dict[str, Iterator[np.ndarray]]:
    """[cells, named genes] What DCA has beside the mean: its key in obsm -> blocks in cell order.

    theta of a likelihood that has one, and the probability of an extra zero; of every cell, also
    where they are the same in all of them.
    """
    columns = denoised_columns(model, options)

    def blocks(decode: Callable[[Cells, np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
        for _, block, cells, z in _encoded_blocks(counts, normalized, model, options):
            values = decode(cells, z)[:, columns].astype(np.float32)
            yield np.broadcast_to(values, (len(block), len(columns)))

    return {key: blocks(decode) for key, decode in _dca_decoders(model).items()}


def _dca_decoders(model: TrainedModel) -> dict[str, Callable[[Cells, np.ndarray], np.ndarray]]:
    likelihood = LIKELIHOODS[model.config.likelihood]
    decoders: dict[str, Callable[[Cells, np.ndarray], np.ndarray]] = {}
    if likelihood.has_theta and likelihood.on_counts:
        decoders[slots.DCA_DISPERSION.name] = lambda cells, z: np.exp(model.log_theta(cells, z))
    if likelihood.has_pi:
        decoders[slots.DCA_DROPOUT.name] = model.extra_zero_fraction
    return decoders


def add_dca_keys(
    frame: AnnData,
    counts: AnnData,
    normalized: AnnData | None,
    model: TrainedModel,
    options: DenoiseOptions,
) -> None:
    """Add what DCA gives of cells and of genes to the frame around the denoised matrix.

    obsm: X_dca; obs: size_factors, by which DCA's means are larger; var: X_dca_dispersion and
    X_dca_dropout, means over the cells (of theta the geometric one).
    """
    columns = denoised_columns(model, options)
    latent = np.zeros((counts.n_obs, model.n_latent), dtype=np.float32)
    size_factor = np.zeros(counts.n_obs)
    decoders = _dca_decoders(model)
    sums = {key: np.zeros(len(columns)) for key in decoders}
    for rows, block, cells, z in _encoded_blocks(counts, normalized, model, options):
        latent[rows], size_factor[rows] = z, block.size_factor
        for key, decode in decoders.items():
            values = decode(cells, z)[:, columns].astype(np.float64)
            values = np.log(values) if key == slots.DCA_DISPERSION.name else values
            sums[key] += values.mean(axis=0) * len(block)
    for key, total in sums.items():
        mean = total / counts.n_obs
        mean = np.exp(mean) if key == slots.DCA_DISPERSION.name else mean
        frame.var[key] = mean.astype(np.float32)
    frame.obsm[slots.DCA_LATENT.name] = latent
    frame.obs[slots.DCA_SIZE_FACTORS.name] = size_factor


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
