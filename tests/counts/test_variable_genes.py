"""Moments, variances, residuals, deviances and ranks against dense numpy, batch by batch."""

import numpy as np
import pytest
from scipy import sparse, stats

from scpress import settings
from scpress.counts import variable_genes
from scpress.counts.variable_genes import (
    binomial_deviances,
    clipped_variances,
    fit_deviation,
    measure_moments,
    rank_genes,
    residual_variances,
)

N_VARS = 12


@pytest.fixture(params=[1, 300, 10**8])
def in_blocks(request, monkeypatch):
    monkeypatch.setattr(settings, "chunk_bytes", request.param)


@pytest.fixture(scope="module")
def counts():
    """Two batches of 9 and 50 cells among cells of none; outliers that both limits clip."""
    rng = np.random.default_rng(0)
    dense = rng.poisson(rng.uniform(0.2, 3, N_VARS), (70, N_VARS))
    batches = rng.permutation(np.repeat([0, 1, -1], [9, 50, 11]))
    for batch, outlier in ((0, 60), (1, 200)):
        dense[np.argmax(batches == batch), batch] = outlier
    dense[:, 4] = 2  # constant
    dense[batches == 1, 5] = 0  # seen in one batch only
    dense[dense.sum(axis=1) == 0, 0] = 1
    dense.flags.writeable = False
    batches.flags.writeable = False
    return dense, batches


def stored(counts):
    return sparse.csr_matrix(counts[0].astype(np.int32)), counts[1]


def test_moments_of_each_batch_and_of_both(counts, in_blocks):
    dense, batches = counts
    moments = measure_moments(*stored(counts), 3)
    np.testing.assert_array_equal(moments.n_obs, [9, 50, 0])
    for batch in (0, 1):
        mean, variance = moments.mean_and_variance(batch)
        own = dense[batches == batch]
        np.testing.assert_allclose(mean, own.mean(axis=0))
        np.testing.assert_allclose(variance, own.var(axis=0, ddof=1), atol=1e-12)
    mean, variance = moments.pooled()
    np.testing.assert_allclose(mean, dense[batches >= 0].mean(axis=0))
    np.testing.assert_allclose(variance, dense[batches >= 0].var(axis=0, ddof=1), atol=1e-12)


def test_a_constant_gene_has_no_variance_at_all():
    X = sparse.csr_matrix(np.full((7, 1), 1_000_003, dtype=np.int32))
    moments = measure_moments(X, np.zeros(7, dtype=np.int64), 1)
    assert moments.mean_and_variance(0)[1].tolist() == [0.0]


def test_one_cell_has_no_variance():
    moments = measure_moments(sparse.csr_matrix([[3, 0]]), np.zeros(1, dtype=np.int64), 1)
    assert moments.mean_and_variance(0)[1].tolist() == [0.0, 0.0]


def test_the_trend_of_a_power_law_is_the_law():
    # A parabola is fitted to the logarithms at each place; it holds straight lines and parabolas.
    mean = np.append(np.geomspace(0.01, 100, 60), [5.0])
    variance = np.append(
        10 ** (0.3 + 1.4 * np.log10(mean[:-1]) + 0.1 * np.log10(mean[:-1]) ** 2), 0
    )
    deviation = fit_deviation(mean, variance)
    np.testing.assert_allclose(deviation[:-1], np.sqrt(variance[:-1]), rtol=1e-6)
    assert deviation[-1] == 1.0  # log10 of nothing is not fitted


def test_too_few_genes_that_vary_have_no_trend():
    mean = np.geomspace(0.1, 10, 40)
    variance = mean * (np.arange(40) < 19)
    with pytest.raises(ValueError, match="only 19 genes vary"):
        fit_deviation(mean, variance)
    assert np.isfinite(fit_deviation(mean, mean * (np.arange(40) < 20))).all()


def test_clipped_variances_cell_by_cell(counts, in_blocks):
    dense, batches = counts
    X, _ = stored(counts)
    moments = measure_moments(X, batches, 2)
    deviations = np.sqrt(np.random.default_rng(1).uniform(0.5, 2, (2, N_VARS)))
    found = clipped_variances(X, batches, moments, deviations)
    for batch, n_obs in ((0, 9), (1, 50)):
        own = dense[batches == batch]
        mean, deviation = own.mean(axis=0), deviations[batch]
        clipped = np.minimum(own, mean + deviation * np.sqrt(n_obs))
        assert (clipped < own).any()
        expected = ((clipped - mean) ** 2).sum(axis=0) / ((n_obs - 1) * deviation**2)
        np.testing.assert_allclose(found[batch], expected, atol=1e-10)


