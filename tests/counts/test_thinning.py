import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scpress import settings
from scpress.counts import thinning
from scpress.counts.thinning import estimate_theta, split_counts


def _draw(rng, n_cells, theta, mu, size_factor):
    rate = rng.gamma(theta, 1 / theta, (n_cells, len(mu))) * mu * size_factor[:, None]
    return sparse.csr_matrix(rng.poisson(rate).astype(np.int32))


def test_theta_is_estimated_whatever_the_library_sizes():
    rng = np.random.default_rng(0)
    theta = np.array([0.5, 2.0, 10.0])
    size_factor = rng.lognormal(0, 0.5, 40_000)
    counts = _draw(rng, 40_000, theta, np.full(3, 4.0), size_factor)
    np.testing.assert_allclose(estimate_theta(counts, size_factor), theta, rtol=0.15)


def test_theta_of_a_gene_without_overdispersion_is_large():
    counts = sparse.csr_matrix(np.array([[1, 0], [1, 0], [1, 3]], dtype=np.int32))
    assert estimate_theta(counts, np.ones(3))[0] == 1e8
    assert np.isfinite(estimate_theta(counts, np.ones(3))).all()


def test_folds_of_negative_binomial_counts_are_independent_and_plain_thinning_is_not():
    rng = np.random.default_rng(0)
    theta, mu = np.array([0.5, 2.0]), np.array([5.0, 10.0])
    counts = _draw(rng, 20_000, theta, mu, np.ones(20_000))
    first, second = split_counts(counts, theta, rng=rng)
    thinned = split_counts(counts, np.full(2, 1e8), rng=rng)
    for gene in range(2):
        one, two = (fold.toarray()[:, gene] for fold in (first, second))
        # The standard error of a correlation of 20,000 pairs is 0.007.
        assert abs(np.corrcoef(one, two)[0, 1]) < 0.03
        assert abs(np.corrcoef(one > 0, two)[0, 1]) < 0.03
        one, two = (fold.toarray()[:, gene] for fold in thinned)
        assert np.corrcoef(one, two)[0, 1] > 0.3


@given(st.integers(0, 10_000), st.floats(0.1, 0.9))
def test_sum_of_the_folds_is_the_counts(seed, fraction):
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 50, (20, 8)) * (rng.random((20, 8)) < 0.4)
    counts = sparse.csr_matrix(values.astype(np.int32))
    theta = rng.uniform(0.01, 100, 8)
    first, second = split_counts(counts, theta, fraction=fraction, rng=rng)
    assert (first + second != counts).nnz == 0
    assert first.dtype == np.int32
    assert (first.data > 0).all()
    assert (second.data > 0).all()


@pytest.mark.parametrize("chunk_bytes", [8, 10**6])
def test_theta_against_the_moments_cell_by_cell(monkeypatch, chunk_bytes):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    rng = np.random.default_rng(1)
    size_factor = rng.lognormal(0, 0.5, 60)
    counts = _draw(rng, 60, np.array([0.3, 1.0, 3.0]), np.array([2.0, 5.0, 9.0]), size_factor)
    x = counts.toarray().astype(float)
    for gene, found in enumerate(estimate_theta(counts, size_factor)):
        mean = x[:, gene].sum() / size_factor.sum()
        excess = sum((x[c, gene] - s * mean) ** 2 - s * mean for c, s in enumerate(size_factor))
        assert found == pytest.approx(mean**2 * (size_factor**2).sum() / excess)


def test_theta_is_never_zero_and_a_gene_without_molecules_is_poisson():
    x = np.zeros((4000, 2), dtype=np.int32)
    x[0, 0] = 10_000
    found = estimate_theta(sparse.csr_matrix(x), np.ones(4000))
    assert found.tolist() == [1e-3, 1e8]


@pytest.mark.parametrize("fraction", [0.2, 0.7])
def test_the_first_fold_has_the_stated_part_of_the_molecules(fraction):
    rng = np.random.default_rng(0)
    counts = _draw(rng, 5000, np.array([1.0, 5.0]), np.array([20.0, 50.0]), np.ones(5000))
    first, second = split_counts(counts, np.array([1.0, 5.0]), fraction=fraction, rng=rng)
    part = np.asarray(first.sum(axis=0)) / np.asarray(counts.sum(axis=0))
    np.testing.assert_allclose(part, fraction, atol=0.02)
    assert (first + second != counts).nnz == 0


@pytest.mark.parametrize("at_a_time", [3, 7, 2**22])
def test_every_part_of_the_values_is_divided_by_the_theta_of_its_gene(monkeypatch, at_a_time):
    monkeypatch.setattr(thinning, "_VALUES_AT_A_TIME", at_a_time)
    rng = np.random.default_rng(0)
    # Molecules of the first gene stay together, those of the last are divided evenly.
    theta = np.array([1e-3, 1.0, 1e8])
    values = np.full((50, 3), 1000, dtype=np.int32)
    values[::2, 1] = 0  # so that no part begins at a gene of its own
    counts = sparse.csr_matrix(values)
    first = split_counts(counts, theta, rng=rng)[0].toarray()
    assert np.isin(first[:, 0], (0, 1000)).mean() > 0.9
    np.testing.assert_allclose(first[:, 2], 500, atol=100)  # 6 standard deviations
    np.testing.assert_array_equal(counts.toarray(), values)


def test_the_same_stream_gives_the_same_folds():
    counts = sparse.csr_matrix(np.full((20, 3), 30, dtype=np.int32))
    one, two, other = (
        split_counts(counts, np.ones(3), rng=np.random.default_rng(seed))[0] for seed in (0, 0, 1)
    )
    assert (one != two).nnz == 0
    assert (one != other).nnz > 0
