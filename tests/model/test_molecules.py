"""Scores of held-out molecules against double loops, and the truth among rivals."""

import itertools
import math

import numpy as np
import pytest
from builders import brief_options, untrained
from scipy import sparse
from scipy.special import gammaln
from scipy.stats import nbinom, poisson

from scpress.counts.thinning import split_counts
from scpress.model import molecules
from scpress.model.molecules import hold_out, predictive_losses, score_means, summarize_fold


@pytest.fixture(scope="module")
def drawn():
    """NB counts of 400 cells x 30 genes, their means, and a fold of a fifth of the molecules."""
    rng = np.random.default_rng(0)
    theta = rng.uniform(2, 10, 30)
    mu = rng.lognormal(0, 1.2, 30) * rng.lognormal(0, 0.4, (400, 1))
    mu = mu * rng.lognormal(0, 0.7, (400, 30))
    X = sparse.csr_matrix(rng.poisson(rng.gamma(theta, mu / theta)).astype(np.int32))
    fold, _ = split_counts(X, theta, fraction=0.2, rng=rng)
    left = np.asarray((X - fold).sum(axis=1)).ravel()
    return X, mu, theta, fold, hold_out(X, fold, left, fraction=0.2, theta=theta)


def test_what_is_told_and_what_is_held_out_are_all_molecules(drawn):
    X, _, theta, fold, held_out = drawn
    assert (held_out.training.X + fold != X).nnz == 0
    assert held_out.training.X.nnz == np.count_nonzero(held_out.training.X.data)
    assert held_out.ratio == pytest.approx(0.25)
    np.testing.assert_allclose(held_out.theta, theta / 5)
    np.testing.assert_array_equal(held_out.scored, np.arange(400))
    assert np.median(held_out.training.size_factor) == 1
    assert sorted(np.bincount(held_out.block)) == [4] * 100
    totals = np.asarray(X.sum(axis=0)).ravel()
    by_level = [totals[held_out.level == one] for one in range(5)]
    assert [len(one) for one in by_level] == [6] * 5
    assert all(a.max() <= b.min() for a, b in itertools.pairwise(by_level))


@pytest.mark.parametrize("dense_entries", [100, 2**20])
def test_losses_are_the_log_likelihoods_but_for_what_the_counts_decide(
    drawn, monkeypatch, dense_entries
):
    monkeypatch.setattr(molecules, "_DENSE_ENTRIES", dense_entries)
    _, mu, theta, fold, held_out = drawn
    found = score_means(held_out, lambda rows: 0.8 * mu[rows])
    x, expected, of_fold = fold.toarray(), 0.2 * mu, theta / 5
    of_poisson = expected - x * np.log(expected)
    p = of_fold / (of_fold + expected)
    constant = gammaln(x + of_fold) - gammaln(of_fold) - gammaln(x + 1) - x * np.log(of_fold)
    nb = constant - nbinom.logpmf(x, of_fold, p)
    for values, loss in ((found.poisson, of_poisson), (found.nb, nb)):
        means = [loss.sum(axis=1)[held_out.block == one].mean() for one in range(100)]
        np.testing.assert_allclose(values, means)
    scaled = [
        np.log1p(1e4 * v / np.maximum(v.sum(axis=1, keepdims=True), 1e-12)) for v in (x, expected)
    ]
    assert found.log_mse == pytest.approx(((scaled[0] - scaled[1]) ** 2).mean())
    variance = expected + expected**2 / of_fold
    for level in range(5):
        genes = held_out.level == level
        assert found.poisson_by_level[level] == pytest.approx(of_poisson[:, genes].sum() / 400)
        assert found.expected_zeros[level] == pytest.approx((p**of_fold)[:, genes].mean())
        ratio = ((x - expected) ** 2)[:, genes].sum() / variance[:, genes].sum()
        assert found.dispersion[level] == pytest.approx(ratio)


