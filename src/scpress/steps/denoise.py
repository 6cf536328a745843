"""Denoised expression: the model's mean over the size factor, at one reference batch, in blocks."""

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from scpress import slots
from scpress.config.options import DenoiseOptions
from scpress.config.recommend import RecommendOptions
from scpress.errors import InputError
from scpress.model.batches import Cells
from scpress.model.decoding import Encoded, encode_block, require_seeds
from scpress.model.fitted import TrainedModel
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.modelled import modelled_blocks
from scpress.steps.recommend import score_imputation

log = logging.getLogger("scpress")


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
    if options.impute:
        add_imputation_scores(out, counts, normalized, (model, *others), options)
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
    batch; genes that were not measured in it, in those in which they were. What was not
    measured in a cell is NaN, unless it is to be imputed. Never an input to differential
    expression: the model has smoothed the noise away that a test needs.

    Raises
    ------
    InputError
        A gene that is not modelled, cells that lack the model's genes, or models that are not one
        with several seeds.
    """
    columns = denoised_columns(model, options)
    models = (model, *others)
    require_seeds(models)
    walks = (_encoded_blocks(counts, normalized, one, options) for one in models)
    for of_models in zip(*walks, strict=True):
        expected = [
            encoded.decode(one.mean_counts)[:, columns] / encoded.block.size_factor[:, None]
            for one, encoded in zip(models, of_models, strict=True)
        ]
        found = np.mean(expected, axis=0).astype(np.float32)
        measured = of_models[0].block.measured
        if measured is not None and not options.impute:
            found[~measured.mask()[:, columns]] = np.nan
        yield of_models[0].rows, found


def denoised_blocks(
    counts: AnnData, normalized: AnnData, models: Sequence[TrainedModel]
) -> Iterator[np.ndarray]:
    """[cells, genes] Of all genes of the counts, blocks in cell order; NaN where not modelled."""
    model, *others = models
    columns = counts.var_names.get_indexer(pd.Index(model.genes))
    for _, block in denoise_blocks(counts, normalized, model, DenoiseOptions(), others=others):
        wide = np.full((len(block), counts.n_vars), np.nan, dtype=np.float32)
        wide[:, columns] = block
        yield wide


def _encoded_blocks(
    counts: AnnData, normalized: AnnData | None, model: TrainedModel, options: DenoiseOptions
) -> Iterator[Encoded]:
    for rows, block in modelled_blocks(
        counts,
        normalized,
        model,
        reference_batch=options.reference_batch,
        max_missing_fraction=options.max_missing_fraction,
    ):
        yield encode_block(model, rows, block, model.reference_code(options.reference_batch))


def dca_blocks(
    counts: AnnData, normalized: AnnData | None, model: TrainedModel, options: DenoiseOptions
) -> dict[str, Iterator[np.ndarray]]:
    """[cells, named genes] What DCA has beside the mean: its key in obsm -> blocks in cell order.

    theta of a likelihood that has one, and the probability of an extra zero; of every cell, also
    where they are the same in all of them.
    """
    columns = denoised_columns(model, options)

    def blocks(decode: Callable[[Cells, np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
        for encoded in _encoded_blocks(counts, normalized, model, options):
            values = encoded.decode(decode)[:, columns].astype(np.float32)
            yield np.broadcast_to(values, (len(encoded.block), len(columns)))

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
    for encoded in _encoded_blocks(counts, normalized, model, options):
        rows, n_cells = encoded.rows, len(encoded.block)
        latent[rows], size_factor[rows] = encoded.z, encoded.block.size_factor
        for key, decode in decoders.items():
            values = encoded.decode(decode)[:, columns].astype(np.float64)
            values = np.log(values) if key == slots.DCA_DISPERSION.name else values
            sums[key] += values.mean(axis=0) * n_cells
    for key, total in sums.items():
        mean = total / counts.n_obs
        mean = np.exp(mean) if key == slots.DCA_DISPERSION.name else mean
        frame.var[key] = mean.astype(np.float32)
    frame.obsm[slots.DCA_LATENT.name] = latent
    frame.obs[slots.DCA_SIZE_FACTORS.name] = size_factor


def add_imputation_scores(
    frame: AnnData,
    counts: AnnData,
    normalized: AnnData | None,
    models: Sequence[TrainedModel],
    options: DenoiseOptions,
) -> None:
    """Say in var how well each gene is predicted where it was not measured; nothing where all were.

    Raises
    ------
    InputError
        As `score_imputation`; new cells, of which none is known to be held out.
    """
    if not models[0].config.masked:
        log.info("every gene was measured in all samples: there is nothing to impute")
        return
    if normalized is None:
        raise InputError(
            "imputed counts are scored on cells that training held out; found new cells. Give "
            "normalized.h5ad of the training, or remove impute."
        )
    reference = options.reference_batch
    if models[0].config.n_batches:
        reference = models[0].config.batches[models[0].reference_code(reference)]
    scored = RecommendOptions(reference_batch=reference)
    var, record = score_imputation(counts, normalized, models, scored)
    for name, column in var.loc[frame.var_names].items():
        frame.var[str(name)] = column
    frame.uns[slots.RECORD.name] = {"recommend": record.as_plain()}


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
