"""Size factors and variable genes: scanpy's own answers, streamed, with fallbacks that speak."""

import tracemalloc
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from builders import SHARED, panels_of
from scipy import sparse

from scpress import settings
from scpress.config.options import NormalizeOptions
from scpress.counts.variable_genes import rank_genes
from scpress.errors import InputError
from scpress.io.h5ad import read_h5ad
from scpress.steps.normalize import normalize

DATA = SHARED / "data"


@pytest.fixture(scope="module")
def batched(pbmc):
    adata = ad.AnnData(pbmc.X.copy(), obs=pbmc.obs.copy(), var=pd.DataFrame(index=pbmc.var_names))
    adata.obs["sample"] = np.where(np.arange(700) % 2, "s1", "s2")
    return adata


def scanpy_genes(adata, flavor, batch_key, n_top=100):
    copy = adata.copy()
    function = sc.pp if flavor == "seurat_v3" else sc.experimental.pp
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        function.highly_variable_genes(copy, flavor=flavor, n_top_genes=n_top, batch_key=batch_key)
    return copy.var


@pytest.mark.parametrize("chunk_bytes", [3_000, 10**8])
@pytest.mark.parametrize("flavor", ["seurat_v3", "pearson_residuals"])
@pytest.mark.parametrize("batch_key", [None, "sample"])
def test_same_genes_as_scanpy(monkeypatch, batched, chunk_bytes, flavor, batch_key):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    options = NormalizeOptions(flavor=flavor, batch_key=batch_key, n_top_genes=100)
    if batch_key:
        # loess cuts its tree between genes of one mean as their last bits fall, and scanpy 1.12
        # adds up a batch otherwise than 1.11: its trend then differs by 0.3 percent.
        parts = [batched.X[(batched.obs["sample"] == name).to_numpy()] for name in ("s1", "s2")]
        totals = [pd.Series(np.asarray(part.sum(axis=0)).ravel()) for part in parts]
        batched = batched[:, ~(totals[0].duplicated() | totals[1].duplicated()).to_numpy()]
        assert batched.n_vars > 200
    made = normalize(batched, options).var
    expected = scanpy_genes(batched, flavor, batch_key)
    score = "variances_norm" if flavor == "seurat_v3" else "residual_variances"
    for name in ("means", "variances", score):
        np.testing.assert_allclose(made[name], expected[name], rtol=1e-8, atol=1e-12)
    np.testing.assert_array_equal(made["highly_variable"], expected["highly_variable"])
    np.testing.assert_array_equal(made["highly_variable_rank"], expected["highly_variable_rank"])
    if batch_key:
        np.testing.assert_array_equal(
            made["highly_variable_nbatches"], expected["highly_variable_nbatches"]
        )


@pytest.mark.skipif(not DATA.exists(), reason="the shared data files are not beside the repository")
def test_same_genes_as_scanpy_on_a_full_gene_axis():
    adata = ad.read_h5ad(DATA / "pbmc3k_raw_2700.h5ad")
    made = normalize(adata, NormalizeOptions(batch_key=None)).var
    expected = scanpy_genes(adata, "seurat_v3", None, n_top=2000)
    np.testing.assert_allclose(made["variances_norm"], expected["variances_norm"], rtol=1e-8)
    # Genes seen in one cell tie exactly, and scanpy breaks ties by its unstable sort.
    ours = np.sort(expected["variances_norm"][made["highly_variable"]])
    theirs = np.sort(expected["variances_norm"][expected["highly_variable"]])
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_size_factors_are_over_all_genes_and_counts_stay(batched):
    before = batched.X.copy()
    made = normalize(batched, NormalizeOptions(n_top_genes=50))
    sizes = np.asarray(before.sum(axis=1)).ravel()
    np.testing.assert_array_equal(made.obs["library_size"], sizes)
    np.testing.assert_allclose(made.obs["size_factor"], sizes / np.median(sizes))
    assert made.X is None
    assert made.var["highly_variable"].sum() == 50
    assert list(made.var_names) == list(batched.var_names)
    assert (before != batched.X).nnz == 0


def test_more_genes_asked_than_there_are(batched):
    made = normalize(batched, NormalizeOptions(n_top_genes=765))
    assert made.var["highly_variable"].all()
    assert "all 765 genes are modelled" in " ".join(made.uns["scpress"]["messages"])


