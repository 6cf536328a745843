import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from sklearn.neighbors import NearestNeighbors

from scpress.cells.graph import build_graph
from scpress.cells.stability import adjusted_rand_index
from scpress.config.options import ClusterOptions, SimulateOptions
from scpress.counts.sizes import library_sizes, log_normalize, size_factors
from scpress.errors import InputError
from scpress.io.h5ad import read_h5ad, write_h5ad
from scpress.steps import cluster as step
from scpress.steps.cluster import (
    _choose_resolution,
    _extend,
    _nearest_drawn,
    _unconfirmed,
    cluster,
)
from scpress.steps.simulate import simulate

QUICK = ClusterOptions(umap=False, n_subsamples=5, resolutions=(0.2, 0.6, 1.4))


def _latent(points, name="model"):
    obs = pd.DataFrame(index=[f"cell{number}" for number in range(len(points))])
    return ad.AnnData(obs=obs, obsm={f"X_{name}": np.asarray(points, dtype=np.float32)})


def _clouds(n_clouds, n_cells, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_clouds, n_cells)
    centers = 8 * np.eye(6)[:n_clouds]
    return centers[truth] + rng.normal(size=(n_cells, 6)), truth


def _stability(**columns):
    table = {"resolution": [0.2, 0.6, 1.4], "ari_low": 0.9, "n_clusters": 3, "ari_overall": 0.8}
    return pd.DataFrame(table | columns)


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ({"ari_overall": [0.6, 0.8, 0.7], "n_clusters": [2, 4, 9]}, 0.6),
        ({"ari_overall": [0.6, 0.7, 0.8], "ari_low": [0.9, 0.9, 0.69]}, 0.6),
        ({"ari_overall": [0.6, 0.7, 0.8], "ari_low": [0.9, 0.9, 0.7]}, 1.4),
        ({}, 1.4),
        ({"ari_overall": [0.9, 0.9, 0.2], "n_clusters": [1, 1, 2]}, 1.4),
        ({"n_clusters": 1}, None),
        ({"ari_low": 0.5}, None),
    ],
)
def test_of_the_stable_clusters_those_that_agree_with_all_that_was_found_are_chosen(
    columns, chosen
):
    assert _choose_resolution(_stability(**columns), 0.7) == chosen


def test_cells_that_were_not_drawn_go_with_most_of_their_nearest_drawn_ones():
    points, truth = _clouds(3, 300)
    rows = np.arange(0, 300, 3)
    # One drawn cell is of another cluster than all around it, and stays so.
    labels = truth[rows].copy()
    labels[0] = (labels[0] + 1) % 3
    extended = _extend(rows, labels, _nearest_drawn(points, rows, 15))
    expected = truth.copy()
    expected[0] = labels[0]
    assert adjusted_rand_index(expected, extended) == pytest.approx(1.0)
    assert np.all(np.diff(np.bincount(extended)) <= 0)


@pytest.fixture(scope="module")
def four_clouds():
    points, truth = _clouds(4, 400)
    return _latent(points), truth


def test_clouds_are_found_and_recorded(four_clouds):
    latent, truth = four_clouds
    found = cluster(latent, QUICK, model="model", seed=0)
    assert adjusted_rand_index(truth, found.obs["leiden"].to_numpy()) > 0.99
    assert list(found.obs["leiden"].cat.categories) == ["0", "1", "2", "3"]
    assert found.obs["leiden"].value_counts().loc[["0", "1", "2", "3"]].is_monotonic_decreasing
    record = found.uns["scpress"]["cluster"]
    assert record["model"] == "model"
    assert record["chosen_resolution"] in QUICK.resolutions
    assert record["n_subsampled"] == 320
    stability = record["stability"]
    assert stability["resolution"].tolist() == [0.2, 0.6, 1.4]
    assert (stability["ari_low"] <= stability["ari_mean"]).all()
    assert (stability["ari_mean"] <= stability["ari_high"]).all()
    # Finer clusters than the clouds, which the highest resolution finds, agree less.
    assert (stability["ari_overall"] > 0.5).all()
    assert (stability["ari_overall"] < 1).all()
    assert record["n_seeds"] == 1
    assert not len(record["unconfirmed"])
    assert "neighbor_chance" not in record
    assert "neighbor_agreement" not in found.obs
    assert found.obs["leiden_confidence"].to_numpy().mean() > 0.99
    assert "X_model" not in found.obsm
    assert found.n_vars == 0


