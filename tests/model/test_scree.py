"""How many dimensions stand out: against a dense twin, and on counts of known types."""

import numpy as np
import pytest
from scipy import sparse

from scpress.config.options import SimulateOptions
from scpress.counts.simulation import simulate_counts
from scpress.model import scree as module
from scpress.model.scree import find_scree, optimal_threshold


def simulated(n_types, *, seed=0):
    options = SimulateOptions(
        n_cells=300, n_genes=200, n_types=n_types, mean_library_size=1000, marker_fraction=0.08
    )
    return simulate_counts(options, seed=seed)


@pytest.fixture(scope="module")
def counts():
    X = simulated(3).counts.tolil()
    X[5] = 0
    X[:, 7] = 0
    X[9, 11] = 300  # far above what a residual may be
    return X.tocsr()


def test_the_values_are_those_of_clipped_residuals(counts):
    theta = np.linspace(0.5, 20, 200)
    x = np.delete(np.delete(counts.toarray(), 5, axis=0), 7, axis=1).astype(float)
    total, share = x.sum(axis=1, keepdims=True), x.sum(axis=0) / x.sum()
    mean = total * share
    residual = (x - mean) / np.sqrt(mean * (1 + total.mean() * share / np.delete(theta, 7)))
    assert residual.max() > 30
    found = find_scree(counts, theta)
    values = np.linalg.svd(np.minimum(residual, 10), compute_uv=False)
    np.testing.assert_allclose(found.values, values[: len(found.values)], rtol=1e-6)
    assert found.threshold == pytest.approx(optimal_threshold(199 / 299) * np.sqrt(299))


def test_the_threshold_is_the_published_one():
    # Of a square matrix 4 / sqrt(3), of one with next to no shorter side sqrt(2).
    assert optimal_threshold(1.0) == pytest.approx(4 / np.sqrt(3))
    assert optimal_threshold(1e-9) == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize(("n_types", "seed"), [(1, 0), (1, 1), (2, 2), (4, 3), (6, 4), (6, 5)])
def test_types_have_one_dimension_less_than_there_are(n_types, seed):
    found = simulated(n_types, seed=seed)
    assert find_scree(found.counts, found.theta).n_above == n_types - 1


def test_as_many_values_are_computed_as_are_above(monkeypatch):
    found = simulated(8)
    monkeypatch.setattr(module, "_FIRST", 2)
    scree = find_scree(found.counts, found.theta)
    assert scree.n_above == 7
    assert len(scree.values) == 8
    monkeypatch.setattr(module, "_MOST", 5)
    assert find_scree(found.counts, found.theta).n_above == 5


def test_few_cells_have_few_dimensions():
    X = sparse.csr_matrix(np.array([[3, 0, 2], [0, 4, 1]]))
    assert len(find_scree(X, np.ones(3)).values) == 1
