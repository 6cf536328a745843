"""One model scored on molecules that it has not seen: trained once for each fold, without it."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd

from scpress import slots
from scpress.config.options import TrainOptions
from scpress.counts.matrix import gene_totals, select_columns
from scpress.counts.measured import measured_in
from scpress.errors import InputError
from scpress.model.baselines import FLOOR
from scpress.model.fitted import TrainedModel
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.modelled import ModelledCounts, modelled_counts
from scpress.model.molecules import (
    FoldSummary,
    HeldOutFold,
    Predict,
    hold_out,
    score_means,
    summarize_fold,
)
from scpress.steps.train import train
from scpress.tables.results import Folds, FoldsRecord
from scpress.tables.scores import FoldScore, Predictor, Scores
from scpress.training.checkpoints import Checkpoint

log = logging.getLogger("scpress")

_BLOCK_CELLS = 512


def score(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    folds: ad.AnnData,
    options: TrainOptions,
    *,
    name: str,
    seed: int,
    device: str = "auto",
    checkpoint: Callable[[], Checkpoint | None] = lambda: None,
    keep: Callable[[TrainedModel], None] = lambda model: None,
) -> Scores:
    """Train a model once for each fold, on all molecules but those of the fold, and score it there.

    What is scored are the means at the latent that the encoder gives for the molecules of training.

    Parameters
    ----------
    folds
        What `thin` made of these counts.
    options
        Of the model.
    checkpoint
        Makes the place of one unfinished training.
    keep
        Gets the model of each fold, whose record says which one it lacked.

    Raises
    ------
    InputError
        Folds of other cells or genes; as `train`.
    """
    # Scored whether it can be used or not: that is what the score says.
    options = replace(options, allow_failed_fit=True)
    scores, summaries = [], []
    for number, fold in enumerate(held_out_folds(counts, normalized, folds), start=1):
        left = without_fold(counts, fold, folds.var_names)
        model, _ = train(*left, options, seed=seed, device=device, checkpoint=checkpoint())
        scores.append(score_means(fold, means_of(model, fold, left)))
        summaries.append(summarize_fold(fold))
        model.record = replace(model.record, model=name, without_fold=fold_name(folds, number))
        keep(model)
        log.info(
            "fold %d: Poisson loss %.2f nats per cell of molecules held out",
            number,
            np.mean(scores[-1].poisson),
        )
    return collect_scores(folds, summaries, {name: scores}, seed=seed)


def fold_name(folds: ad.AnnData, number: int) -> str:
    """What the record of a model says that was trained without a fold; the first is 1."""
    return f"fold {number} of {_record_of(folds).digest}"


def held_out_folds(
    counts: ad.AnnData, normalized: ad.AnnData, folds: ad.AnnData
) -> Iterator[HeldOutFold]:
    """Each fold of the molecules, held out in turn; one is in memory at a time."""
    slots.require(folds, slots.FOLD, slots.LIBRARY_SIZE, slots.THIN_THETA)
    slots.require(normalized, slots.LIBRARY_SIZE, slots.HIGHLY_VARIABLE)
    slots.require_same_cells(counts.obs_names, normalized.obs_names, "normalized")
    slots.require_same_genes(counts.var_names, normalized.var_names, "normalized")
    columns = np.flatnonzero(normalized.var[slots.HIGHLY_VARIABLE.name].to_numpy(dtype=bool))
    slots.require_same_genes(counts.var_names[columns], folds.var_names, "folds")
    record = _record_of(folds)
    n_obs = counts.n_obs
    names = pd.Index([name.rpartition(":")[0] for name in folds.obs_names])
    X = select_columns(counts.X, columns)
    measured = measured_in(counts)
    measured = None if measured is None else measured.select(columns)
    library_size = normalized.obs[slots.LIBRARY_SIZE.name].to_numpy(dtype=np.int64)
    of_folds = folds.obs[slots.LIBRARY_SIZE.name].to_numpy(dtype=np.int64)
    theta = folds.var[slots.THIN_THETA.name].to_numpy(dtype=np.float64)
    for k in range(record.n_folds):
        rows = slice(k * n_obs, (k + 1) * n_obs)
        slots.require_same_cells(counts.obs_names, names[rows], "folds")
        molecules, left = folds.X[rows], library_size - of_folds[rows]
        if left.min() < 0 or (X - molecules).min() < 0:
            raise InputError(
                "the folds hold molecules that the counts do not. Give files of one run."
            )
        yield hold_out(X, molecules, left, fraction=record.fraction, theta=theta, measured=measured)


def without_fold(
    counts: ad.AnnData, fold: HeldOutFold, genes: pd.Index
) -> tuple[ad.AnnData, ad.AnnData]:
    """The two inputs of `train`, with the modelled genes alone, without the molecules of a fold."""
    var = counts.var.loc[genes]
    normalized = ad.AnnData(
        obs=pd.DataFrame({slots.LIBRARY_SIZE.name: fold.library_size}, index=counts.obs_names),
        var=pd.DataFrame({slots.HIGHLY_VARIABLE.name: True}, index=genes),
    )
    training = ad.AnnData(fold.training.X, obs=counts.obs.copy(), var=var.copy())
    if fold.training.measured is not None:
        columns = counts.var_names.get_indexer(genes)
        training.varm[slots.MEASURED.name] = counts.varm[slots.MEASURED.name][columns]
        training.uns[slots.RECORD.name] = counts.uns[slots.RECORD.name]
    return training, normalized


def means_of(
    model: TrainedModel, fold: HeldOutFold, left: tuple[ad.AnnData, ad.AnnData]
) -> Predict:
    """The molecules of training that a model expects in the cells that are scored.

    Extra zeros count. A model of log-values has its gene totals made those that were counted, and
    no mean below a part of the gene's, as PCA has (`baselines.Pca`).
    """
    seen = seen_by(model, fold, left)

    def predict(rows: slice, of: ModelledCounts = seen) -> np.ndarray:
        block = of.take(rows).cells_of(model)
        z = model.encode(block)[0]
        mu = model.mean_counts(block, z)
        if LIKELIHOODS[model.config.likelihood].has_pi:
            mu *= 1 - model.extra_zero_fraction(block, z)
        return mu

    if LIKELIHOODS[model.config.likelihood].on_counts:
        return predict
    decoded = np.zeros(model.config.n_genes)
    training = modelled_counts(*left, model)
    for rows, _ in training.blocks(n_cells=_BLOCK_CELLS):
        mu = predict(rows, training)
        if training.measured is not None:
            mu = mu * training.measured.mask(rows)
        decoded += mu.sum(axis=0, dtype=np.float64)
    counted = gene_totals(training.X)
    scale = np.divide(counted, decoded, out=np.ones_like(decoded), where=decoded > counted * 1e-3)
    floor = FLOOR * counted / np.maximum(training.sums(training.size_factor), 1e-12)

    def scaled(rows: slice) -> np.ndarray:
        return np.maximum(predict(rows) * scale, np.outer(seen.size_factor[rows], floor))

    return scaled


def seen_by(
    model: TrainedModel, fold: HeldOutFold, left: tuple[ad.AnnData, ad.AnnData]
) -> ModelledCounts:
    """[scored cells] What a model reads of the molecules of training."""
    cells, normalized = (part[fold.scored] for part in left)
    return modelled_counts(cells, normalized, model)


def collect_scores(
    folds: ad.AnnData,
    summaries: Sequence[FoldSummary],
    scores: Mapping[str, Sequence[FoldScore]],
    *,
    seed: int | None = None,
) -> Scores:
    """The table of some predictors, each with its scores in the order of the folds."""
    zeros, means = (
        tuple(np.mean([getattr(one, name) for one in summaries], axis=0).tolist())
        for name in ("zeros", "means")
    )
    return Scores(
        digest=_record_of(folds).digest,
        n_cells=summaries[0].n_cells,
        n_genes=folds.n_vars,
        n_molecules=sum(one.n_molecules for one in summaries),
        observed_zeros=zeros,
        mean_by_level=means,
        predictors=tuple(
            Predictor(name=name, seed=seed, folds=tuple(of_folds))
            for name, of_folds in scores.items()
        ),
    )


def _record_of(folds: ad.AnnData) -> FoldsRecord:
    return Folds.from_plain(folds.uns.get(slots.RECORD.name), "the record of the folds").thin
