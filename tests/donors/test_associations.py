import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scpress.donors.associations import (
    adjust,
    adjust_all,
    associate_feature,
    associate_groups,
    associate_hazard,
    can_be_tested,
)

GROUP = np.repeat([0, 1, 2], 10)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.arange(12.0), True),
        (["a", "b"] * 6, True),
        ([True, False] * 6, True),
        ([1.0, 0.0] * 6, True),
        (["a"] * 12, False),
        ([f"d{one}" for one in range(12)], False),
        ([1.0, 2.0, 3.0, 4.0, 5.0] + [np.nan] * 7, False),
    ],
)
def test_a_column_is_tested_where_it_says_something(values, expected):
    assert can_be_tested(pd.Series(values)) is expected


def test_numbers_beside_groups_are_scipys_and_missing_ones_are_passed_over(rng):
    values = rng.normal(size=30) + GROUP
    found = associate_groups(GROUP, pd.Series(values), rng)
    known = stats.kruskal(*(values[one == GROUP] for one in range(3)))
    assert (found.test, found.n_donors) == ("Kruskal-Wallis", 30)
    assert found.p_value == pytest.approx(known.pvalue)
    assert found.effect == pytest.approx(known.statistic / 29)
    values[:5] = np.nan
    known = stats.kruskal(*(values[5:][GROUP[5:] == one] for one in range(3)))
    assert associate_groups(GROUP, pd.Series(values), rng).p_value == pytest.approx(known.pvalue)


def test_words_beside_groups_are_of_permuted_donors(rng):
    words = np.where(rng.random(30) < 0.3 + 0.2 * GROUP, "x", "y")
    found = associate_groups(GROUP, pd.Series(words), rng)
    known = stats.chi2_contingency(pd.crosstab(GROUP, words), correction=False)
    assert found.effect == pytest.approx(np.sqrt(known.statistic / 30))
    assert found.p_value == pytest.approx(known.pvalue, abs=0.03)
    same = associate_groups(GROUP, pd.Series(np.array(["a", "b", "c"])[GROUP]), rng)
    assert (same.effect, same.p_value) == (pytest.approx(1), 1 / 1000)


def test_a_feature_beside_numbers_and_words_is_scipys(rng):
    feature, number = rng.normal(size=30), rng.normal(size=30)
    rho, p_value = stats.spearmanr(feature, number)
    found = associate_feature(feature, pd.Series(number))
    assert (found.effect, found.p_value) == (pytest.approx(abs(rho)), pytest.approx(p_value))
    found = associate_feature(feature, pd.Series(np.array(list("abc"))[GROUP]))
    known = stats.kruskal(*(feature[one == GROUP] for one in range(3)))
    assert found.p_value == pytest.approx(known.pvalue)
    assert associate_feature(np.ones(30), pd.Series(number)).p_value == 1


def test_a_hazard_is_of_a_standard_deviation_and_has_no_sign(rng):
    feature = 3 * rng.normal(size=80)
    time = rng.exponential(np.exp(-feature / 3))
    found = associate_hazard(feature, time, np.ones(80))
    assert found.effect == pytest.approx(1, abs=0.4)
    assert found.p_value < 1e-4
    other = associate_hazard(7 - 2 * feature, time, np.ones(80))
    assert other.effect == pytest.approx(found.effect, rel=1e-6)
    assert associate_hazard(np.ones(80), time, np.ones(80)).p_value == 1


def test_rates_are_of_all_tests():
    assert adjust([0.01, 0.04, 0.5]) == pytest.approx([0.03, 0.06, 0.5])
    assert adjust([]) == []
    assert adjust_all([0.5, 0.01, 0.02]) == pytest.approx([0.5, 0.03, 0.04])
