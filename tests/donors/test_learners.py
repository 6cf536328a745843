import numpy as np
import pytest
from sklearn.linear_model import Ridge

from scpress.donors.learners import FITS, ReducedRankRidge, fill_up, fit_ridge, fit_shared_latent

N_LINES, N_GENES, N_DRUGS = 60, 8, 5


@pytest.fixture(scope="module")
def data():
    """60 lines, whose responses to five drugs are of two directions of eight genes."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(N_LINES, N_GENES))
    truth = features @ rng.normal(size=(N_GENES, 2)) @ rng.normal(size=(2, N_DRUGS))
    responses = truth + rng.normal(0, 0.5, truth.shape)
    responses -= responses[:40].mean(axis=0)
    return features, responses, truth


@pytest.mark.parametrize("name", FITS)
def test_planted_responses_are_told_of_new_lines(data, name):
    features, responses, truth = data
    predicted = FITS[name](features[:40], responses[:40], features[40:])
    assert predicted.shape == (20, N_DRUGS)
    for drug in range(N_DRUGS):
        assert np.corrcoef(predicted[:, drug], truth[40:, drug])[0, 1] > 0.85


@pytest.mark.parametrize("name", FITS)
def test_a_missing_response_is_of_no_other_drug(data, name):
    """A drug that few lines have is 0, and drugs that are learned alone do not change."""
    features, responses, _ = data
    lacking = responses[:40].copy()
    lacking[3:, 0] = np.nan
    predicted = FITS[name](features[:40], lacking, features[40:])
    assert np.isfinite(predicted).all()
    if name != "shared_latent":
        assert (predicted[:, 0] == 0).all()
        whole = FITS[name](features[:40], responses[:40], features[40:])
        np.testing.assert_allclose(predicted[:, 1:], whole[:, 1:])


def test_the_ridge_is_that_of_the_lines_with_a_response_and_left_out_best(data):
    """Of sklearn's Ridge with the strength whose predictions of left-out lines are nearest."""
    features, responses, _ = data
    lacking = responses[:40] + np.random.default_rng(1).normal(0, 4, (40, N_DRUGS))
    lacking[:25, 2] = np.nan
    found = fit_ridge(features[:40], lacking, features[40:])
    rows = np.arange(25, 40)
    unit = np.square(features[rows]).sum(axis=1).mean()
    best = min(
        np.logspace(-2, 2, 9) * unit,
        key=lambda alpha: sum(
            (
                Ridge(alpha=alpha)
                .fit(features[rows[rows != one]], lacking[rows[rows != one], 2])
                .predict(features[[one]])[0]
                - lacking[one, 2]
            )
            ** 2
            for one in rows
        ),
    )
    assert 0.05 * unit < best < 50 * unit
    wanted = Ridge(alpha=best).fit(features[rows], lacking[rows, 2]).predict(features[40:])
    np.testing.assert_allclose(found[:, 2], wanted, atol=1e-8)


def test_the_shared_latent_has_few_directions(data):
    features, responses, _ = data
    model = ReducedRankRidge(1.0, features, responses)
    predicted = model.predict(features, 2)
    assert np.linalg.matrix_rank(predicted - predicted.mean(axis=0)) == 2
    ridge = Ridge(alpha=1.0).fit(features, responses).predict(features)
    np.testing.assert_allclose(model.predict(features, N_DRUGS), ridge)
    # Of all of that rank, the nearest to what the ridge fits (Eckart and Young).
    U, s, V = np.linalg.svd(ridge - ridge.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(predicted - ridge.mean(axis=0), U[:, :2] * s[:2] @ V[:2])


def test_so_many_directions_are_shared_as_help_inner_lines():
    """One direction of many noisy drugs: told better through it than drug by drug."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(80, 20))
    truth = features[:, :1] @ rng.uniform(1, 2, (1, 15))
    responses = truth + rng.normal(size=truth.shape)
    responses -= responses[:40].mean(axis=0)
    found, ridge = (
        FITS[name](features[:40], responses[:40], features[40:])
        for name in ("shared_latent", "ridge")
    )
    errors = [np.square(one - truth[40:]).mean() for one in (found, ridge)]
    assert errors[0] < 0.5 * errors[1]
    assert np.linalg.matrix_rank(found - found.mean(axis=0)) == 1


def test_a_missing_response_is_filled_with_the_mean_of_its_line():
    lacking = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]])
    assert fill_up(lacking).tolist() == [[1, 2, 3], [0, 0, 0]]


def test_one_drug_alone_has_a_latent_too(data):
    features, responses, _ = data
    assert fit_shared_latent(features, responses[:, :1], features[:3]).shape == (3, 1)


def test_the_elastic_net_leaves_out_what_says_nothing(data):
    features = data[0]
    rng = np.random.default_rng(1)
    noise = np.column_stack([features[:40, :1], rng.normal(size=(40, 30))])
    y = 3 * noise[:, :1] + rng.normal(0, 0.3, (40, 1))
    asked = np.eye(31)
    found = FITS["elastic_net"](noise, y - y.mean(), asked) - FITS["elastic_net"](
        noise, y - y.mean(), np.zeros((1, 31))
    )
    assert found[0, 0] > 1.5
    assert np.isclose(found[1:], 0).mean() > 0.3