@pytest.mark.parametrize("flavor", ["seurat_v3", "deviance"])
def test_all_genes_are_modelled_where_no_number_is_given(batched, flavor):
    made = normalize(batched, NormalizeOptions(n_top_genes=None, flavor=flavor))
    assert made.var["highly_variable"].all()
    assert "all 765 genes are modelled: n_top_genes is null" in made.uns["scpress"]["messages"]


def test_most_expressed_takes_the_genes_with_most_molecules(batched):
    options = NormalizeOptions(flavor="most_expressed", n_top_genes=30, batch_key=None)
    made = normalize(batched, options)
    total = np.asarray(batched.X.sum(axis=0)).ravel()
    chosen = made.var["highly_variable"].to_numpy()
    assert chosen.sum() == 30
    assert total[chosen].min() >= total[~chosen].max()
    assert made.uns["scpress"]["flavor"] == "most_expressed"


def test_deviance_leaves_out_the_gene_that_is_the_same_part_of_every_cell():
    """It has most molecules and, by depth alone, the largest variance."""
    rng = np.random.default_rng(0)
    depth = rng.integers(1, 20, 90)
    X = rng.poisson(np.outer(depth, [2.0, 2, 2, 2, 2]))
    X[:45, 3] *= 4
    X = np.column_stack([X, 20 * depth])
    adata = ad.AnnData(sparse.csr_matrix(X))
    chosen = {
        flavor: normalize(adata, NormalizeOptions(flavor=flavor, n_top_genes=1)).var
        for flavor in ("deviance", "most_expressed")
    }
    assert chosen["deviance"]["highly_variable"].tolist() == [0, 0, 0, 1, 0, 0]
    assert chosen["most_expressed"]["highly_variable"].tolist() == [0, 0, 0, 0, 0, 1]
    assert chosen["deviance"]["binomial_deviance"].idxmax() == "3"
    assert "binomial_deviance" not in chosen["most_expressed"]


@pytest.mark.parametrize("flavor", ["most_expressed", "deviance"])
def test_a_gene_of_one_batch_does_not_win_over_those_of_all(flavor):
    rng = np.random.default_rng(1)
    means = rng.gamma(0.5, 1, (180, 5)) * [20, 20, 0.1, 0, 0.1]
    means[120:, 3] = 100 * rng.gamma(0.5, 1, 60)  # of the third batch alone, and most of it
    obs = pd.DataFrame({"sample": np.repeat(list("abc"), 60)}, index=[f"c{i}" for i in range(180)])
    X = rng.poisson(means)
    X[:, 4] += 1  # no cell is empty
    adata = ad.AnnData(sparse.csr_matrix(X), obs=obs)
    together, apart = (
        normalize(adata, NormalizeOptions(flavor=flavor, n_top_genes=2, batch_key=key)).var
        for key in (None, "sample")
    )
    assert together["highly_variable"].iloc[3]
    assert not apart["highly_variable"].iloc[3]
    assert apart["highly_variable_nbatches"].iloc[3] == 1


def test_small_batches_are_left_out_with_a_message(batched):
    adata = batched.copy()
    adata.obs["sample"] = ["tiny"] * 10 + ["s1"] * 345 + ["s2"] * 345
    made = normalize(adata, NormalizeOptions(n_top_genes=100))
    expected = scanpy_genes(adata[10:], "seurat_v3", "sample")
    np.testing.assert_array_equal(made.var["highly_variable"], expected["highly_variable"])
    assert "1 batches of 'sample' have fewer than 50 cells" in made.uns["scpress"]["messages"][0]
    assert "tiny (10)" in made.uns["scpress"]["messages"][0]
    np.testing.assert_allclose(made.var["means"], adata.X.toarray().mean(axis=0))


@pytest.mark.parametrize(("min_cells", "n_batches"), [(100, 2), (101, 1)])
def test_a_batch_of_as_many_cells_as_are_asked_for_is_ranked(batched, min_cells, n_batches):
    adata = batched.copy()
    adata.obs["sample"] = ["small"] * 100 + ["large"] * 600
    options = NormalizeOptions(n_top_genes=100, min_cells_per_batch=min_cells)
    made = normalize(adata, options)
    expected = scanpy_genes(adata if n_batches == 2 else adata[100:], "seurat_v3", "sample")
    np.testing.assert_array_equal(made.var["highly_variable"], expected["highly_variable"])
    assert len(made.uns["scpress"]["messages"]) == 2 - n_batches


