import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from scpress.cells import doublets, neighbors
from scpress.cells.doublets import count_neighbours, score_doublets


@pytest.fixture
def counts(pbmc):
    return sparse.csr_matrix(pbmc.X).astype(np.int32)


@pytest.mark.filterwarnings("ignore")
def test_the_scores_and_the_threshold_are_those_of_scanpy(counts):
    found = score_doublets(counts, expected_rate=0.08, seed=3)
    adata = ad.AnnData(counts.astype(np.float32))
    sc.pp.scrublet(
        adata, expected_doublet_rate=0.08, mean_center=False, random_state=3, verbose=False
    )
    told = adata.uns["scrublet"]
    assert len(found.cells) == counts.shape[0]
    # scanpy scales in single precision: a point may change its place among the nearest.
    np.testing.assert_allclose(found.score, adata.obs["doublet_score"], atol=0.02)
    np.testing.assert_allclose(found.simulated, told["doublet_scores_sim"], atol=0.05)
    assert np.median(np.abs(found.simulated - told["doublet_scores_sim"])) < 1e-12
    assert found.threshold == pytest.approx(told.get("threshold"), abs=0.02)


def test_cells_with_fewer_than_three_genes_have_no_score(counts):
    X = counts.tolil()
    X[5] = 0
    X[5, :2] = 1
    found = score_doublets(sparse.csr_matrix(X), expected_rate=0.06, seed=0)
    assert found.cells.tolist() == [i for i in range(counts.shape[0]) if i != 5]
    assert len(found.simulated) == 2 * len(found.score)


def test_a_histogram_of_one_mode_has_no_threshold():
    assert doublets._threshold(np.full(100, 0.3)) is None
    rng = np.random.default_rng(0)
    two = np.concatenate([rng.normal(0.1, 0.03, 500), rng.normal(0.6, 0.05, 300)])
    assert 0.2 < doublets._threshold(two) < 0.5


@pytest.mark.parametrize("n_neighbors", [1, 7, 60, 500])
def test_neighbours_of_few_points_are_counted_exactly(monkeypatch, n_neighbors):
    monkeypatch.setattr(doublets, "_DISTANCES_AT_A_TIME", 700 * 64)
    rng = np.random.default_rng(n_neighbors)
    points = rng.standard_normal((700, 6)) * rng.choice([0.1, 1, 30], 700)[:, None] + 5
    found = count_neighbours(points, n_neighbors, 400)
    nearest = NearestNeighbors(n_neighbors=n_neighbors).fit(points).kneighbors()[1]
    np.testing.assert_array_equal(found, (nearest >= 400).sum(axis=1))


def test_scores_hardly_change_where_neighbours_are_approximate(monkeypatch, counts):
    exact = score_doublets(counts, expected_rate=0.08, seed=3)
    monkeypatch.setattr(doublets, "_MOST_EXACT", 100)
    monkeypatch.setattr(neighbors, "_FEWEST_COMPARED", 10)
    found = score_doublets(counts, expected_rate=0.08, seed=3)
    assert 0 < np.abs(found.simulated - exact.simulated).mean() < 0.01
    assert np.corrcoef(found.score, exact.score)[0, 1] > 0.98


def test_fewer_points_than_neighbours_are_all_counted():
    points = np.random.default_rng(0).standard_normal((5, 2))
    assert count_neighbours(points, 9, 3).tolist() == [2, 2, 2, 1, 1]
