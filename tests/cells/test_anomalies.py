"""Scores become p-values that are right where nothing is strange, and calls that are few there."""

import numpy as np
import pytest
from scipy import stats

from scpress.cells.anomalies import (
    count_p_values,
    cross_conformal_p,
    place_of,
    standardize_among_like,
    stated_fdr,
    without_trend,
)


def test_a_score_that_is_depth_says_nothing_among_cells_of_like_depth():
    rng = np.random.default_rng(0)
    depth = np.exp(rng.normal(7, 0.6, size=2000))
    place = place_of(depth, depth**0.8 * np.exp(rng.normal(0, 0.1, size=2000)))
    scores = np.log(depth) + 0.05 * rng.normal(size=2000)
    assert np.corrcoef(scores, np.log(depth))[0, 1] > 0.9
    calibration = np.arange(1000)
    level = without_trend(scores, place, calibration)
    found = standardize_among_like(level, place, calibration, n_like=50)
    assert abs(np.corrcoef(found, np.log(depth))[0, 1]) < 0.1
    # New cells and those that they are compared with have one distribution.
    assert stats.ks_2samp(found[:1000], found[1000:]).pvalue > 0.01


def test_a_trend_is_that_of_the_calibration_cells():
    rng = np.random.default_rng(6)
    place = rng.normal(size=(60, 2))
    scores = 3 + place[:, 0] - 2 * place[:, 1] ** 2 + place[:, 0] * place[:, 1]
    scores[50:] += 5
    found = without_trend(scores, place, np.arange(50))
    np.testing.assert_allclose(found, np.where(np.arange(60) < 50, 0.0, 5.0), atol=1e-9)


def test_a_cell_is_not_among_those_that_it_is_compared_with():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=12)
    place = np.column_stack([np.arange(12.0), np.zeros(12)])
    found = standardize_among_like(scores, place, np.arange(12), n_like=11)
    for cell in range(12):
        others = np.delete(scores, cell)
        median = np.median(others)
        deviation = 1.4826 * np.median(np.abs(others - median))
        assert found[cell] == pytest.approx((scores[cell] - median) / deviation)


def test_a_new_cell_is_compared_with_its_nearest():
    place = np.array([[0.0], [1.0], [2.0], [3.0], [100.0], [1.1]])
    scores = np.array([1.0, 2.0, 4.0, 7.0, 1000.0, 5.0])
    found = standardize_among_like(scores, place, np.arange(5), n_like=3)
    # 1, 2 and 4 are the scores of the three nearest.
    assert found[5] == pytest.approx((5 - 2) / 1.4826)


def test_equal_scores_make_no_infinite_ones():
    found = standardize_among_like(np.ones(20), np.zeros((20, 2)), np.arange(20), n_like=5)
    np.testing.assert_array_equal(found, 0)


def test_conformal_p_values_count_the_normal_cells_that_are_as_strange():
    fold = np.array([0, 0, 1, 1, -1, -1])
    scores = np.array([[1.0, 2.0, 50.0, 50.0, 1.5, 9.0], [60.0, 60.0, 3.0, 4.0, 3.0, 9.0]])
    p = cross_conformal_p(scores, fold)
    # One cell of fold 0 is at 1.5 or more, two of fold 1 at 3 or more.
    np.testing.assert_allclose(p[4:], [(1 + 1 + 2) / 5, 1 / 5])
    # A normal cell by its own fold: all have 1 or more, three 2 or more, and so on, itself too.
    np.testing.assert_allclose(p[:4], [4 / 4, 3 / 4, 2 / 4, 1 / 4])


def test_p_values_of_normal_cells_are_uniform():
    rng = np.random.default_rng(2)
    fold = np.concatenate([np.arange(1000) % 2, np.full(3000, -1)])
    own = rng.normal(size=4000)
    p = cross_conformal_p(np.stack([own, own]), fold)[1000:]
    for level in (0.01, 0.1, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=0.03)


def fdr_of(p, n):
    return stated_fdr(np.asarray(p, dtype=float), n)


def test_the_stated_rate_is_not_below_that_of_benjamini_and_hochberg():
    rng = np.random.default_rng(3)
    p = np.ceil(np.concatenate([rng.uniform(size=500), 1e-9 * np.ones(60)]) * 1001) / 1001
    adjusted = stats.false_discovery_control(p)
    found = fdr_of(p, 1000)
    assert (found >= adjusted - 1e-12).all()
    assert (np.diff(found[np.argsort(p)]) >= 0).all()
    assert (found[500:] <= 0.1).all()


@pytest.mark.parametrize(("n_planted", "n_calibration"), [(30, 2000), (0, 2000), (60, 1000)])
def test_the_part_that_is_false_is_at_most_the_stated_one_in_nearly_all_experiments(
    n_planted, n_calibration
):
    rng = np.random.default_rng(4)
    held, power = [], []
    for _ in range(40):
        scores = np.concatenate([rng.normal(size=n_calibration + 970), np.full(n_planted, 9.0)])
        fold = np.where(np.arange(len(scores)) < n_calibration, 0, -1)
        p = cross_conformal_p(scores[None], fold)[n_calibration:]
        called = fdr_of(p, n_calibration) <= 0.1
        held.append(called[:970].sum() <= 0.1 * called.sum())
        power.append(called[970:].mean() if n_planted else 1.0)
    assert np.mean(held) >= 0.9
    assert np.mean(power) >= 0.9


def test_ranks_among_themselves_call_nothing():
    assert (fdr_of(np.arange(1, 201) / 200, 200) == 1).all()


@pytest.mark.parametrize("theta", [0.5, 20.0, None])
@pytest.mark.parametrize("pi", [None, 0.3])
def test_p_values_of_counts_are_twice_the_smaller_tail(theta, pi):
    x = np.array([[0, 1, 2, 7, 40]])
    mu = np.array([[3.0, 0.2, 2.0, 7.5, 5.0]])
    law = stats.poisson(mu) if theta is None else stats.nbinom(theta, theta / (theta + mu))
    most, least = law.cdf(x), law.sf(x - 1)
    if pi is not None:
        most, least = pi + (1 - pi) * most, np.where(x > 0, (1 - pi) * least, 1)
    expected = np.minimum(1, 2 * np.minimum(most, least))
    of_theta = None if theta is None else np.full_like(mu, theta)
    of_pi = None if pi is None else np.full_like(mu, pi)
    np.testing.assert_allclose(count_p_values(x, mu, of_theta, of_pi), expected, rtol=1e-9)
