"""Seeds of a model together: the mean of their expectations, on molecules they have not seen."""

import dataclasses

import numpy as np
import pytest
from builders import brief_options, briefly_trained, normalized_of

from scpress.config.options import ThinOptions
from scpress.errors import InputError
from scpress.model.molecules import score_means
from scpress.steps.ensemble import ensemble, mean_of
from scpress.steps.score import held_out_folds, means_of, score, without_fold
from scpress.steps.thin import thin

OPTIONS = brief_options(preset="dca", hidden=(8,), n_latent=3, max_steps=60, kernels="torch")


@pytest.fixture(scope="module")
def trained(simulated):
    """Counts, normalized, folds, and the models of two seeds on two folds."""
    normalized = normalized_of(simulated)
    folds = thin(simulated, normalized)
    models = []
    for seed in (0, 1):
        score(
            simulated,
            normalized,
            folds,
            OPTIONS,
            name="m",
            seed=seed,
            device="cpu",
            keep=models.append,
        )
    return simulated, normalized, folds, models


def test_the_mean_of_the_seeds_is_scored_and_has_less_noise_than_one(trained):
    counts, normalized, folds, models = trained
    found = ensemble(*trained, name="m")
    (predictor,) = found.predictors
    assert (predictor.name, predictor.seed, len(predictor.folds)) == ("m", None, 2)
    assert found.digest == folds.uns["scpress"]["thin"]["digest"]
    # In whatever order the files are given.
    assert ensemble(counts, normalized, folds, models[::-1], name="m") == found
    for number, fold in enumerate(held_out_folds(counts, normalized, folds)):
        left = without_fold(counts, fold, folds.var_names)
        one, two = (means_of(model, fold, left) for model in models[number::2])
        expected = score_means(fold, lambda rows, one=one, two=two: (one(rows) + two(rows)) / 2)
        np.testing.assert_allclose(predictor.folds[number].poisson, expected.poisson, rtol=1e-6)
        alone = [np.mean(score_means(fold, each).poisson) for each in (one, two)]
        # The loss is convex in the mean (Jensen).
        assert np.mean(predictor.folds[number].poisson) < np.mean(alone)


def test_one_seed_alone_is_what_score_says(trained):
    counts, normalized, folds, models = trained
    alone = score(counts, normalized, folds, OPTIONS, name="m", seed=1, device="cpu")
    found = ensemble(counts, normalized, folds, models[2:], name="m")
    for one, other in zip(found.predictors[0].folds, alone.predictors[0].folds, strict=True):
        np.testing.assert_allclose(one.poisson, other.poisson, rtol=1e-6)


def test_a_mean_changes_none_of_what_it_is_of():
    values = [np.full((2, 3), 1.0, dtype=np.float32), np.full((2, 3), 4.0, dtype=np.float32)]
    mean = mean_of([lambda rows, one=one: one for one in values])
    np.testing.assert_array_equal(mean(slice(0, 2)), np.full((2, 3), 2.5))
    assert values[0][0, 0] == 1


def test_models_that_saw_a_fold_are_refused(trained):
    """Scored on its own molecules a model would seem better than it is."""
    counts, normalized, folds, models = trained
    cases = {
        r"fold 2 has models of the seeds 0, and the first fold of 0, 1": models[:3],
        r"fold 1 has models of the seeds 0, 1, 0": [*models, models[0]],
        r"fold 2 has models of the seeds none": models[::2],
    }
    whole = dataclasses.replace(models[0])
    whole.record = dataclasses.replace(whole.record, without_fold=None)
    cases[r"trained without no fold, and the folds are others"] = [*models, whole]
    for message, given in cases.items():
        with pytest.raises(InputError, match=message):
            ensemble(counts, normalized, folds, given, name="m")
    wider = dataclasses.replace(models[3])
    wider.network = briefly_trained(counts, preset="dca", hidden=(9,), max_steps=1).network
    with pytest.raises(InputError, match="are of 2 configurations"):
        ensemble(counts, normalized, folds, [*models[:3], wider], name="m")
    others = thin(counts, normalized, ThinOptions(seed=1))
    with pytest.raises(InputError, match="fold 1 has models of the seeds none"):
        ensemble(counts, normalized, others, models, name="m")
