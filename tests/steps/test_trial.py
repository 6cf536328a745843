"""One setting in one rung: its options, its steps, and places that are empty."""

import pytest
from builders import brief_options, normalized_of

from scpress.config.options import ThinOptions
from scpress.errors import FitFailedError, InputError
from scpress.model.fitted import record_options
from scpress.steps import trial as step
from scpress.steps.thin import thin
from scpress.steps.trial import trial
from scpress.tables.search import Search, Trial


@pytest.fixture
def run(simulated):
    """Run a trial of one place and rung; what `score` was asked for, instead of a training."""

    def of(slot, *, rung=0, max_steps=60):
        given = record_options(brief_options(n_latent="auto", max_steps=max_steps))
        standing = Search(
            model="m",
            given=given,
            steps=(20, 500),
            eta=2,
            rung=rung,
            trials=tuple(Trial(settings={"n_latent": n}) for n in (2, 3, 4)),
            entered=(0, 2),
            preferred=(0,),
        )
        return trial(simulated, simulated, simulated, standing, slot, seed=6, device="cpu")

    return of


@pytest.fixture
def asked(monkeypatch):
    seen = []

    def score(*data, **keywords):
        seen.append((data[3], keywords))

    monkeypatch.setattr(step, "score", score)
    return seen


@pytest.mark.parametrize(
    ("rung", "max_steps", "steps"), [(0, 60, 20), (1, 60, 60), (1, 900, 500), (0, 10, 10)]
)
def test_the_setting_in_the_place_is_trained_for_the_steps_of_the_rung(
    run, asked, rung, max_steps, steps
):
    found = run(1, rung=rung, max_steps=max_steps)
    ((options, keywords),) = asked
    assert options == brief_options(n_latent=4, max_steps=steps)
    assert (keywords["name"], keywords["seed"], keywords["device"]) == ("m", 6, "cpu")
    assert (found.rung, found.slot) == (rung, 1)


def test_an_empty_place_trains_nothing(run, asked):
    found = run(2)
    assert asked == []
    assert (found.slot, found.scores) == (2, None)


def test_a_training_that_fails_has_no_scores(run, monkeypatch):
    def fail(*_, **__):
        raise FitFailedError("no validation loss was finite.")

    monkeypatch.setattr(step, "score", fail)
    assert run(0).scores is None


def test_a_search_that_has_ended_has_no_trials(run):
    with pytest.raises(InputError, match="the settings of m is at its end"):
        run(0, rung=2)


def test_a_trial_is_scored_on_what_it_did_not_see(simulated):
    normalized = normalized_of(simulated)
    folds = thin(simulated, normalized, ThinOptions(folds=1))
    standing = Search(
        model="m",
        given=record_options(brief_options(preset="pca", n_latent="auto")),
        steps=(20,),
        eta=2,
        rung=0,
        trials=(Trial(settings={"n_latent": 2}),),
        entered=(0,),
        preferred=(0,),
    )
    found = trial(simulated, normalized, folds, standing, 0, seed=0, device="cpu")
    assert found.scores.digest == folds.uns["scpress"]["thin"]["digest"]
