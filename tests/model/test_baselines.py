"""PCA and gene means against dense twins."""

import numpy as np
import pytest
from scipy import sparse

from scpress import settings
from scpress.counts.sizes import library_sizes, size_factors
from scpress.errors import InputError
from scpress.model.baselines import (
    FLOOR,
    fit_gene_mean,
    fit_pca,
    fit_pearson_pca,
    truncate_pca,
)


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    rate = rng.gamma(0.5, 2, size=40) * np.exp(
        rng.normal(size=(200, 3)) @ rng.normal(size=(3, 40)) * 0.5
    )
    return sparse.csr_matrix(rng.poisson(rate).astype(np.int32))


@pytest.fixture(scope="module")
def size_factor(counts):
    return size_factors(library_sizes(counts))


def log_values(counts, size_factor):
    return np.log1p(counts.toarray() / size_factor[:, None])


def test_gene_mean_keeps_the_totals_of_genes(counts, size_factor):
    decoded = fit_gene_mean(counts, size_factor).decode_counts(size_factor)
    np.testing.assert_allclose(decoded.sum(axis=0), counts.toarray().sum(axis=0))
    np.testing.assert_allclose(decoded[3] / size_factor[3], decoded[7] / size_factor[7])


def test_pca_is_the_svd_of_centered_log_values(counts, size_factor):
    pca = fit_pca(counts, size_factor, 5)
    values = log_values(counts, size_factor)
    centered = values - values.mean(axis=0)
    _, singular, rows = np.linalg.svd(centered, full_matrices=False)
    np.testing.assert_allclose(np.abs(pca.components @ rows[:5].T), np.eye(5), atol=1e-4)
    np.testing.assert_allclose(pca.variance, singular[:5] ** 2 / 199, rtol=1e-4)
    assert pca.total_variance == pytest.approx((singular**2).sum() / 199, rel=1e-5)
    np.testing.assert_allclose(
        pca.encode(counts, size_factor), centered @ pca.components.T, atol=1e-4
    )


def test_pca_with_every_component_gives_the_log_values_back(counts, size_factor):
    pca = fit_pca(counts, size_factor, 40)
    decoded = pca.decode(pca.encode(counts, size_factor))
    np.testing.assert_allclose(decoded, log_values(counts, size_factor), atol=1e-3)


def test_pca_sign_is_fixed(counts, size_factor):
    components = fit_pca(counts, size_factor, 6).components
    assert (components.max(axis=1) == np.abs(components).max(axis=1)).all()


def test_pca_does_not_depend_on_the_size_of_blocks(counts, size_factor, monkeypatch):
    whole = fit_pca(counts, size_factor, 4)
    monkeypatch.setattr(settings, "chunk_bytes", 2000)
    blocks = fit_pca(counts, size_factor, 4)
    np.testing.assert_allclose(whole.components, blocks.components, atol=1e-5)
    np.testing.assert_allclose(whole.scale, blocks.scale, rtol=1e-4)


def test_pca_counts_have_the_totals_of_genes_and_are_positive(counts, size_factor):
    pca = fit_pca(counts, size_factor, 3)
    decoded = pca.decode_counts(pca.encode(counts, size_factor), size_factor)
    detected = counts.toarray().any(axis=0)
    assert decoded[:, detected].min() > 0
    # The floor adds a little to genes that PCA puts at zero.
    np.testing.assert_allclose(decoded.sum(axis=0), counts.toarray().sum(axis=0), rtol=0.05)


def test_pca_truncated_equals_pca_fitted_with_fewer(counts, size_factor):
    full = fit_pca(counts, size_factor, 10)
    short = truncate_pca(full, counts, size_factor, 3)
    fitted = fit_pca(counts, size_factor, 3)
    np.testing.assert_allclose(short.components, fitted.components, atol=1e-5)
    np.testing.assert_allclose(short.scale, fitted.scale, rtol=1e-4)


@pytest.mark.parametrize("n_components", [0, 41, 500])
def test_pca_refuses_more_components_than_genes(counts, size_factor, n_components):
    with pytest.raises(InputError, match="40 genes and 200 cells"):
        fit_pca(counts, size_factor, n_components)


def test_the_gene_scale_is_the_counted_total_over_the_decoded_one(counts, size_factor):
    pca = fit_pca(counts, size_factor, 3)
    # The exponential of a mean logarithm is too small, by a factor of its own for each gene.
    plain = np.expm1(pca.decode(pca.encode(counts, size_factor)))
    decoded = (np.maximum(plain, 0) * size_factor[:, None]).sum(axis=0)
    totals = counts.toarray().sum(axis=0)
    often = totals > 20
    np.testing.assert_allclose(pca.scale[often], (totals / decoded)[often], rtol=1e-3)
    assert np.median(pca.scale[often]) > 1.05


def test_a_predicted_mean_has_a_floor_of_a_share_of_the_genes(counts, size_factor):
    pca = fit_pca(counts, size_factor, 3)
    far = np.array([[-60, 0, 0], [60, 0, 0]], dtype=np.float32)
    expected = FLOOR * counts.toarray().sum(axis=0) / size_factor.sum()
    found = pca.decode_counts(far, np.array([1.0, 3.0]))
    low = np.minimum(found[0], found[1] / 3)
    down = np.abs(pca.components[0]) > 0.1
    np.testing.assert_allclose(low[down], expected[down], rtol=1e-4)


def test_a_gene_that_is_never_seen_stays_at_zero(counts, size_factor):
    X = counts.toarray()
    X[:, 5] = 0
    X = sparse.csr_matrix(X)
    pca = fit_pca(X, size_factor, 3)
    decoded = pca.decode_counts(pca.encode(X, size_factor), size_factor)
    assert np.isfinite(decoded).all()
    np.testing.assert_allclose(decoded[:, 5], 0, atol=1e-5)


def test_pearson_pca_is_the_svd_of_analytic_residuals(counts):
    x = counts.toarray().astype(float)
    share = np.maximum(x.sum(axis=0), 0.5)
    share /= share.sum()
    expected = x.sum(axis=1, keepdims=True) * share
    deviation = np.sqrt(expected + expected**2 / 100)
    residual = np.clip((x - expected) / deviation, -np.sqrt(200), np.sqrt(200))
    centered = residual - residual.mean(axis=0)
    vectors = np.linalg.svd(centered, full_matrices=False)[2][:4]
    found = fit_pearson_pca(counts, 4)
    np.testing.assert_allclose(
        found.components.T @ found.components, vectors.T @ vectors, atol=1e-8
    )
    back = centered @ vectors.T @ vectors + residual.mean(axis=0)
    mu = np.maximum(expected + back * deviation, FLOOR * expected)
    np.testing.assert_allclose(found.decode_counts(counts), mu, rtol=1e-8)
    # Of fewer components, the largest.
    two = np.linalg.svd(centered, full_matrices=False)[2][:2]
    shorter = found.truncated(2).components
    np.testing.assert_allclose(shorter.T @ shorter, two.T @ two, atol=1e-8)


def test_residuals_are_clipped_and_a_gene_of_no_molecules_is_no_trouble():
    x = np.ones((9, 3), dtype=np.int32)
    x[0, 0], x[:, 2] = 1000, 0
    found = fit_pearson_pca(sparse.csr_matrix(x), 1)
    assert found.residuals(sparse.csr_matrix(x))[2].max() == 3
    assert np.isfinite(found.decode_counts(sparse.csr_matrix(x))).all()
