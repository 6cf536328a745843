import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from scpress.donors.classification import (
    Classifier,
    fit_logistic,
    make_folds,
    permute_labels,
)
from scpress.donors.performance import area_under_curve


@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_the_fit_is_that_of_scikit_learn(penalty):
    rng = np.random.default_rng(0)
    values, is_case = rng.normal(size=(30, 4)) * 2, np.arange(30) % 3 == 0
    # Three sets of labels at once, of which one leaves a third of the donors out.
    cases = np.array([is_case, ~is_case, is_case])
    weight = np.where(cases, 1.5, 0.75)
    weight[1] = np.where(is_case, 1.5, 0.75)
    inside = np.arange(30) % 3 != 1
    weight[2] = inside
    found = fit_logistic(values, cases, weight, np.full(3, penalty))
    model = LogisticRegression(C=1 / (4 * penalty), class_weight="balanced", tol=1e-10)
    for number, labels in enumerate(cases[:2]):
        model.fit(values, labels)
        np.testing.assert_allclose(found[number], [*model.intercept_, *model.coef_[0]], atol=1e-4)
    model = LogisticRegression(C=1 / (4 * penalty), tol=1e-10).fit(values[inside], is_case[inside])
    np.testing.assert_allclose(found[2], [*model.intercept_, *model.coef_[0]], atol=1e-4)


def test_a_fit_of_conditions_far_apart_ends():
    values = np.repeat([-1e4, 1e4], 5)[:, None]
    found = fit_logistic(values, values.T > 0, np.ones((1, 10)), np.array([1e-6]))
    assert np.isfinite(found).all()
    assert found[0, 1] > 0


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
    found = model.predict(is_case[None])
    return found.score[0], found.log_odds[0], model.weigh(found, 0), fold


def test_a_donors_own_label_and_features_do_not_reach_its_model():
    rng = np.random.default_rng(0)
    values, is_case = rng.normal(size=(24, 8)), np.arange(24) % 2 == 0
    *_, found, fold = predicted(values, is_case)
    changed = values.copy()
    changed[fold == 1] += 100
    *_, other, _ = predicted(changed, is_case)
    # Weights of the fold that holds them out are the same to the last bit.
    np.testing.assert_array_equal(found[1], other[1])
    assert not np.array_equal(found[0], other[0])


def test_a_signal_is_found_and_its_feature_is_the_heaviest():
    rng = np.random.default_rng(0)
    is_case = np.arange(24) % 2 == 0
    values = rng.normal(size=(24, 8))
    values[:, 3] += 6 * is_case
    score, _, weights, fold = predicted(values, is_case)
    assert area_under_curve(score[None], fold[None], is_case) > 0.9
    assert np.abs(weights).mean(axis=0).argmax() == 3


def test_probabilities_know_how_frequent_the_conditions_are():
    rng = np.random.default_rng(0)
    is_case = np.arange(40) % 4 == 0
    score, log_odds, *_ = predicted(rng.normal(size=(40, 3)), is_case)
    assert np.mean(1 / (1 + np.exp(-log_odds))) == pytest.approx(0.25, abs=0.08)
    assert abs(np.mean(score)) < 0.4


def test_without_signal_half_of_the_pairs_are_won():
    areas = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        is_case = rng.permutation(np.arange(16) % 2 == 0)
        score, *_, fold = predicted(rng.normal(size=(16, 20)), is_case, seed)
        areas.append(area_under_curve(score[None], fold[None], is_case))
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