@pytest.mark.parametrize("library_size_sd", [0.3, 0.8])
def test_noise_is_one_cluster(library_size_sd):
    options = SimulateOptions(n_cells=400, n_genes=300, n_types=1, library_size_sd=library_size_sd)
    counts = simulate(options, seed=0)
    values = log_normalize(counts.X, size_factors(library_sizes(counts.X)))
    points = sc.pp.pca(values, n_comps=10, random_state=0)
    found = cluster(_latent(points), QUICK, model="model", seed=0)
    assert set(found.obs["leiden"]) == {"0"}
    assert np.isnan(found.uns["scpress"]["cluster"]["chosen_resolution"])


def test_gradient_is_one_cluster_although_its_halves_are_stable():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, 4))
    points[:, 0] *= 8
    found = cluster(_latent(points), QUICK, model="model", seed=0)
    assert set(found.obs["leiden"]) == {"0"}


def test_given_resolution_is_used_as_it_is(four_clouds):
    latent, _ = four_clouds
    options = ClusterOptions(umap=False, n_subsamples=2, resolutions=(0.2,), resolution=6.0)
    found = cluster(latent, options, model="model", seed=0)
    assert found.obs["leiden"].nunique() > 4
    assert found.uns["scpress"]["cluster"]["chosen_resolution"] == 6.0


def test_scanpy_works_on_the_result_and_it_survives_write_and_read(four_clouds, tmp_path):
    latent, _ = four_clouds
    options = ClusterOptions(n_subsamples=2, resolutions=(0.4,))
    found = cluster(latent, options, model="model", seed=0)
    assert found.obsm["X_umap"].shape == (400, 2)
    assert found.obsm["X_umap"].dtype == np.float32
    write_h5ad(found, tmp_path / "clusters.h5ad")
    read = read_h5ad(tmp_path / "clusters.h5ad")
    sc.tl.leiden(
        read, flavor="igraph", n_iterations=2, directed=False, key_added="again", random_state=0
    )
    assert read.obs["again"].nunique() >= 4
    read.obsm["X_model"] = latent.obsm["X_model"]
    sc.tl.umap(read, random_state=0, maxiter=5)
    assert np.isfinite(read.obsm["X_umap"]).all()


def test_same_seed_same_result_and_input_untouched(four_clouds):
    latent, _ = four_clouds
    before = latent.copy()
    options = ClusterOptions(n_subsamples=2, resolutions=(0.4,))
    first, second = (cluster(latent, options, model="model", seed=1) for _ in range(2))
    assert (first.obs["leiden"] == second.obs["leiden"]).all()
    np.testing.assert_array_equal(first.obsm["X_umap"], second.obsm["X_umap"])
    np.testing.assert_array_equal(latent.obsm["X_model"], before.obsm["X_model"])
    assert not latent.obsp
    assert "leiden" not in latent.obs


def test_many_cells_are_measured_on_a_stated_subsample(caplog):
    points, truth = _clouds(3, 600)
    options = ClusterOptions(umap=False, n_subsamples=2, resolutions=(0.2, 0.6), max_cells=200)
    with caplog.at_level("INFO", logger="scpress"):
        found = cluster(_latent(points), options, model="model", seed=0)
    assert "200 cells drawn from 600" in caplog.text
    assert found.uns["scpress"]["cluster"]["n_stability_cells"] == 200
    assert found.uns["scpress"]["cluster"]["n_subsampled"] == 160
    assert adjusted_rand_index(truth, found.obs["leiden"].to_numpy()) > 0.98
    assert found.obs["leiden_confidence"].notna().sum() >= 580
    assert found.obs["leiden_confidence"].mean() > 0.95