def test_only_small_batches_are_ranked_together(batched):
    options = NormalizeOptions(n_top_genes=100, min_cells_per_batch=400)
    made = normalize(batched, options)
    expected = scanpy_genes(batched, "seurat_v3", None)
    np.testing.assert_array_equal(made.var["highly_variable"], expected["highly_variable"])
    assert "over all cells together" in made.uns["scpress"]["messages"][0]


def test_a_batch_without_a_trend_is_left_out(batched):
    flat = sparse.csr_matrix(np.ones((60, 765), dtype=np.int32))
    X = sparse.vstack([batched.X, flat], format="csr")
    obs = pd.DataFrame({"sample": ["a"] * 700 + ["flat"] * 60}, index=[f"c{i}" for i in range(760)])
    adata = ad.AnnData(X, obs=obs)
    made = normalize(adata, NormalizeOptions(n_top_genes=100))
    expected = scanpy_genes(batched, "seurat_v3", None)
    np.testing.assert_array_equal(made.var["highly_variable"], expected["highly_variable"])
    assert "could not fit the trend of flat" in made.uns["scpress"]["messages"][0]


def test_without_any_trend_genes_are_ranked_by_dispersion():
    X = np.random.default_rng(0).poisson([1, 5, 5, 5, 1], (80, 5))
    X[:40, 3] *= 4
    made = normalize(ad.AnnData(sparse.csr_matrix(X)), NormalizeOptions(n_top_genes=1))
    assert list(np.flatnonzero(made.var["highly_variable"])) == [3]
    assert made.uns["scpress"]["flavor"] == "dispersion"
    assert "variance over mean" in made.uns["scpress"]["messages"][-1]


def test_gene_list(batched):
    wanted = [batched.var_names[3], "nothing", batched.var_names[9]]
    made = normalize(batched, NormalizeOptions(), gene_list=wanted)
    assert list(np.flatnonzero(made.var["highly_variable"])) == [3, 9]
    assert (
        "1 genes of the gene list are not in the data: nothing"
        in (made.uns["scpress"]["messages"][0])
    )
    with pytest.raises(InputError, match="missing: x, y"):
        normalize(batched, NormalizeOptions(), gene_list=["x", "y"])


def test_gene_list_by_symbol_or_id():
    var = pd.DataFrame(
        {"gene_symbol": ["A", "B", "B", "C"]}, index=[f"ENSG{i:011d}" for i in range(4)]
    )
    X = sparse.csr_matrix(np.random.default_rng(0).poisson(3.0, (9, 4)) + 1)
    made = normalize(ad.AnnData(X, var=var), gene_list=["B", "ENSG00000000003.7"])
    assert made.var["highly_variable"].tolist() == [False, True, True, True]


def test_bad_batch_key_and_empty_cells(batched):
    with pytest.raises(InputError, match="batch_key 'lane' is not in obs"):
        normalize(batched, NormalizeOptions(batch_key="lane"))
    X = sparse.csr_matrix(np.array([[0, 0], [1, 2]]))
    with pytest.raises(InputError, match="1 cells have no molecules"):
        normalize(ad.AnnData(X), NormalizeOptions())


def test_rank_genes_votes_or_ranks():
    scores = np.array([[9.0, 8, 1, 0], [0, 8, 1, 9]])
    chosen, rank, votes = rank_genes(scores, 2, votes_first=True)
    np.testing.assert_array_equal(votes, [1, 2, 0, 1])
    np.testing.assert_array_equal(rank, [0, 1, np.nan, 0])
    np.testing.assert_array_equal(chosen, [True, True, False, False])
    chosen, _, _ = rank_genes(scores, 2, votes_first=False)
    np.testing.assert_array_equal(chosen, [True, False, False, True])


