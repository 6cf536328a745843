import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
from pydeseq2.dds import DeseqDataSet
from pydeseq2.ds import DeseqStats
from scipy import stats

from scpress.donors.biomarkers import degrees_of_prior, find_again, find_biomarkers

N_GENES, CHANGED = 60, 6


def drawn(n_donors=12, fold=4.0, seed=0):
    """Negative binomial counts, of which the first genes are changed in the second half."""
    rng = np.random.default_rng(seed)
    mean = np.exp(rng.uniform(3, 6, N_GENES)) * np.exp(rng.normal(0, 0.3, (n_donors, 1)))
    is_case = np.arange(n_donors) % 2 == 1
    mean[np.ix_(is_case, np.arange(CHANGED))] *= np.resize([fold, 1 / fold], CHANGED)
    return rng.poisson(rng.gamma(20.0, mean / 20.0)), is_case


def test_what_is_found_is_what_pydeseq2_finds_with_its_statistic_held_against_t():
    counts, is_case = drawn()
    batch = np.arange(12) // 2 % 2
    found = find_biomarkers(counts, is_case, batch[:, None].astype(float), max_fdr=0.05)
    metadata = pd.DataFrame(
        {"batch": [f"b{one}" for one in batch], "condition": np.where(is_case, "case", "control")},
        index=[f"d{one}" for one in range(12)],
    )
    data = pd.DataFrame(counts, index=metadata.index, columns=[f"g{n}" for n in range(N_GENES)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of so few genes it fits no trend, and says so
        model = DeseqDataSet(
            counts=data, metadata=metadata, design="~batch + condition", quiet=True
        )
        model.deseq2()
        tests = DeseqStats(model, contrast=["condition", "case", "control"], quiet=True)
        tests.run_wald_test()
        prior_degrees = found.prior_degrees
        p_values = 2 * stats.t.sf(tests.statistics.abs(), 12 - 3 + prior_degrees)
        tests.p_values = pd.Series(p_values, tests.statistics.index)
        tests.summary()
    # A scaled chi-square variable's logarithm has the variance of the prior.
    logs = np.log(stats.chi2.rvs(prior_degrees, size=200_000, random_state=0))
    assert np.var(logs) == pytest.approx(model.uns["prior_disp_var"], rel=0.02)
    expected = tests.results_df
    np.testing.assert_allclose(found.table["p_value"], expected["pvalue"], rtol=1e-3, atol=1e-9)
    np.testing.assert_allclose(
        found.table["log2_fold_change"], expected["log2FoldChange"], rtol=1e-3, atol=1e-3
    )
    np.testing.assert_allclose(found.table["fdr"], expected["padj"], rtol=1e-2, atol=1e-9)
    assert (found.table["fdr"][:CHANGED] <= 0.05).all()
    assert np.sign(found.table["log2_fold_change"][:CHANGED]).tolist() == [1, -1] * 3
    still = found.table["log2_fold_change"].abs()[CHANGED:].mean()
    assert found.table["shrunken_log2_fold_change"].abs()[CHANGED:].mean() < still


def test_a_gene_that_one_donor_makes_is_not_found_again():
    counts, is_case = drawn(n_donors=10)
    found = find_biomarkers(counts, is_case, np.empty((10, 0)), max_fdr=0.05)
    donor = np.array([f"d{one}" for one in range(10)])
    words = {"max_fdr": 0.05, "n_samples": 4, "rng": np.random.default_rng(0)}
    share = find_again(counts, is_case, np.empty((10, 0)), donor, found, **words)
    assert share[:CHANGED].tolist() == [1.0] * CHANGED
    assert not share[CHANGED:].any()
    # Found where a large fold change of the second gene is asked for in the other direction.
    found.table.loc[1, "log2_fold_change"] *= -1
    share = find_again(counts, is_case, np.empty((10, 0)), donor, found, **words)
    assert share[:3].tolist() == [1.0, 0.0, 1.0]


def test_a_sample_is_tested_with_the_prior_and_at_the_line_of_all_donors():
    counts, is_case = drawn(n_donors=8, fold=2.0)
    found = find_biomarkers(counts, is_case, np.empty((8, 0)), max_fdr=0.05)
    assert (found.table["fdr"][:CHANGED] <= 0.05).tolist() == [True, False, *[True] * 4]

    def again(degrees):
        words = {"max_fdr": 0.05, "n_samples": 6, "rng": np.random.default_rng(0)}
        changed = dataclasses.replace(found, prior_degrees=degrees)
        donor = np.arange(8).astype(str)
        return find_again(counts, is_case, np.empty((8, 0)), donor, changed, **words)[:CHANGED]

    none, own, sure = (again(degrees) for degrees in (0.0, found.prior_degrees, 1e9))
    assert none.mean() < 0.1
    assert 0.5 < own.mean() < sure.mean()
    # Of those that are found among all donors, too, one is not in every sample.
    assert sure[3] < 1


def test_samples_leave_out_whole_donors_of_both_conditions():
    from scpress.donors.biomarkers import _samples

    donor = np.repeat([f"d{one}" for one in range(10)], 2)
    is_case = np.repeat(np.arange(10) % 2 == 1, 2)
    for rows in _samples(is_case, donor, 5, np.random.default_rng(0)):
        left = set(donor) - set(donor[rows])
        assert len(left) == 2
        assert len(rows) == 16
        assert {is_case[donor == one][0] for one in left} == {True, False}


@pytest.mark.parametrize("n_samples", [1, 3])
def test_where_nothing_is_found_nothing_is_stable(n_samples):
    counts, is_case = drawn(fold=1.0)
    found = find_biomarkers(counts, is_case, np.empty((12, 0)), max_fdr=0.001)
    words = {"max_fdr": 0.001, "n_samples": n_samples, "rng": np.random.default_rng(0)}
    donor = np.arange(12).astype(str)
    share = find_again(counts, is_case, np.empty((12, 0)), donor, found, **words)
    assert not share.any()


def test_a_prior_that_is_not_known_adds_nothing():
    assert degrees_of_prior(np.nan) == 0
    # As variances go to 0, and to infinity.
    assert degrees_of_prior(1e-4) == pytest.approx(2e4, rel=1e-3)
    assert degrees_of_prior(1e4) == pytest.approx(0.02, rel=1e-3)
