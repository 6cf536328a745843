"""Which likelihood of one model predicts molecules best that were held out."""

import logging
from collections.abc import Callable
from dataclasses import replace

import anndata as ad
import numpy as np
from scipy.stats import t as student

from scpress.config.options import TrainOptions
from scpress.config.scores import AUTO, CANDIDATES
from scpress.model.molecules import predictive_losses
from scpress.steps.choose import paired_error
from scpress.steps.score import held_out_folds, seen_by, without_fold
from scpress.steps.train import train
from scpress.tables.likelihood import Candidate, LikelihoodChoice
from scpress.training.checkpoints import Checkpoint

log = logging.getLogger("scpress")

# Chance that a gene is said to have extra zeros where none has, over all genes.
_MAX_CHANCE = 0.05


def choose_likelihood(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    folds: ad.AnnData,
    options: TrainOptions,
    *,
    name: str,
    seed: int,
    device: str = "auto",
    checkpoint: Callable[[], Checkpoint | None] = lambda: None,
) -> LikelihoodChoice:
    """Train a model with each likelihood and without each fold, and compare the folds' likelihoods.

    Chosen is the simplest that is within one standard error of the best: a mean of pi above zero
    is no evidence of extra zeros, as networks find a use for it on any counts. Arguments as for
    `steps.score.score`; the likelihood of the options does not count.

    Raises
    ------
    InputError
        Folds of other cells or genes; as `train`.
    """
    if options.n_latent == AUTO:
        # The likelihood is chosen first, with the preset's size.
        options = replace(options, n_latent=None)
    losses: dict[str, list[np.ndarray]] = {name: [] for name in CANDIDATES}
    n_cells = 0
    for fold in held_out_folds(counts, normalized, folds):
        n_cells = len(fold.scored)
        left = without_fold(counts, fold, folds.var_names)
        for likelihood, of_folds in losses.items():
            changed = replace(options, likelihood=likelihood, allow_failed_fit=True)
            model, _ = train(*left, changed, seed=seed, device=device, checkpoint=checkpoint())
            of_folds.append(predictive_losses(model, fold, seen_by(model, fold, left)))
    # [seeds, folds, blocks], of one seed.
    by_cell = {one: np.stack(found).sum(axis=2)[None] for one, found in losses.items()}
    means = {one: float(loss.mean()) for one, loss in by_cell.items()}
    best = min(means, key=lambda one: means[one])
    chosen = next(
        one
        for one in CANDIDATES
        if means[one] - means[best] <= paired_error(by_cell[one], by_cell[best])
    )
    difference = np.mean(losses["nb"], axis=0) - np.mean(losses["zinb"], axis=0)
    inflated = inflated_genes(difference, n_cells)
    log.info("%s: %s is chosen of %s", name, chosen, ", ".join(CANDIDATES))
    return LikelihoodChoice(
        model=name,
        seed=seed,
        n_cells=n_cells,
        n_folds=len(losses["nb"]),
        chosen=chosen,
        best=best,
        candidates=tuple(
            Candidate(
                likelihood=one,
                loss=means[one],
                difference=means[one] - means[chosen],
                error=paired_error(by_cell[one], by_cell[chosen]),
            )
            for one in CANDIDATES
        ),
        inflated_genes=tuple(str(folds.var_names[gene]) for gene in inflated),
    )


def inflated_genes(difference: np.ndarray, n_cells: int) -> np.ndarray:
    """Genes that extra zeros predict clearly better, the most nats first.

    Two things are asked for. The ratio of two predictions is above genes / chance: if the one
    without extra zeros is the truth, its expectation is 1, and Markov's inequality does the rest.
    And the gain is no matter of a few cells: it is that many errors above 0.

    Parameters
    ----------
    difference
        [blocks, genes] Loss of the negative binomial less that of the zero-inflated one, mean over
        the cells of a block.
    """
    n_blocks, n_genes = difference.shape
    gain, chance = difference.mean(axis=0), _MAX_CHANCE / n_genes
    error = difference.std(axis=0, ddof=1) / np.sqrt(n_blocks)
    is_clear = (gain * n_cells > -np.log(chance)) & (
        gain > student.isf(chance, n_blocks - 1) * error
    )
    order = np.argsort(-gain, kind="stable")
    return order[is_clear[order]]