@pytest.mark.parametrize("flavor", ["seurat_v3", "pearson_residuals", "deviance"])
def test_memory_does_not_grow_with_the_cells(tmp_path, monkeypatch, flavor):
    monkeypatch.setattr(settings, "chunk_bytes", 2**18)
    rng = np.random.default_rng(0)
    n_obs = 4_000 if flavor == "pearson_residuals" else 10_000
    n_vars, per_cell = 500, 40
    indices = np.argsort(rng.random((n_obs, n_vars)), axis=1)[:, :per_cell]
    X = sparse.csr_matrix(
        (
            rng.integers(1, 9, n_obs * per_cell, dtype=np.int32),
            np.sort(indices, axis=1).ravel().astype(np.int32),
            np.arange(0, n_obs * per_cell + 1, per_cell),
        ),
        shape=(n_obs, n_vars),
    )
    dense_bytes = n_obs * n_vars * 4
    ad.AnnData(X).write_h5ad(tmp_path / "counts.h5ad")
    del X, indices
    monkeypatch.setattr("scpress.counts.variable_genes._TILE", 2**15)
    counts = read_h5ad(tmp_path / "counts.h5ad", backed=True)
    normalize(counts[:200].to_memory(), NormalizeOptions(flavor=flavor))  # imports do not count
    tracemalloc.start()
    normalize(counts, NormalizeOptions(flavor=flavor, n_top_genes=100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < dense_bytes / (1 if flavor == "pearson_residuals" else 4)


@pytest.mark.parametrize("wanted", [["A", "A"], ["A", "nothing"], []])
def test_a_gene_list_of_fewer_than_two_genes_of_the_data_is_refused(wanted):
    X = sparse.csr_matrix(np.random.default_rng(0).poisson(3.0, (9, 3)) + 1)
    counts = ad.AnnData(X, var=pd.DataFrame(index=list("ABC")))
    with pytest.raises(InputError, match="List at least 2 of them"):
        normalize(counts, gene_list=wanted)
    assert normalize(counts, gene_list=["A", "C"]).var["highly_variable"].tolist() == [1, 0, 1]


def test_a_gene_is_ranked_and_averaged_where_it_was_measured(simulated):
    counts, _ = panels_of(simulated, 60)
    hidden = ~counts.varm["measured"][:, 1]
    whole = (counts.obs["sample"] == "whole").to_numpy()
    for flavor in ("seurat_v3", "deviance", "pearson_residuals", "most_expressed"):
        options = NormalizeOptions(n_top_genes=50, flavor=flavor)
        found = normalize(counts, options)
        alone = normalize(counts[whole].copy(), options)
        X = counts.X.toarray()
        np.testing.assert_allclose(found.var["means"][hidden], X[whole][:, hidden].mean(axis=0))
        np.testing.assert_allclose(found.var["means"][~hidden], X[:, ~hidden].mean(axis=0))
        variances = X[whole][:, hidden].var(axis=0, ddof=1)
        np.testing.assert_allclose(found.var["variances"][hidden], variances)
        score = {
            "seurat_v3": "variances_norm",
            "deviance": "binomial_deviance",
            "pearson_residuals": "residual_variances",
        }.get(flavor)
        if score:
            np.testing.assert_allclose(found.var[score][hidden], alone.var[score][hidden])
        assert found.var["highly_variable"].sum() == 50
        # One of two batches measured them, and its vote is as good as that of both.
        assert found.var["highly_variable_nbatches"][hidden].max() == 1
        share = found.var["highly_variable"][hidden].mean()
        assert share == pytest.approx(alone.var["highly_variable"][hidden].mean(), abs=0.1)
    np.testing.assert_array_equal(found.obs["library_size"], X[:, ~hidden].sum(axis=1))


def test_a_batch_of_two_panels_is_ranked_in_each_of_them(simulated):
    counts, _ = panels_of(simulated, 60)
    apart = normalize(counts, NormalizeOptions(n_top_genes=50))
    counts.obs["all"] = "one"
    for key in ("all", None):
        found = normalize(counts, NormalizeOptions(n_top_genes=50, batch_key=key))
        assert found.var.equals(apart.var)


def test_cells_without_shared_genes_are_kept_and_stray_molecules_are_refused(simulated):
    counts, _ = panels_of(simulated, 60)
    everywhere = counts.varm["measured"].all(axis=1)
    cell = int(np.flatnonzero(counts.obs["sample"] == "whole")[0])
    dense = counts.X.toarray()
    dense[cell, everywhere] = 0
    counts.X = sparse.csr_matrix(dense)
    found = normalize(counts, NormalizeOptions(n_top_genes=50))
    assert found.obs["library_size"].iloc[cell] == 1
    assert "1 cells have no molecules of the genes" in found.uns["scpress"]["messages"][0]
    dense[counts.obs["sample"] == "panel", np.flatnonzero(~everywhere)[0]] = 1
    counts.X = sparse.csr_matrix(dense)
    with pytest.raises(InputError, match="1 genes have molecules in samples"):
        normalize(counts)
