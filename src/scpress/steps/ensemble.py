"""All seeds of a model together, scored on molecules that none of their trainings has seen."""

import logging
from collections.abc import Sequence

import anndata as ad
import numpy as np

from scpress.errors import InputError
from scpress.model.fitted import TrainedModel
from scpress.model.molecules import Predict, score_means, summarize_fold
from scpress.steps.score import collect_scores, fold_name, held_out_folds, means_of, without_fold
from scpress.tables.scores import Scores

log = logging.getLogger("scpress")


def ensemble(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    folds: ad.AnnData,
    models: Sequence[TrainedModel],
    *,
    name: str,
) -> Scores:
    """Score the mean of what several trainings of one model expect.

    Parameters
    ----------
    folds
        What `thin` made of these counts.
    models
        Those that `score` kept of each seed, one for each fold.

    Raises
    ------
    InputError
        A model that was not trained without one of the folds, not the same seeds of each fold, or
        models of different options.
    """
    configs = [model.config for model in models]
    n_configs = sum(config not in configs[:at] for at, config in enumerate(configs))
    if n_configs > 1:
        raise InputError(
            f"the models are of {n_configs} configurations, and seeds of one are taken together. "
            "Give those of one model."
        )
    known = {model.record.without_fold for model in models}
    scores, summaries = [], []
    for number, fold in enumerate(held_out_folds(counts, normalized, folds), start=1):
        lacked = fold_name(folds, number)
        of_fold = [model for model in models if model.record.without_fold == lacked]
        known.discard(lacked)
        seeds = [model.record.seed for model in of_fold]
        if number == 1:
            first = seeds
        if not seeds or seeds != first or len(set(seeds)) < len(seeds):
            raise InputError(
                f"fold {number} has models of the seeds {_listed(seeds)}, and the first fold of "
                f"{_listed(first)}. Give those that `score` kept of each seed, one for each fold."
            )
        left = without_fold(counts, fold, folds.var_names)
        scores.append(score_means(fold, mean_of([means_of(one, fold, left) for one in of_fold])))
        summaries.append(summarize_fold(fold))
        log.info(
            "fold %d: Poisson loss %.2f nats per cell of molecules held out, %d seeds together",
            number,
            np.mean(scores[-1].poisson),
            len(seeds),
        )
    if known:
        raise InputError(
            f"a model was trained without {known.pop() or 'no fold'}, and the folds are others. "
            "Give models that `score` kept for these folds."
        )
    return collect_scores(folds, summaries, {name: scores})


def mean_of(predicts: Sequence[Predict]) -> Predict:
    """What several trainings expect in the mean."""

    def predict(rows: slice) -> np.ndarray:
        total = predicts[0](rows).astype(np.float64)
        for one in predicts[1:]:
            total += one(rows)
        return total / len(predicts)

    return predict


def _listed(seeds: Sequence[int | None]) -> str:
    return ", ".join(map(str, seeds)) or "none"
