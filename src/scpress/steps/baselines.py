"""What a model has to beat on molecules that were held out: gene means, PCA of two kinds, NMF."""

import logging
from collections.abc import Iterator

import anndata as ad
import numpy as np

from scpress.compression.coders import (
    Coder,
    GeneMeanCoder,
    fit_gene_shares,
    fit_nmf,
    fit_pca_coders,
)
from scpress.config.options import BaselinesOptions
from scpress.counts.measured import measured_in
from scpress.model.baselines import PearsonPca, fit_pearson_pca
from scpress.model.molecules import HeldOutFold, Predict, score_means, summarize_fold
from scpress.model.scoring import gene_rates, library_of
from scpress.steps.score import collect_scores, held_out_folds
from scpress.tables.scores import FoldScore, Scores

log = logging.getLogger("scpress")

GENE_MEAN = "gene means"

# Cells that NMF and PCA of Pearson residuals, whose values are dense, are fitted to at most.
_MAX_NMF_CELLS, _MAX_PEARSON_CELLS = 5000, 20_000


def score_baselines(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    folds: ad.AnnData,
    options: BaselinesOptions | None = None,
) -> Scores:
    """Fit every baseline to all molecules but those of each fold, and score it on the fold.

    All are told each cell's total over the modelled genes, as models with library `observed` are.
    Arguments as for `steps.score.score`.

    Raises
    ------
    InputError
        Folds of other cells or genes.
    """
    options = options or BaselinesOptions()
    if measured_in(counts) is not None:
        log.info(
            "some genes were not measured in all samples: PCA and NMF, which would take them for "
            "zeros, are left out"
        )
    scores: dict[str, list[FoldScore]] = {}
    summaries = []
    for fold in held_out_folds(counts, normalized, folds):
        summaries.append(summarize_fold(fold))
        for name, predict in _fit_all(fold, options):
            scores.setdefault(name, []).append(score_means(fold, predict))
    return collect_scores(folds, summaries, scores)


def _fit_all(fold: HeldOutFold, options: BaselinesOptions) -> Iterator[tuple[str, Predict]]:
    training = fold.training
    n_obs, n_vars = training.X.shape
    yield GENE_MEAN, predict_gene_means(fold)
    if training.measured is not None:
        return
    share = fit_gene_shares(training)
    ranks = [r for r in sorted(set(options.pca_ranks)) if r <= min(n_vars, n_obs - 1)]
    if ranks:
        for rank, pca in zip(ranks, fit_pca_coders(training, ranks), strict=True):
            yield f"PCA {rank}", _means_of(pca, fold)
        drawn = np.random.default_rng(0).permutation(n_obs)[:_MAX_PEARSON_CELLS]
        pearson = fit_pearson_pca(training.X[np.sort(drawn)], max(ranks))
        for rank in ranks:
            yield f"PCA of Pearson residuals {rank}", _means_of_pearson(pearson, rank, fold)
    some = training.X[np.sort(np.random.default_rng(0).permutation(n_obs)[:_MAX_NMF_CELLS])]
    for rank in sorted(set(options.nmf_ranks)):
        if rank <= min(some.shape):
            yield f"NMF {rank}", _means_of(fit_nmf(some, share, rank), fold)


def predict_gene_means(fold: HeldOutFold) -> Predict:
    """Every gene at its share of the molecules, scaled to each cell's total."""
    if fold.training.measured is not None:
        rate = gene_rates(fold.training)
        library = library_of(fold.seen, "observed", rate)
        return lambda rows: np.outer(library[rows], rate / rate.sum())
    return _means_of(GeneMeanCoder(fit_gene_shares(fold.training)), fold)


def _means_of(coder: Coder, fold: HeldOutFold) -> Predict:
    """Means of a code that is stored exactly, but for its library."""
    seen = fold.seen
    z, library = coder.encode(seen), coder.library(seen)

    def predict(rows: slice) -> np.ndarray:
        part = {name: values[rows] for name, values in library.items()}
        return coder.decode(coder.weights, part, z[rows])

    return predict


def _means_of_pearson(pearson: PearsonPca, rank: int, fold: HeldOutFold) -> Predict:
    molecules, shorter = fold.seen.X, pearson.truncated(rank)
    return lambda rows: shorter.decode_counts(molecules[rows])