def test_the_truth_is_calibrated_and_before_all_others(drawn):
    _, mu, _, _, held_out = drawn
    rng = np.random.default_rng(1)
    total = mu.sum(axis=1, keepdims=True)
    seen = held_out.training.X.toarray()
    rivals = {
        "truth": 0.8 * mu,
        "noisy truth": 0.8 * mu * rng.lognormal(0, 0.3, mu.shape),
        "gene means": total * seen.sum(axis=0) / total.sum(),
        "the molecules themselves": seen.astype(float),
    }
    scores = {name: score_means(held_out, lambda rows, m=m: m[rows]) for name, m in rivals.items()}
    for loss in ("poisson", "nb"):
        means = {name: np.mean(getattr(one, loss)) for name, one in scores.items()}
        assert min(means, key=means.get) == "truth"
    summary = summarize_fold(held_out)
    zeros, counted = summary.zeros, summary.means
    assert (summary.n_cells, summary.n_molecules) == (400, held_out.molecules.sum())
    truth = scores["truth"]
    np.testing.assert_allclose(truth.expected_zeros, zeros, atol=0.02)
    np.testing.assert_allclose(truth.dispersion, 1, atol=0.35)
    assert scores["gene means"].dispersion[-1] > 1.3
    x = held_out.molecules.toarray()
    for level in range(5):
        assert zeros[level] == pytest.approx((x[:, held_out.level == level] == 0).mean())
        assert counted[level] == pytest.approx(x[:, held_out.level == level].mean())


def test_a_gene_that_is_said_to_be_nowhere_costs_no_infinity(drawn):
    held_out = drawn[-1]
    found = score_means(held_out, lambda rows: np.zeros((rows.stop - rows.start, 30)))
    # A twentieth of a molecule in 400 cells, a quarter of it in the fold.
    x = held_out.molecules.toarray()
    least = 0.05 / 400 / 4
    loss = (least - x * math.log(least)).sum(axis=1).mean()
    assert np.mean(found.poisson) == pytest.approx(loss)


def test_of_many_cells_the_same_ones_are_scored(drawn, monkeypatch):
    monkeypatch.setattr(molecules, "_MAX_SCORED", 50)
    X, mu, theta, fold, _ = drawn
    first, second = (hold_out(X, fold, np.ones(400), fraction=0.2, theta=theta) for _ in range(2))
    np.testing.assert_array_equal(first.scored, second.scored)
    assert len(first.scored) == 50 == len(score_means(first, lambda rows: mu[rows]).poisson)
    assert (first.molecules != fold[first.scored]).nnz == 0
    assert ((X - fold)[first.scored] != first.seen.X).nnz == 0


@pytest.mark.parametrize("likelihood", ["poisson", "nb", "zinb"])
def test_predictive_losses_are_those_of_both_parts_less_that_of_training(drawn, likelihood):
    """p(fold | training) = p(fold, training) / p(training), by the distributions of scipy."""
    held_out = drawn[-1]
    options = brief_options(
        preset="scvi", likelihood=likelihood, hidden=(8,), n_latent=2, dropout_rate=0.0
    )
    seen = held_out.seen
    model = untrained(seen, options)
    found = predictive_losses(model, held_out, seen)
    cells = seen.cells_of(model)
    z = model.encode(cells)[0]
    mu = model.mean_counts(cells, z).astype(float)
    told, x = seen.X.toarray(), held_out.molecules.toarray()

    def probability(counts, part):
        if likelihood == "poisson":
            return poisson.pmf(counts, mu * part)
        theta = np.exp(model.log_theta(cells, z).astype(float)) * part
        return nbinom.pmf(counts, theta, theta / (theta + mu * part))

    both, alone = probability(told, 1) * probability(x, 0.25), probability(told, 1)
    if likelihood == "zinb":
        pi = model.extra_zero_fraction(cells, z).astype(float)
        both = (1 - pi) * both + pi * ((told == 0) & (x == 0))
        alone = (1 - pi) * alone + pi * (told == 0)
    expected = -np.log(both / alone)
    for block in range(100):
        rows = held_out.block == block
        np.testing.assert_allclose(found[block], expected[rows].mean(axis=0), rtol=1e-3, atol=1e-4)


def test_fewer_genes_than_levels_have_one_each(drawn):
    X, mu, theta, fold, _ = drawn
    some = [0, 7, 9]
    left = np.ones(400)
    held_out = hold_out(X[:, some], fold[:, some], left, fraction=0.2, theta=theta[some])
    assert sorted(held_out.level) == [0, 1, 2]
    found = score_means(held_out, lambda rows: mu[rows][:, some])
    assert np.isfinite([found.poisson_by_level, found.expected_zeros, found.dispersion]).all()
    assert len(summarize_fold(held_out).zeros) == 3
