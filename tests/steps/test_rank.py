"""Who goes on to the next rung, and what is chosen at the end."""

from dataclasses import replace

import numpy as np
import pytest

from scpress.errors import InputError
from scpress.steps.rank import rank
from scpress.tables.scores import FoldScore, Predictor, Scores
from scpress.tables.search import Search, Trial, TrialScores

CELLS = 100 + 50 * np.random.default_rng(0).normal(size=50)  # far more than what tells apart


def scores(*folds, digest="a"):
    made = [
        FoldScore(
            poisson=tuple(row),
            nb=tuple(row),
            log_mse=1.0,
            poisson_by_level=(1.0,),
            expected_zeros=(0.9,),
            dispersion=(1.0,),
        )
        for row in folds
    ]
    return Scores(
        digest=digest,
        n_cells=500,
        n_genes=10,
        n_molecules=1000,
        observed_zeros=(0.9,),
        mean_by_level=(0.1,),
        predictors=(Predictor(name="m", seed=0, folds=tuple(made)),),
    )


def result(slot, above, *, noise=0.1, rung=0, digest="a"):
    """A loss that is so much above another, in two folds."""
    rng = np.random.default_rng(slot)
    drawn = noise * rng.normal(size=50)
    row = CELLS + above + drawn - drawn.mean()
    return TrialScores(rung=rung, slot=slot, scores=scores(row, row, digest=digest))


def standing(n, *, steps=(10,), preferred=(0,), eta=3):
    return Search(
        model="m",
        given={},
        steps=steps,
        eta=eta,
        rung=0,
        trials=tuple(Trial(settings={"n_latent": n + 1}) for n in range(n)),
        entered=tuple(range(n)),
        preferred=preferred,
    )


def test_the_best_third_goes_on_and_the_models_own_with_it():
    above = [9.0, 3.0, 1.0, 4.0, 0.0, 5.0, 6.0]
    start = standing(7, steps=(10, 20, 30))
    after = rank(start, [result(slot, loss) for slot, loss in reversed(list(enumerate(above)))])
    # A third of seven, rounded up; the own settings are the worst, and stay.
    assert after.entered == (0, 2, 4)
    assert (after.rung, after.chosen) == (1, None)
    losses = [one.losses[0] for one in after.trials]
    assert losses == pytest.approx(CELLS.mean() + np.array(above))
    assert [one.difference for one in after.trials] == pytest.approx(above)
    assert after.trials[4].error == 0
    assert 0.005 < after.trials[0].error < 0.05  # 0.14 of a difference over sqrt(50) blocks
    # In the next rung places are those of the three.
    second = rank(after, [result(slot, loss, rung=1) for slot, loss in enumerate((2.0, 0.0, 1.0))])
    assert second.entered == (0, 2)
    assert [len(one.losses) for one in second.trials] == [2, 1, 2, 1, 2, 1, 1]
    third = rank(second, [result(slot, loss, rung=2) for slot, loss in enumerate((1.0, 0.0))])
    assert (third.chosen, third.entered, third.rung) == (2, (), 3)
    assert third.trials[0].difference == pytest.approx(1.0)
    assert third.trials[4].difference == pytest.approx(1.0)  # of its own last rung


@pytest.mark.parametrize(("above", "chosen"), [(0.01, 0), (1.0, 2)])
def test_the_models_own_settings_stay_unless_others_are_better_by_more_than_the_error(
    above, chosen
):
    # A third one is within the error of the best, too, and is not asked.
    results = [result(0, above), result(1, 0.01), result(2, 0.0)]
    assert rank(standing(3), results).chosen == chosen


def test_of_sizes_the_smallest_within_an_error_of_the_best_is_chosen():
    results = [result(0, 2.0), result(1, 0.01), result(2, 0.005), result(3, 0.0)]
    assert rank(standing(4, preferred=(0, 1, 2, 3)), results).chosen == 1


def test_a_training_that_failed_is_the_last_and_places_may_be_empty():
    results = [TrialScores(rung=0, slot=0), result(1, 3.0), result(2, 1.0), result(3, 2.0)]
    results.append(TrialScores(rung=0, slot=4))
    after = rank(standing(4, steps=(10, 20)), results)
    assert after.entered == (0, 2)
    assert (after.trials[0].losses, after.trials[0].difference) == ((), None)
    ended = rank(standing(4), results)
    assert ended.chosen == 2


def test_results_are_those_of_the_rung_on_the_same_molecules():
    one = standing(2)
    with pytest.raises(InputError, match=r"rung 0 of the search has no result in place 1\."):
        rank(one, [result(0, 0.0), result(1, 0.0, rung=1)])
    with pytest.raises(InputError, match="of different held-out molecules"):
        rank(one, [result(0, 0.0), result(1, 0.0, digest="b")])
    with pytest.raises(InputError, match="no setting could be trained"):
        rank(one, [TrialScores(rung=0, slot=0), TrialScores(rung=0, slot=1)])
    with pytest.raises(InputError, match="the settings of m is at its end"):
        rank(replace(one, rung=1), [result(0, 0.0, rung=1), result(1, 0.0, rung=1)])
