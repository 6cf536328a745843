import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score, roc_curve

from scpress.donors.performance import (
    GRID,
    accuracies,
    area_interval,
    area_under_curve,
    areas_under_curves,
    calibrate,
    one_against_others,
    permutation_p,
)
from scpress.donors.performance import roc_curve as curve_of_folds

NOTHING = np.tile([0.4, 0.5, 0.6], 20)


def one_fold(score):
    return score[None], np.zeros((1, len(score)), dtype=int)


def interval(score, is_case, permuted=NOTHING):
    scores, folds = one_fold(score)
    return area_interval(scores[:, None], folds, is_case[None], is_case.astype(int), permuted)


def test_the_area_of_one_fold_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    score, is_case = rng.integers(0, 5, 40).astype(float), rng.random(40) < 0.4
    found = area_under_curve(*one_fold(score), is_case)
    assert found == pytest.approx(roc_auc_score(is_case, score))


def test_donors_of_different_folds_are_not_compared():
    is_case = np.array([True, False, True, False])
    scores, folds = np.array([[1.0, 0.0, 9.0, 8.0]]), np.array([[0, 0, 1, 1]])
    assert area_under_curve(scores, folds, is_case) == 1.0
    assert area_under_curve(*one_fold(scores[0]), is_case) == 0.75
    assert area_under_curve(scores, np.arange(4)[None], is_case) == 0.5


def test_the_interval_is_delongs_where_scores_are_independent():
    """Coverage of a true area of 0.76, and of none."""
    rng = np.random.default_rng(0)
    is_case = np.arange(40) % 2 == 0
    for shift, area in ((1.0, 0.7602), (0.0, 0.5)):
        held = 0
        for _ in range(400):
            low, high = interval(rng.normal(size=40) + shift * is_case, is_case)
            held += low <= area <= high
        assert 0.92 < held / 400 < 0.985


def test_a_perfect_order_is_not_sure_and_dependence_makes_chance_less_sure():
    is_case = np.arange(24) % 2 == 0
    low, high = interval(is_case.astype(float), is_case)
    assert 0.6 < low < 0.9
    assert high == 1.0
    score = np.random.default_rng(0).normal(size=24)
    widths = [
        np.ptp(interval(score, is_case, 0.5 + spread * np.array([-1, 0, 1])))
        for spread in (0.1, 0.3)
    ]
    assert widths[1] > 1.5 * widths[0]


def test_a_permutation_as_good_as_what_was_found_counts_and_so_does_that_itself():
    assert permutation_p(0.7, np.array([0.5, 0.7, 0.6])) == 0.5
    assert permutation_p(0.9, np.array([0.5, 0.7, 0.6])) == 0.25


def test_what_permuted_labels_reach_is_chance():
    is_case = np.arange(24) % 2 == 0
    score = np.random.default_rng(0).normal(size=24) + 1.5 * is_case
    area = area_under_curve(*one_fold(score), is_case)
    assert 0.75 < area < 0.95
    spread = (area - 0.5) * np.array([-1, 1] * 10)
    low, high = interval(score, is_case, 0.5 + spread)
    assert low <= 0.5
    assert high > area
    low, _ = interval(score, is_case, 0.5 + spread / 3)
    assert low > 0.5
    # One of twenty is as far, though the others are near.
    spread[1:] /= 4
    low, _ = interval(score, is_case, 0.5 + spread)
    assert low <= 0.5
    _, high = interval(-score, is_case, 0.5 + spread)
    assert high >= 0.5


def test_of_several_conditions_the_area_is_the_mean_of_each_against_the_others():
    rng = np.random.default_rng(0)
    condition = np.repeat([0, 1, 2], [8, 12, 20])
    assert one_against_others(condition % 2, 2).tolist() == [(condition % 2 == 1).tolist()]
    cases = one_against_others(condition, 3)
    logits = rng.normal(size=(40, 3)) + np.eye(3)[condition]
    parts = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = areas_under_curves(parts.T[None], np.zeros((1, 40), dtype=int), cases)
    known = roc_auc_score(condition, parts, multi_class="ovr", average="macro")
    assert found.mean() == pytest.approx(known)


def test_the_interval_of_a_mean_area_holds_it_where_donors_are_drawn_anew():
    rng = np.random.default_rng(0)
    condition = np.repeat([0, 1, 2], [10, 15, 15])
    cases, folds = one_against_others(condition, 3), np.zeros((1, 40), dtype=int)

    def draw():
        return (rng.normal(size=(40, 3)) + 0.8 * np.eye(3)[condition]).T[None]

    # One coordinate is shifted in its condition alone: each area is that of two normals.
    area, held = 0.7142, 0
    for _ in range(200):
        low, high = area_interval(draw(), folds, cases, condition, (NOTHING + 0.5) / 2)
        held += low <= area <= high
    assert 0.9 < held / 200 < 0.995


def test_the_curve_of_one_fold_is_that_of_scikit_learn_and_its_area_is_the_area_of_many():
    rng = np.random.default_rng(0)
    score, is_case = rng.integers(0, 9, 60) + rng.integers(0, 2, 60) * 0.5, rng.random(60) < 0.5
    part, low, high = curve_of_folds(*one_fold(score), is_case, np.random.default_rng(0))
    others, cases, _ = roc_curve(is_case, score, drop_intermediate=False)
    np.testing.assert_allclose(part, np.interp(GRID, others, cases), atol=1e-9)
    assert (low <= part).all()
    assert (part <= high).all()
    assert 0.1 < np.mean(high - low) < 0.5
    # Folds of unlike sizes, twice.
    folds = np.array([np.arange(60) % 7, np.minimum(np.arange(60) % 13, 9)])
    scores = rng.normal(size=(2, 60)) + is_case
    part, _, _ = curve_of_folds(scores, folds, is_case, np.random.default_rng(0))
    assert part.mean() == pytest.approx(area_under_curve(scores, folds, is_case), abs=0.005)
    assert (np.diff(part) >= -1e-12).all()


def test_accuracies_are_those_of_scikit_learn_and_their_intervals_hold_the_truth():
    rng = np.random.default_rng(0)
    condition = np.repeat([0, 1, 2], [50, 20, 10])
    rate = np.array([0.9, 0.6, 0.4])[condition]
    held = np.zeros(2)
    for _ in range(100):
        predicted = np.where(rng.random(80) < rate, condition, (condition + 1) % 3)
        share, balanced = accuracies(condition, predicted, predicted, rng)
        assert share.value == np.mean(predicted == condition)
        known = balanced_accuracy_score(condition, predicted)
        assert balanced.value == pytest.approx(known)
        held += [share.low <= rate.mean() <= share.high, balanced.low <= 1.9 / 3 <= balanced.high]
    assert (held / 100 > 0.9).all()
    share, balanced = accuracies(condition, 0 * condition, condition, rng)
    assert share.value == 50 / 80
    assert balanced.value == balanced.high == 1
    assert 0.8 < balanced.low < 0.98


def test_groups_of_like_probability_are_counted():
    probability = np.array([0.9, 0.1, 0.2, 0.8] * 6)
    is_hit = np.array([True, False, True, True] * 6)
    bins = calibrate(probability, is_hit)
    assert [one.n for one in bins] == [8, 8, 8]
    assert [one.n_hits for one in bins] == [2, 8, 8]
    assert bins[0].predicted == pytest.approx((6 * 0.1 + 2 * 0.2) / 8)
    assert (bins[2].low < 1, bins[2].high) == (True, 1.0)
    assert [one.n for one in calibrate(probability[:3], is_hit[:3])] == [3]
