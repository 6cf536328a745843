"""Which settings of a model go on after a rung of a search, and which are chosen at its end."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scpress.errors import InputError
from scpress.steps.choose import paired_errors
from scpress.tables.search import Search, TrialScores

log = logging.getLogger("scpress")


def rank(standing: Search, results: Sequence[TrialScores]) -> Search:
    """Rank the trials of a rung by the Poisson loss of held-out molecules.

    One of `eta` goes on, the preferred one always, and two at least. After the last rung the first
    of the preferred that is within one standard error of the best is chosen; if none is, the best.

    Raises
    ------
    InputError
        Results of another rung or other molecules, a place without one, or none that was trained.
    """
    if standing.rung == len(standing.steps):
        raise InputError(f"the search for the settings of {standing.model} is at its end.")
    scores = {one.slot: one.scores for one in results if one.rung == standing.rung}
    missing = [slot for slot in range(len(standing.entered)) if slot not in scores]
    if missing:
        raise InputError(
            f"rung {standing.rung} of the search has no result in place {missing[0]}. Give one of "
            "`scpress trial` for each."
        )
    losses = {
        trial: np.array([[fold.poisson for fold in found.predictors[0].folds]])
        for slot, trial in enumerate(standing.entered)
        if (found := scores[slot]) is not None
    }
    if len({one.digest for one in scores.values() if one is not None}) != 1:
        raise InputError(
            "the results are of different held-out molecules, or no setting could be trained. Give "
            "files of one run, or a lower learning_rate."
        )
    means = {trial: float(loss.mean()) for trial, loss in losses.items()}
    order = sorted(means, key=lambda trial: means[trial])
    best = order[0]
    trials = list(standing.trials)
    for trial, error in paired_errors(losses, best).items():
        trials[trial] = replace(
            trials[trial],
            losses=(*trials[trial].losses, means[trial]),
            difference=means[trial] - means[best],
            error=error,
        )
    rung = standing.rung + 1
    after = replace(standing, rung=rung, trials=tuple(trials), entered=())
    if rung < len(standing.steps):
        n_kept = max(math.ceil(len(standing.entered) / standing.eta), 2)
        own = standing.preferred[0]
        kept = [own, *(trial for trial in order if trial != own)][:n_kept]
        log.info("%d of %d settings go on", len(kept), len(standing.entered))
        return replace(after, entered=tuple(sorted(kept)))
    chosen = next(
        (
            trial
            for trial in standing.preferred
            if trial in losses and means[trial] - means[best] <= (trials[trial].error or 0)
        ),
        best,
    )
    said = trials[chosen].settings or "its own"
    log.info("the settings of %s are %s", standing.model, said)
    return replace(after, chosen=chosen)
