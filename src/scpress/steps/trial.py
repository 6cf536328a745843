"""One setting of a model in one rung of a search, scored on held-out molecules."""

import logging
from collections.abc import Callable

import anndata as ad

from scpress.config.options import TrainOptions
from scpress.errors import FitFailedError, InputError
from scpress.steps.score import score
from scpress.tables.search import Search, TrialScores
from scpress.training.checkpoints import Checkpoint

log = logging.getLogger("scpress")


def trial(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    folds: ad.AnnData,
    standing: Search,
    slot: int,
    *,
    seed: int,
    device: str = "auto",
    checkpoint: Callable[[], Checkpoint | None] = lambda: None,
) -> TrialScores:
    """Train the setting that is in one place of the rung without each fold, and score it there.

    It begins anew: the rungs before took a part of the steps of this one, and their states would
    have to be kept for all that are trained side by side.

    Parameters
    ----------
    standing
        How far the search has come.
    slot
        The place, from 0; one beyond those that are taken has no scores.

    Raises
    ------
    InputError
        The search is at its end; as `score`.
    """
    if standing.rung == len(standing.steps):
        raise InputError(f"the search for the settings of {standing.model} is at its end.")
    if slot >= len(standing.entered):
        return TrialScores(rung=standing.rung, slot=slot)
    settings = standing.trials[standing.entered[slot]].settings
    options = TrainOptions(**standing.given | settings)
    steps = min(standing.steps[standing.rung], options.max_steps)
    options = TrainOptions(**standing.given | settings | {"max_steps": steps})
    try:
        scores = score(
            counts,
            normalized,
            folds,
            options,
            name=standing.model,
            seed=seed,
            device=device,
            checkpoint=checkpoint,
        )
    except FitFailedError as failure:
        log.warning("%s It is the last of its rung.", failure)
        return TrialScores(rung=standing.rung, slot=slot)
    return TrialScores(rung=standing.rung, slot=slot, scores=scores)
