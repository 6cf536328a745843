"""Codes, their bytes and the rulers, against slow twins and by meaning."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from scpress import compression as cp
from scpress.baselines import fit_gene_mean
from scpress.counts import library_sizes, size_factors

latents = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-1000, 1000, width=32),
)


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 3, size=150)
    rate = rng.gamma(0.6, 2, size=(3, 30))[groups] * rng.gamma(5, 0.2, size=(150, 1))
    X = sparse.csr_matrix(rng.poisson(rate + 0.05).astype(np.int32))
    return X, size_factors(library_sizes(X)), rate + 0.05


@given(z=latents)
def test_float32_is_lossless(z):
    np.testing.assert_array_equal(cp.unpack_latent(cp.pack_latent(z, "float32")), z)


@given(z=latents)
def test_float16_is_close(z):
    np.testing.assert_allclose(
        cp.unpack_latent(cp.pack_latent(z, "float16")), z, rtol=1e-3, atol=1e-4
    )


@given(z=latents)
def test_int8_is_within_half_a_step(z):
    packed = cp.pack_latent(z, "int8")
    assert packed["z"].dtype == np.uint8
    error = np.abs(cp.unpack_latent(packed) - z)
    assert (error <= packed["step"] * 0.501 + 1e-3).all()


def test_float16_does_not_overflow():
    z = np.array([[1e6, -1e6]], dtype=np.float32)
    assert np.isfinite(cp.unpack_latent(cp.pack_latent(z, "float16"))).all()


def test_stored_arrays_come_back_and_cost_what_the_file_costs(tmp_path):
    arrays = {"a": np.arange(1000, dtype=np.float32), "b": np.zeros(5000, dtype=np.int8)}
    size, read = cp.store_arrays(arrays, tmp_path / "code.npz")
    assert size == (tmp_path / "code.npz").stat().st_size
    assert size < sum(a.nbytes for a in arrays.values())
    for name, values in arrays.items():
        np.testing.assert_array_equal(read[name], values)


def test_stored_counts_are_the_counts(tmp_path, counts):
    X = counts[0]
    path = tmp_path / "counts.h5"
    size = cp.store_counts([X[:70], X[70:]], path)
    assert size == path.stat().st_size
    with h5py.File(path) as file:
        read = sparse.csr_matrix((file["data"][:], file["indices"][:], file["indptr"][:]), X.shape)
    assert (read != X).nnz == 0


@pytest.mark.parametrize(
    ("fixed", "cell", "stored", "expected"),
    [(1000, 10, 110, 10), (1001, 10, 110, 11), (0, 10, 110, 0), (5, 110, 110, None)],
)
def test_break_even(fixed, cell, stored, expected):
    assert cp.break_even_cells(fixed, cell, stored) == expected


def test_poisson_deviance_is_its_formula(counts):
    X, _, mu = counts
    x = X.toarray()
    total = 0.0
    for cell in range(x.shape[0]):
        for gene in range(x.shape[1]):
            k, m = x[cell, gene], mu[cell, gene]
            total += 2 * ((k * np.log(k / m) if k else 0) - k + m)
    assert cp.poisson_deviance(X, mu) == pytest.approx(total, rel=1e-9)


def test_gene_mean_explains_nothing_and_the_truth_much(counts, monkeypatch):
    X, factor, truth = counts
    mean = fit_gene_mean(X, factor)
    monkeypatch.setattr(cp, "BLOCK_CELLS", 40)
    none = cp.measure_distortion(X, factor, mean.rate, lambda a, b: mean.decode_counts(factor[a:b]))
    assert none.deviance_explained == pytest.approx(0, abs=1e-9)
    assert none.gene_correlation == 0
    much = cp.measure_distortion(X, factor, mean.rate, lambda a, b: truth[a:b])
    assert much.deviance_explained > 0.3
    assert much.gene_correlation > 0.4
    exact = cp.measure_distortion(X, factor, mean.rate, lambda a, b: X[a:b].toarray())
    assert much.deviance_explained < exact.deviance_explained
    assert exact.cell_correlation > 0.99


def test_correlations_match_numpy(counts):
    X, factor, truth = counts
    mean = fit_gene_mean(X, factor)
    result = cp.measure_distortion(X, factor, mean.rate, lambda a, b: truth[a:b])
    x = np.log1p(X.toarray() / factor[:, None])
    y = np.log1p(np.maximum(truth, 0.1 * np.outer(factor, mean.rate)) / factor[:, None])
    genes = [np.corrcoef(x[:, g], y[:, g])[0, 1] for g in range(30) if x[:, g].any()]
    cells = [np.corrcoef(x[c], y[c])[0, 1] for c in range(150)]
    assert result.gene_correlation == pytest.approx(np.median(genes), rel=1e-5)
    assert result.cell_correlation == pytest.approx(np.median(cells), rel=1e-5)


def test_neighbors_are_the_nearest_without_oneself():
    z = np.array([[0.0], [1.0], [3.0], [7.0]], dtype=np.float32)
    np.testing.assert_array_equal(cp.nearest_neighbors(z, 1).ravel(), [1, 0, 1, 2])
    assert cp.nearest_neighbors(z, 15).shape == (4, 3)


def test_neighbors_match_all_distances(monkeypatch):
    monkeypatch.setattr(cp, "BLOCK_CELLS", 30)
    z = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32) + 100
    distance = np.linalg.norm(z[:, None] - z[None].astype(float), axis=2)
    np.fill_diagonal(distance, np.inf)
    expected = np.argsort(distance, axis=1)[:, :7]
    np.testing.assert_array_equal(cp.nearest_neighbors(z, 7), expected)


def test_neighbor_recall_counts_sets_not_order():
    reference = np.array([[1, 2], [0, 2], [0, 1]])
    assert cp.neighbor_recall(reference[:, ::-1], reference) == 1
    assert cp.neighbor_recall(np.array([[1, 2], [0, 0], [2, 2]]), reference) == pytest.approx(0.5)


def test_clusters_of_neighbors_find_two_clouds():
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(60, 2)) + 50])
    clusters = cp.cluster_neighbors(cp.nearest_neighbors(z, 15), resolution=0.1)
    assert len(set(clusters[:60])) == len(set(clusters[60:])) == 1
    assert clusters[0] != clusters[60]
    again = cp.cluster_neighbors(cp.nearest_neighbors(z, 15), resolution=0.1)
    np.testing.assert_array_equal(clusters, again)
