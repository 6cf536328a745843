"""Which of the genes that its sample did not measure a cell most probably expresses."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.neighbors import NearestNeighbors

from scpress import slots
from scpress.config.recommend import RecommendOptions
from scpress.counts.measured import measured_in
from scpress.errors import InputError
from scpress.model.baselines import fit_pca
from scpress.model.batches import Cells
from scpress.model.decoding import encode_block, require_seeds
from scpress.model.fitted import TrainedModel
from scpress.model.imputation import (
    Hidden,
    Predict,
    Prediction,
    Tally,
    gene_means,
    hide,
    neighbors,
    presence_of,
    shared_genes,
)
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.modelled import ModelledCounts, modelled_blocks, modelled_counts
from scpress.tables.imputation import ImputationRecord

log = logging.getLogger("scpress")

GENE_MEANS, NEIGHBORS, MODEL = "gene means", "neighbors", "model"
# Components in which the neighbours of the rival are looked for.
_N_COMPONENTS = 30


def recommend(
    counts: AnnData,
    normalized: AnnData,
    models: Sequence[TrainedModel],
    options: RecommendOptions | None = None,
) -> AnnData:
    """Name the genes that each cell most probably expresses among those it was not measured for.

    Parameters
    ----------
    counts
        [cells, genes] Raw counts that the models were trained on, of samples that measured
        different genes.
    normalized
        obs: library_size.
    models
        One model with all its seeds, whose probabilities are averaged.

    Returns
    -------
    AnnData
        [cells, modelled genes] without X. obsm: recommended, recommended_p. var: what
        `score_imputation` says of each gene, whose record is in uns["scpress"]["recommend"].

    Raises
    ------
    InputError
        All genes were measured in all cells; models that are not one with several seeds.
    """
    options = options or RecommendOptions()
    if measured_in(counts) is None:
        raise InputError(
            "every sample measured every gene, so that there is nothing to recommend. Merge "
            "samples of different genes with `genes` panels."
        )
    require_seeds(models)
    model = models[0]
    if not model.config.masked:
        raise InputError(
            "all genes of the model were measured in all samples, so that there is nothing to "
            "recommend. Raise n_top_genes, or name others in gene_list."
        )
    n_columns = min(options.n_genes, len(model.genes))
    named = np.full((counts.n_obs, n_columns), -1, dtype=np.int64)
    probability = np.full(named.shape, np.nan, dtype=np.float32)
    walks = [modelled_blocks(counts, normalized, one) for one in models]
    for of_models in zip(*walks, strict=True):
        rows, block = of_models[0]
        assert block.measured is not None
        found = _mean_of_seeds(models, [one for _, one in of_models], options, presence_of)
        absent = ~block.measured.mask()
        score = np.where(absent, found, -np.inf)
        best = np.argsort(-score, axis=1, kind="stable")[:, :n_columns]
        is_absent = np.take_along_axis(absent, best, axis=1)
        named[rows] = np.where(is_absent, best, -1)
        probability[rows] = np.where(is_absent, np.take_along_axis(found, best, axis=1), np.nan)
    var, record = score_imputation(counts, normalized, models, options)
    out = AnnData(obs=pd.DataFrame(index=counts.obs_names), var=var)
    out.var[slots.GENE_SYMBOL.name] = model.symbols
    out.obsm[slots.RECOMMENDED.name] = named
    out.obsm[slots.RECOMMENDED_P.name] = probability
    out.uns[slots.RECORD.name] = {"recommend": record.as_plain()}
    return out


def score_imputation(
    counts: AnnData,
    normalized: AnnData,
    models: Sequence[TrainedModel],
    options: RecommendOptions | None = None,
) -> tuple[pd.DataFrame, ImputationRecord]:
    """Predict counts of held-out cells as if their samples had measured what others did.

    The cells are those that training held out. From each is hidden, in turn, what every other set
    of genes lacks; rivals know the training cells and what is left of the cell, as the model does.

    Returns
    -------
    var, record
        [modelled genes] imputation_explained, the part of the gene means' Poisson deviance that the
        model explains, imputation_explained_neighbors, that of the neighbours, and
        imputation_entries, how many entries they are over; and the same of all genes together,
        with recall at k.

    Raises
    ------
    InputError
        Cells that the model was not trained on, or no held-out cell measured what others lack.
    """
    options = options or RecommendOptions()
    model = models[0]
    data = modelled_counts(counts, normalized, model)
    if model.n_fitted_cells != len(data) or not len(model.validation_cells):
        raise InputError(
            f"imputed counts are scored on cells that training held out; the model was trained on "
            f"{model.n_fitted_cells} cells and there are {len(data)}. Give the counts that it was "
            "trained on."
        )
    is_training = np.ones(len(data), dtype=bool)
    is_training[model.validation_cells] = False
    tallies = {name: Tally.of_genes(len(model.genes)) for name in (MODEL, GENE_MEANS, NEIGHBORS)}
    n_cells, genes = 0, np.zeros(len(model.genes), dtype=bool)
    for hidden in hide(data, np.sort(model.validation_cells)):
        n_cells, genes = n_cells + len(hidden.seen), genes | hidden.genes
        training = data.take(np.flatnonzero(is_training))
        for name, predict in predictors_of(models, training, hidden, options).items():
            tallies[name].add(hidden, predict, options.n_genes)
    if not n_cells:
        raise InputError(
            "no cell that training held out measured a gene that others lack, so that imputed "
            "counts cannot be scored. Raise validation_fraction, or add cells."
        )
    entries, base = tallies[MODEL].n_entries, tallies[GENE_MEANS].deviance
    var = pd.DataFrame(index=pd.Index(model.genes))
    for slot, name in ((slots.IMPUTATION_EXPLAINED, MODEL), (slots.IMPUTATION_RIVAL, NEIGHBORS)):
        left = tallies[name].deviance
        known = (entries > 0) & (base > 0)
        part = np.divide(left, base, out=np.ones_like(base), where=known)
        var[slot.name] = np.where(known, 1 - part, np.nan).astype(np.float32)
    var[slots.IMPUTATION_ENTRIES.name] = entries.astype(np.int64)
    record = ImputationRecord(
        n_cells=n_cells,
        n_genes=int(genes.sum()),
        k=options.n_genes,
        predictors=tuple(tallies),
        explained=tuple(
            float(1 - one.deviance.sum() / max(float(base.sum()), 1e-12))
            for one in tallies.values()
        ),
        recall=tuple(
            float(np.mean(one.recall)) if one.recall else float("nan") for one in tallies.values()
        ),
    )
    for name, explained, recall in zip(
        record.predictors, record.explained, record.recall, strict=True
    ):
        log.info(
            "%s: %.3f of the gene means' deviance of %d hidden genes, recall at %d %.3f",
            name,
            explained,
            record.n_genes,
            record.k,
            recall,
        )
    return var, record


def predictors_of(
    models: Sequence[TrainedModel],
    training: ModelledCounts,
    hidden: Hidden,
    options: RecommendOptions,
) -> dict[str, Predict]:
    """The model and its rivals, which are fitted to some cells, on hidden entries of others."""
    useful = training.take(np.flatnonzero(_has_some(training, hidden.genes)))
    return {
        MODEL: predict_with(models, hidden.seen, options),
        GENE_MEANS: gene_means(training, hidden),
        NEIGHBORS: neighbors(useful, hidden, _nearest(useful, hidden, options)),
    }


def predict_with(
    models: Sequence[TrainedModel], seen: ModelledCounts, options: RecommendOptions
) -> Predict:
    """What several seeds of a model expect, on average; extra zeros count."""

    def predict(rows: slice) -> Prediction:
        blocks = [seen.take(rows) for _ in models]
        mean = _mean_of_seeds(models, blocks, options, _expected)
        blocks = [seen.take(rows) for _ in models]
        return Prediction(mean, _mean_of_seeds(models, blocks, options, presence_of))

    return predict


def _expected(model: TrainedModel, cells: Cells, z: np.ndarray) -> np.ndarray:
    mean = model.mean_counts(cells, z)
    if LIKELIHOODS[model.config.likelihood].has_pi:
        mean = mean * (1 - model.extra_zero_fraction(cells, z))
    return mean


def _mean_of_seeds(
    models: Sequence[TrainedModel],
    blocks: Sequence[ModelledCounts],
    options: RecommendOptions,
    decode: Callable[[TrainedModel, Cells, np.ndarray], np.ndarray],
) -> np.ndarray:
    """[cells, n_genes] Mean over the seeds of what each says of a block of cells."""
    found = []
    for model, block in zip(models, blocks, strict=True):
        named = options.reference_batch
        reference = None if named is None else model.reference_code(named)
        encoded = encode_block(model, slice(0, len(block)), block, reference)
        found.append(encoded.decode(partial(decode, model)))
    return np.asarray(np.mean(found, axis=0))


def _has_some(data: ModelledCounts, genes: np.ndarray) -> np.ndarray:
    """[cells] Whether a cell was measured for some of the genes."""
    assert data.measured is not None
    return np.asarray((data.measured.genes & genes).any(axis=1)[data.measured.of_cell])


def _nearest(training: ModelledCounts, hidden: Hidden, options: RecommendOptions) -> np.ndarray:
    """[cells, n_neighbors] Training cells that are the most alike in the genes that both have."""
    shared = np.flatnonzero(shared_genes(training, hidden))
    if not len(shared):
        raise InputError(
            "cells of different samples share no modelled gene, and no neighbours can be told. "
            "Raise n_top_genes, or name shared genes in gene_list."
        )
    parts = [one.X[:, shared] for one in (training, hidden.seen)]
    sizes = [np.maximum(np.asarray(X.sum(axis=1), dtype=np.float64).ravel(), 1) for X in parts]
    median = float(np.median(sizes[0]))
    n_components = min(_N_COMPONENTS, len(shared), len(training) - 1)
    pca = fit_pca(parts[0], sizes[0] / median, n_components)
    known, own = (pca.encode(X, size / median) for X, size in zip(parts, sizes, strict=True))
    n_neighbors = min(options.n_neighbors, len(training))
    index = NearestNeighbors(n_neighbors=n_neighbors).fit(known)
    return np.asarray(index.kneighbors(own, return_distance=False))