@pytest.mark.parametrize("tile", [1, 5 * N_VARS, 2**21])
def test_residuals_are_clipped_at_the_cells_of_their_own_batch(
    counts, in_blocks, monkeypatch, tile
):
    """The one difference from scanpy, which clips all batches at the first one's cells."""
    monkeypatch.setattr(variable_genes, "_TILE", tile)
    dense, batches = counts
    X, _ = stored(counts)
    found = residual_variances(X, batches, measure_moments(X, batches, 2))
    for batch, n_obs in ((0, 9), (1, 50)):
        own = dense[batches == batch].astype(float)
        residual = np.zeros_like(own)
        for cell in range(n_obs):
            for gene in range(N_VARS):
                mu = own[:, gene].sum() * own[cell].sum() / own.sum()
                if mu > 0:
                    residual[cell, gene] = (own[cell, gene] - mu) / np.sqrt(mu + mu**2 / 100)
        clipped = np.clip(residual, -np.sqrt(n_obs), np.sqrt(n_obs))
        # Both limits act, so that the other batch's would give another answer.
        assert (np.abs(residual) > np.sqrt(n_obs)).any()
        np.testing.assert_allclose(found[batch], clipped.var(axis=0), atol=1e-10)
    assert found[1, 5] == 0  # no molecule in this batch


def test_deviances_are_those_of_two_binomials_cell_by_cell(counts, in_blocks):
    """From scipy's probabilities: at each cell's own fraction, and at the batch's."""
    dense, batches = counts
    X, _ = stored(counts)
    found = binomial_deviances(X, batches, measure_moments(X, batches, 2))
    for batch in (0, 1):
        own = dense[batches == batch]
        sizes = own.sum(axis=1, keepdims=True)
        part = own.sum(axis=0) / own.sum()
        log = stats.binom.logpmf
        expected = 2 * (log(own, sizes, own / sizes) - log(own, sizes, part)).sum(axis=0)
        np.testing.assert_allclose(found[batch], expected, rtol=1e-8, atol=1e-8)
    assert found[1, 5] == 0  # no molecule in this batch
    assert found[0, 5] > 1


def test_a_gene_that_is_the_same_part_of_every_cell_has_no_deviance():
    X = sparse.csr_matrix(np.outer([10, 30, 70], [1, 2, 0]).astype(np.int32))
    batches = np.zeros(3, dtype=np.int64)
    found = binomial_deviances(X, batches, measure_moments(X, batches, 1))
    assert (found >= 0).all()
    np.testing.assert_allclose(found, 0, atol=1e-10)
    # Neither has the only gene there is, of which every molecule is.
    X = sparse.csr_matrix(np.array([[3], [5], [1]], dtype=np.int32))
    assert binomial_deviances(X, batches, measure_moments(X, batches, 1)).tolist() == [[0.0]]


def test_the_order_of_the_batches_makes_no_difference(counts):
    X, batches = stored(counts)
    swapped = np.array([1, 0, -1])[batches]
    one, other = (residual_variances(X, b, measure_moments(X, b, 2)) for b in (batches, swapped))
    np.testing.assert_allclose(one, other[::-1])


def slow_ranks(scores, n_top, votes_first):
    """Gene by gene, with sorted lists."""
    places = []
    for row in scores:
        order = sorted(range(len(row)), key=lambda gene: (-row[gene], gene))
        places.append({gene: rank for rank, gene in enumerate(order[:n_top])})
    lists = [sorted(p[gene] for p in places if gene in p) for gene in range(scores.shape[1])]
    middle = [
        (one[(len(one) - 1) // 2] + one[len(one) // 2]) / 2 if one else np.inf for one in lists
    ]
    votes = [len(one) for one in lists]

    def key(gene):
        pair = (-votes[gene], middle[gene])
        return (*(pair if votes_first else pair[::-1]), gene)

    chosen = np.zeros(len(lists), dtype=bool)
    chosen[sorted(range(len(lists)), key=key)[:n_top]] = True
    return chosen, np.where(np.isfinite(middle), middle, np.nan), votes


@pytest.mark.parametrize("votes_first", [True, False])
@pytest.mark.parametrize("n_batches", [1, 2, 3, 5])
@pytest.mark.parametrize("n_top", [1, 7, 25])
def test_ranks_votes_and_choice_gene_by_gene(n_batches, n_top, votes_first):
    rng = np.random.default_rng(n_batches)
    # Whole numbers, so that there are ties.
    scores = rng.integers(0, 12, (n_batches, 20)).astype(float)
    found = rank_genes(scores, n_top, votes_first=votes_first)
    for one, expected in zip(found, slow_ranks(scores, n_top, votes_first), strict=True):
        np.testing.assert_array_equal(one, expected)


def test_the_rank_is_the_median_of_the_batches_that_choose_the_gene():
    # Gene 0 comes first, second and sixth: its median is neither its mean nor its best place.
    scores = np.array([[9.0, 8, 7, 6, 5, 4], [8, 9, 7, 6, 5, 4], [1, 9, 8, 7, 6, 5]])
    assert rank_genes(scores, 6, votes_first=True)[1][0] == 1
    # Where the third batch does not choose it, the median is that of the other two.
    assert rank_genes(scores, 5, votes_first=True)[1][0] == 0.5
