"""Principal components by either way against numpy's whole decomposition."""

import numpy as np
import pytest
from scipy import sparse

from scpress.counts import components
from scpress.counts.components import first_components


def covariance_of(n_genes, rank, seed=0):
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(rank, n_genes)) * np.arange(1, rank + 1)[:, None]
    return axes.T @ axes / n_genes + np.diag(rng.uniform(0.1, 0.2, n_genes))


@pytest.mark.parametrize(("n_genes", "n"), [(60, 1), (49, 1), (300, 5), (300, 7), (8, 8)])
def test_they_are_those_of_the_whole_decomposition(n_genes, n):
    covariance = covariance_of(n_genes, 12)
    before = covariance.copy()
    variance, rows = first_components(covariance, n)
    np.testing.assert_array_equal(covariance, before)
    values, vectors = np.linalg.eigh(covariance)
    np.testing.assert_allclose(variance, values[::-1][:n], rtol=1e-10)
    np.testing.assert_allclose(rows @ rows.T, np.eye(n), atol=1e-10)
    np.testing.assert_allclose(np.abs(rows @ vectors[:, ::-1][:, :n]), np.eye(n), atol=1e-7)
    assert (rows.max(axis=1) == np.abs(rows).max(axis=1)).all()


def test_both_ways_give_the_same(monkeypatch):
    covariance = covariance_of(400, 20)
    quick = first_components(covariance, 6)
    monkeypatch.setattr(components, "eigsh", None)
    monkeypatch.setattr(components, "_LANCZOS", 1000)
    for one, other in zip(quick, first_components(covariance, 6), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_the_same_bits_each_time():
    covariance = covariance_of(400, 20)
    for one, other in zip(
        first_components(covariance, 6), first_components(covariance, 6), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_fewer_dimensions_than_components_are_components_without_variance(rank):
    """Cells that are all alike have no variance at all, where Lanczos' iteration has no way."""
    rng = np.random.default_rng(1)
    axes = rng.normal(size=(rank, 300))
    variance, rows = first_components(axes.T @ axes, 5)
    np.testing.assert_allclose(variance[rank:], 0, atol=1e-10)
    np.testing.assert_allclose(rows @ rows.T, np.eye(5), atol=1e-10)
    np.testing.assert_allclose(rows[:rank].T @ (rows[:rank] @ axes.T), axes.T, atol=1e-8)


@pytest.mark.parametrize("density", [0.01, 0.5])
def test_products_of_blocks_are_those_of_the_whole(density):
    rows = sparse.random(900, 40, density, format="csr", random_state=np.random.default_rng(3))
    total = np.zeros((40, 40), order="F")
    for start, stop in ((0, 200), (200, 900)):
        components.add_products(total, rows[start:stop])
    components.mirror(total)
    dense = rows.toarray()
    np.testing.assert_allclose(total, dense.T @ dense, rtol=1e-12, atol=1e-12)
    again = np.zeros((40, 40), order="F")
    components.add_products(again, dense)
    np.testing.assert_allclose(np.triu(again), np.triu(total), rtol=1e-12, atol=1e-12)