def test_umap_lays_out_some_cells_and_the_others_lie_among_their_neighbours(caplog):
    points, truth = _clouds(3, 600)
    options = ClusterOptions(n_subsamples=2, resolutions=(0.4,), umap_max_cells=200)
    with caplog.at_level("INFO", logger="scpress"):
        found = cluster(_latent(points), options, model="model", seed=0)
    assert "UMAP lays out 200 cells drawn from 600" in caplog.text
    assert found.uns["scpress"]["cluster"]["n_umap_cells"] == 200
    layout = found.obsm["X_umap"]
    assert layout.shape == (600, 2)
    middles = np.array([layout[truth == one].mean(axis=0) for one in range(3)])
    nearest = np.linalg.norm(layout[:, None] - middles, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, truth)
    rows = np.sort(np.random.default_rng([0, 3]).choice(600, 200, replace=False))
    assert len(np.unique(layout[rows], axis=0)) == 200
    apart = NearestNeighbors(n_neighbors=2).fit(points[rows]).kneighbors(points)[1]
    # A cell lies nearer to the drawn cells that are nearest than to any others, by and large.
    own = np.linalg.norm(layout - layout[rows][apart[:, 1]], axis=1)
    other = np.linalg.norm(layout - layout[rows][(apart[:, 1] + 100) % 200], axis=1)
    assert (own < other).mean() > 0.95


def test_a_cell_between_two_clusters_is_less_sure_than_those_within():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, 4))
    points[:, 0] += 5 * rng.integers(0, 2, 400)
    found = cluster(_latent(points), ClusterOptions(umap=False), model="model", seed=0)
    confidence = found.obs["leiden_confidence"].to_numpy()
    assert found.obs["leiden"].nunique() == 2
    from_middle = np.abs(points[:, 0] - 2.5)
    assert confidence[from_middle > 1.5].mean() > 0.99
    assert confidence[from_middle < 0.3].mean() < 0.95


def test_clusters_that_one_seed_alone_finds_are_not_believed():
    points, truth = _clouds(3, 200)
    noise = np.random.default_rng(1).normal(size=points.shape)
    options = ClusterOptions(umap=False, n_subsamples=6, resolutions=(0.2, 0.4))
    agreeing = cluster(
        _latent(points), options, model="model", others=[_latent(points[:, ::-1])], seed=0
    )
    record = agreeing.uns["scpress"]["cluster"]
    assert adjusted_rand_index(truth, agreeing.obs["leiden"].to_numpy()) > 0.99
    assert (record["n_seeds"], list(record["unconfirmed"])) == (2, [])
    # The same distances with the axes turned round: the same neighbours.
    assert agreeing.obs["neighbor_agreement"].mean() > 0.99
    alone = cluster(_latent(points), options, model="model", others=[_latent(noise)], seed=0)
    assert set(alone.obs["leiden"]) == {"0"}
    record = alone.uns["scpress"]["cluster"]
    assert np.isnan(record["chosen_resolution"])
    near_chance = alone.obs["neighbor_agreement"].mean() / record["neighbor_chance"]
    assert 0.8 < near_chance < 3


def test_the_seeds_take_turns_in_the_subsamples(monkeypatch):
    points, _ = _clouds(3, 60)
    dimensions = []

    def build(points, **words):
        dimensions.append(points.shape)
        return build_graph(points, **words)

    monkeypatch.setattr(step, "build_graph", build)
    options = ClusterOptions(umap=False, n_subsamples=3, resolutions=(0.4,))
    cluster(_latent(points), options, model="model", others=[_latent(points[:, :5])])
    assert dimensions == [(60, 6), (60, 5), (48, 6), (48, 5), (48, 6)]


