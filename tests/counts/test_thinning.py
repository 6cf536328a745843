import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

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
