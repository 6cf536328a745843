"""Codes, their bytes and the rulers, against slow twins and by meaning."""

import numpy as np
import pytest
from scipy import sparse

from scpress.compression import distortion
from scpress.compression.distortion import measure_distortion, poisson_deviance
from scpress.counts.sizes import library_sizes, size_factors
from scpress.model.baselines import fit_gene_mean


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 3, size=150)
    rate = rng.gamma(0.6, 2, size=(3, 30))[groups] * rng.gamma(5, 0.2, size=(150, 1))
    X = sparse.csr_matrix(rng.poisson(rate + 0.05).astype(np.int32))
    return X, size_factors(library_sizes(X)), rate + 0.05


def test_poisson_deviance_is_its_formula(counts):
    X, _, mu = counts
    x = X.toarray()
    total = 0.0
    for cell in range(x.shape[0]):
        for gene in range(x.shape[1]):
            k, m = x[cell, gene], mu[cell, gene]
            total += 2 * ((k * np.log(k / m) if k else 0) - k + m)
    assert poisson_deviance(X, mu) == pytest.approx(total, rel=1e-9)


def test_gene_mean_explains_nothing_and_the_truth_much(counts, monkeypatch):
    X, factor, truth = counts
    mean = fit_gene_mean(X, factor)
    monkeypatch.setattr(distortion, "BLOCK_CELLS", 40)
    none = measure_distortion(X, factor, mean.rate, lambda a, b: mean.decode_counts(factor[a:b]))
    assert none.deviance_explained == pytest.approx(0, abs=1e-9)
    assert none.gene_correlation == 0
    much = measure_distortion(X, factor, mean.rate, lambda a, b: truth[a:b])
    assert much.deviance_explained > 0.3
    assert much.gene_correlation > 0.4
    exact = measure_distortion(X, factor, mean.rate, lambda a, b: X[a:b].toarray())
    assert much.deviance_explained < exact.deviance_explained
    assert exact.cell_correlation > 0.99


def test_correlations_match_numpy(counts):
    X, factor, truth = counts
    mean = fit_gene_mean(X, factor)
    result = measure_distortion(X, factor, mean.rate, lambda a, b: truth[a:b])
    x = np.log1p(X.toarray() / factor[:, None])
    y = np.log1p(np.maximum(truth, 0.1 * np.outer(factor, mean.rate)) / factor[:, None])
    genes = [np.corrcoef(x[:, g], y[:, g])[0, 1] for g in range(30) if x[:, g].any()]
    cells = [np.corrcoef(x[c], y[c])[0, 1] for c in range(150)]
    assert result.gene_correlation == pytest.approx(np.median(genes), rel=1e-5)
    assert result.cell_correlation == pytest.approx(np.median(cells), rel=1e-5)