def test_a_cluster_that_the_subsamples_of_one_seed_lose_is_unconfirmed():
    labels = np.repeat([0, 1, 2], 4)
    rows = np.arange(11)
    found, lost = labels[rows], np.minimum(labels, 1)[rows]
    # Three of the four cells of 1 lie with 0: one is found again, less than half.
    torn = np.where(np.isin(rows, [5, 6, 7]), 0, labels[rows])
    assert _unconfirmed(labels, [(rows, found)] * 4, 2) == []
    assert _unconfirmed(labels, [(rows, found), (rows, lost)] * 2, 2) == ["2"]
    assert _unconfirmed(labels, [(rows, torn), (rows, lost)], 2) == ["1", "2"]
    # Half of one seed's subsamples, and no seed without subsamples.
    assert _unconfirmed(labels, [(rows, found), (rows, lost)], 1) == []
    assert _unconfirmed(labels, [(rows, found)], 2) == []


def test_the_graph_and_the_layout_are_of_the_first_latent():
    points, _ = _clouds(3, 150)
    noise = np.random.default_rng(1).normal(size=points.shape)
    options = ClusterOptions(n_subsamples=2, resolutions=(0.4,))
    alone = cluster(_latent(points), options, model="model")
    beside = cluster(_latent(points), options, model="model", others=[_latent(noise)])
    assert (alone.obsp["connectivities"] != beside.obsp["connectivities"]).nnz == 0
    np.testing.assert_array_equal(alone.obsm["X_umap"], beside.obsm["X_umap"])


def test_a_latent_of_other_cells_is_refused():
    points, _ = _clouds(3, 60)
    other = _latent(points)[::-1].copy()
    with pytest.raises(InputError, match="latent of another seed"):
        cluster(_latent(points), QUICK, model="model", others=[other])


@pytest.mark.parametrize("n_rare", [80, 8])
def test_five_types_are_five_clusters_also_with_one_of_two_percent(n_rare):
    counts = simulate(SimulateOptions(n_cells=500, n_genes=500, n_types=5), seed=0)
    label = counts.obs["label"].astype(str).to_numpy()
    surplus = np.flatnonzero(label == np.unique(label)[-1])[n_rare:]
    counts = counts[np.setdiff1d(np.arange(500), surplus)]
    values = log_normalize(counts.X, size_factors(library_sizes(counts.X)))
    latents = [_latent(sc.pp.pca(values, n_comps=n_comps, random_state=0)) for n_comps in (10, 12)]
    found = cluster(latents[0], QUICK, model="model", others=latents[1:], seed=0)
    truth = counts.obs["label"].astype(str).to_numpy()
    assert found.obs["leiden"].nunique() == 5
    assert adjusted_rand_index(truth, found.obs["leiden"].to_numpy()) > 0.95


@pytest.mark.parametrize("n_cells", [3, 8, 20])
def test_few_cells_are_one_cluster(n_cells):
    points = np.random.default_rng(0).normal(size=(n_cells, 3))
    found = cluster(_latent(points), ClusterOptions(n_subsamples=3), model="model", seed=0)
    assert set(found.obs["leiden"]) == {"0"}
    assert found.obsm["X_umap"].shape == (n_cells, 2)
    assert np.isfinite(found.obsm["X_umap"]).all()


@pytest.mark.parametrize("n_cells", [1, 2])
def test_too_few_cells_are_said_so(n_cells):
    with pytest.raises(InputError, match=f"at least 3 cells; found {n_cells}"):
        cluster(_latent(np.zeros((n_cells, 2))), QUICK, model="model")


def test_identical_cells_are_one_cluster():
    found = cluster(_latent(np.zeros((50, 4))), QUICK, model="model", seed=0)
    assert set(found.obs["leiden"]) == {"0"}


def test_missing_and_broken_latents_are_said_so():
    points = np.zeros((5, 2))
    with pytest.raises(InputError, match="X_other"):
        cluster(_latent(points), QUICK, model="other")
    points[2, 1] = np.nan
    with pytest.raises(InputError, match=r"X_model.* lacks numbers in some"):
        cluster(_latent(points), QUICK, model="model")
