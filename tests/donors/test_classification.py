import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from scpress.donors.classification import (
    Classifier,
    area_interval,
    area_under_curve,
    fit_logistic,
    make_folds,
    permutation_p,
    permute_labels,
)

NOTHING = np.array([0.4, 0.5, 0.6])


def one_fold(score):
    return score[None], np.zeros((1, len(score)), dtype=int)


@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_the_fit_is_that_of_scikit_learn(penalty):
    rng = np.random.default_rng(0)
    values, is_case = rng.normal(size=(30, 4)) * 2, np.arange(30) % 3 == 0
    found = fit_logistic(values, is_case, penalty)
    model = LogisticRegression(C=1 / (4 * penalty), class_weight="balanced", tol=1e-10)
    model.fit(values, is_case)
    np.testing.assert_allclose(found, [*model.intercept_, *model.coef_[0]], atol=1e-4)


def test_a_fit_of_conditions_far_apart_ends():
    values = np.repeat([-1e4, 1e4], 5)[:, None]
    found = fit_logistic(values, values[:, 0] > 0, 1e-6)
    assert np.isfinite(found).all()
    assert found[1] > 0


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
            low, high = area_interval(
                *one_fold(rng.normal(size=40) + shift * is_case), is_case, NOTHING
            )
            held += low <= area <= high
        assert 0.92 < held / 400 < 0.985


def test_a_perfect_order_is_not_sure_and_dependence_makes_chance_less_sure():
    is_case = np.arange(24) % 2 == 0
    low, high = area_interval(*one_fold(is_case.astype(float)), is_case, NOTHING)
    assert 0.6 < low < 0.9
    assert high == 1.0
    score = np.random.default_rng(0).normal(size=24)
    widths = [
        np.ptp(area_interval(*one_fold(score), is_case, 0.5 + spread * np.array([-1, 0, 1])))
        for spread in (0.1, 0.3)
    ]
    assert widths[1] > 1.5 * widths[0]


def test_groups_are_in_one_fold_and_folds_have_both_conditions():
    group = np.repeat(np.arange(20), 2)
    is_case = group % 4 == 0
    fold = make_folds(is_case, group, 5, np.random.default_rng(0))
    assert all(len(set(fold[group == one])) == 1 for one in range(20))
    assert [int(is_case[fold == one].sum()) for one in range(5)] == [2] * 5


def predicted(values, is_case, seed=0):
    rng = np.random.default_rng(seed)
    n = len(is_case)
    fold = make_folds(is_case, np.arange(n), 4, rng)
    inner = [
        make_folds(is_case[fold != one], np.arange((fold != one).sum()), 3, rng) for one in range(4)
    ]
    model = Classifier(sparse.csr_matrix(values), np.empty((n, 0)), fold, inner, n_features=50)
    return model.predict(is_case), fold


def test_a_donors_own_label_and_features_do_not_reach_its_model():
    rng = np.random.default_rng(0)
    values, is_case = rng.normal(size=(24, 8)), np.arange(24) % 2 == 0
    found, fold = predicted(values, is_case)
    changed = values.copy()
    changed[fold == 1] += 100
    other, _ = predicted(changed, is_case)
    # Weights of the fold that holds them out are the same to the last bit.
    np.testing.assert_array_equal(found.weights[1], other.weights[1])
    assert not np.array_equal(found.weights[0], other.weights[0])


def test_a_signal_is_found_and_its_feature_is_the_heaviest():
    rng = np.random.default_rng(0)
    is_case = np.arange(24) % 2 == 0
    values = rng.normal(size=(24, 8))
    values[:, 3] += 6 * is_case
    found, fold = predicted(values, is_case)
    assert area_under_curve(found.score[None], fold[None], is_case) > 0.9
    assert np.abs(found.weights).mean(axis=0).argmax() == 3


def test_probabilities_know_how_frequent_the_conditions_are():
    rng = np.random.default_rng(0)
    is_case = np.arange(40) % 4 == 0
    found, _ = predicted(rng.normal(size=(40, 3)), is_case)
    assert np.mean(1 / (1 + np.exp(-found.log_odds))) == pytest.approx(0.25, abs=0.08)
    assert abs(np.mean(found.score)) < 0.4


def test_without_signal_half_of_the_pairs_are_won():
    areas = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        is_case = rng.permutation(np.arange(16) % 2 == 0)
        found, fold = predicted(rng.normal(size=(16, 20)), is_case, seed)
        areas.append(area_under_curve(found.score[None], fold[None], is_case))
    assert np.mean(areas) == pytest.approx(0.5, abs=3 * np.std(areas) / np.sqrt(40))


def test_labels_are_permuted_among_donors_or_within_them():
    donor = np.repeat(np.arange(6), 2)
    rng = np.random.default_rng(0)
    found = permute_labels(donor % 2 == 0, donor, rng)
    assert (found[::2] == found[1::2]).all()
    assert found.sum() == 6
    paired = np.arange(12) % 2 == 0
    found = permute_labels(paired, donor, rng)
    assert (found[::2] != found[1::2]).all()
    assert not np.array_equal(found, paired)


def test_a_permutation_as_good_as_what_was_found_counts_and_so_does_that_itself():
    assert permutation_p(0.7, np.array([0.5, 0.7, 0.6])) == 0.5
    assert permutation_p(0.9, np.array([0.5, 0.7, 0.6])) == 0.25
