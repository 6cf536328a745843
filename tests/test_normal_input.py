"""Normal data that trip other tools pass, and give what the plainest file of the same gives."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.cli import main

TRAIN = ["--hidden", "16", "--n-latent", "4", "--max-steps", "120", "--learning-rate", "0.01"]
NAMES = ["cell_type", "leiden"]


@pytest.fixture(scope="module")
def plain(pbmc):
    """150 real cells x 120 genes, CSR int32: what every other file is compared with."""
    detected = np.asarray((pbmc.X > 0).sum(axis=0)).ravel()
    genes = np.sort(np.argsort(-detected, kind="stable")[:120])
    X = sparse.csr_matrix(pbmc.X[:150][:, genes], dtype=np.int32)
    symbols = pbmc.var["gene_symbol"].iloc[genes].astype(str).to_numpy()
    obs = pd.DataFrame(index=[f"AAAC{i:04d}-1" for i in range(150)])
    ids = [f"ENSG{i:011d}" for i in range(120)]
    return ad.AnnData(X, obs=obs, var=pd.DataFrame({"gene_ids": ids}, index=symbols))


def do(*words):
    assert main([str(word) for word in words]) == 0, words


def to_normalized(folder, *samples):
    """ingest, qc, merge and normalize of these AnnData as samples a, b, ...; counts, normalized."""
    paths, marks = [], []
    for name, adata in zip("abc", samples, strict=False):
        adata.write_h5ad(folder / f"{name}_raw.h5ad")
        paths.append(folder / f"{name}.h5ad")
        marks.append(folder / f"{name}_qc.h5ad")
        do("ingest", folder / f"{name}_raw.h5ad", "--sample", name, "--output", paths[-1])
        do("qc", "--counts", paths[-1], "--min-genes", "5", "--output", marks[-1])
    counts, normalized = folder / "counts.h5ad", folder / "normalized.h5ad"
    do("merge", "--counts", *paths, "--qc", *marks, "--output", counts)
    options = ["--n-top-genes", "40"]
    do("normalize", "--counts", counts, *options, "--output", normalized)
    return ad.read_h5ad(counts), ad.read_h5ad(normalized)


@pytest.fixture(scope="module")
def reference(tmp_path_factory, plain):
    return to_normalized(tmp_path_factory.mktemp("plain"), plain.copy())


def require_same(made, reference, *, but=()):
    """The same counts, metrics, size factors and variable genes; names of genes may differ."""
    for ours, theirs in zip(made, reference, strict=True):
        assert list(ours.obs_names) == list(theirs.obs_names)
        assert ours.n_vars == theirs.n_vars
        for name in set(theirs.obs.columns) - set(but):
            np.testing.assert_array_equal(ours.obs[name], theirs.obs[name], err_msg=name)
        for name in set(theirs.var.columns) - {"gene_id", "gene_symbol", "gene_ids"}:
            np.testing.assert_array_equal(ours.var[name], theirs.var[name], err_msg=name)
    counts = made[0].X
    assert isinstance(counts, sparse.csr_matrix)
    assert counts.dtype == np.int32
    assert (counts != reference[0].X).nnz == 0


# storage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int64", "float32", "float64", "uint16", "uint8", "int32"])
@pytest.mark.parametrize("storage", ["csr", "csc", "dense"])
def test_number_types_and_storage(storage, dtype, plain, reference, tmp_path):
    adata = plain.copy()
    assert adata.X.max() <= np.iinfo(np.uint8).max
    X = adata.X.astype(dtype)
    adata.X = {"csr": X, "csc": X.tocsc(), "dense": X.toarray()}[storage]
    assert adata.X.dtype == dtype
    require_same(to_normalized(tmp_path, adata), reference)


def test_counts_that_only_the_larger_types_hold(plain, tmp_path):
    adata = plain.copy()
    X = adata.X.astype(np.int64)
    X[0, 0] = 70_000
    adata.X = X.tocsc()
    counts, normalized = to_normalized(tmp_path, adata)
    assert counts.X[0, 0] == 70_000
    assert normalized.obs["library_size"].iloc[0] == X[0].sum()


# zeros ------------------------------------------------------------------------------------------


def test_cells_and_genes_without_molecules(plain, reference, tmp_path):
    wide = sparse.hstack([plain.X, sparse.csr_matrix((150, 30), dtype=np.int32)])
    tall = sparse.vstack([wide, sparse.csr_matrix((20, 150), dtype=np.int32)], format="csr")
    obs = pd.DataFrame(index=[*plain.obs_names, *(f"EMPTY{i}" for i in range(20))])
    ids = [*plain.var["gene_ids"], *(f"ENSG{i:011d}" for i in range(900, 930))]
    var = pd.DataFrame(
        {"gene_ids": ids}, index=[*plain.var_names, *(f"ZERO{i}" for i in range(30))]
    )
    made = to_normalized(tmp_path, ad.AnnData(tall, obs=obs, var=var))
    require_same(made, reference)
    marks = ad.read_h5ad(tmp_path / "a_qc.h5ad")
    failed = marks.obs.loc[~marks.obs["pass_qc"], "qc_reason"].astype(str)
    assert failed[failed.index.str.contains("EMPTY")].str.contains("empty").all()
    assert failed.index.str.contains("EMPTY").sum() == 20
    record = made[0].uns["scpress"]
    assert record["n_genes_undetected"] == 30
    assert record["samples"]["a"]["failures"]["empty"] == 20
    assert "30 of 150 genes are detected in fewer than 1 passing cells" in " ".join(
        record["messages"]
    )


def test_zero_genes_kept_on_request_do_not_change_the_rest(plain, tmp_path):
    """min_cells 0 keeps them; nothing becomes NaN and none of them is variable."""
    wide = sparse.hstack([plain.X, sparse.csr_matrix((150, 5), dtype=np.int32)], format="csr")
    names = [*plain.var_names, *(f"ZERO{i}" for i in range(5))]
    adata = ad.AnnData(wide, obs=plain.obs.copy(), var=pd.DataFrame(index=names))
    to_normalized(tmp_path, adata)
    files = ["--counts", tmp_path / "a.h5ad", "--qc", tmp_path / "a_qc.h5ad"]
    do("merge", *files, "--min-cells", "0", "--output", tmp_path / "all.h5ad")
    options = ["--n-top-genes", "40", "--output", tmp_path / "n.h5ad"]
    do("normalize", "--counts", tmp_path / "all.h5ad", *options)
    made = ad.read_h5ad(tmp_path / "n.h5ad")
    assert made.n_vars == 125
    assert made.var["highly_variable"].sum() == 40
    assert not made.var["highly_variable"].iloc[-5:].any()
    assert np.isfinite(made.var[["means", "variances", "variances_norm"]].to_numpy()).all()


# names ------------------------------------------------------------------------------------------


def test_samples_share_barcodes(plain, tmp_path):
    other = plain[::-1].copy()
    other.obs_names = plain.obs_names  # the same barcodes, other cells
    counts, normalized = to_normalized(tmp_path, plain.copy(), other)
    assert counts.obs_names.is_unique
    assert list(normalized.obs_names) == list(counts.obs_names)
    for name, given in (("a", plain), ("b", other)):
        marks = ad.read_h5ad(tmp_path / f"{name}_qc.h5ad")
        kept = marks.obs["pass_qc"].to_numpy()
        mine = (counts.obs["sample"] == name).to_numpy()
        assert list(counts.obs_names[mine]) == [f"{name}_{b}" for b in given.obs_names[kept]]
        assert (counts.X[mine] != given.X[kept]).nnz == 0
    shared = counts.obs_names.str.partition("_").get_level_values(2)
    assert shared.duplicated().any()


def test_ids_without_symbols(plain, reference, tmp_path):
    adata = plain.copy()
    adata.var = pd.DataFrame(index=plain.var["gene_ids"].to_numpy())
    made = to_normalized(tmp_path, adata)
    # Nothing says which of these ids, made for the test, are of ribosomal genes.
    require_same(made, reference, but=["pct_counts_ribo"])
    assert list(made[0].var_names) == list(reference[0].var_names)
    assert set(made[0].var["gene_symbol"]) == {""}


def test_repeated_symbols_with_ids(plain, reference, tmp_path):
    adata = plain.copy()
    symbols = list(plain.var_names)
    symbols[1] = symbols[2] = symbols[0]
    adata.var_names = symbols
    made = to_normalized(tmp_path, adata)
    require_same(made, reference)
    assert list(made[0].var_names) == list(reference[0].var_names)
    assert list(made[0].var["gene_symbol"].iloc[:3]) == [symbols[0]] * 3


def test_repeated_symbols_without_ids(plain, reference, tmp_path):
    adata = plain.copy()
    symbols = list(plain.var_names)
    symbols[1] = symbols[2] = symbols[0]
    adata.var = pd.DataFrame(index=symbols)
    made = to_normalized(tmp_path, adata)
    require_same(made, reference)
    assert made[0].var_names.is_unique
    assert list(made[0].var["gene_symbol"].iloc[:3]) == [symbols[0]] * 3


# what the user has ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def assembled(tmp_path_factory, plain):
    """A file with results of its own, CSC of floats, through the whole chain."""
    folder = tmp_path_factory.mktemp("chain")
    adata = plain.copy()
    adata.X = adata.X.astype(np.float32).tocsc()
    adata.obs["cell_type"] = pd.Categorical([f"mine {i % 3}" for i in range(150)])
    adata.obs["leiden"] = pd.Categorical([str(i % 7) for i in range(150)])
    adata.obs["age"] = np.arange(150)
    adata.obsm["X_umap"] = np.arange(300.0).reshape(150, 2)
    adata.uns["leiden_colors"] = np.array(["#000000"] * 7)
    to_normalized(folder, adata)
    data = ["--counts", folder / "counts.h5ad", "--normalized", folder / "normalized.h5ad"]
    model = ["--model-file", folder / "model.safetensors", "--model", "vae"]
    train = ["--history", folder / "history.tsv", "--model", "vae", *TRAIN]
    clusters = ["--clusters", folder / "clusters.h5ad"]
    options = ["--n-subsamples", "2", "--resolutions", "0.5"]
    do("train", *data, *train, "--output", folder / "model.safetensors")
    do("embed", *data, *model, "--output", folder / "latent.h5ad")
    latent = ["--latent", folder / "latent.h5ad", "--model", "vae"]
    do("cluster", *latent, *options, "--output", folder / "clusters.h5ad")
    markers = ["--markers", folder / "markers.tsv", "--output", folder / "annotation.h5ad"]
    do("annotate", *data, *clusters, *markers)
    annotation = ["--annotation", folder / "annotation.h5ad"]
    markers = ["--markers", folder / "m.tsv", "--output", folder / "subtypes.h5ad"]
    do("subtype", *data, *clusters, *annotation, *markers, "--n-subsamples", "2")
    parts = ["--latents", folder / "latent.h5ad", *clusters, *annotation]
    subtypes = ["--subtypes", folder / "subtypes.h5ad"]
    do("assemble", *data, *parts, *subtypes, "--output", folder / "scpress.h5ad")
    return adata, ad.read_h5ad(folder / "scpress.h5ad")


@pytest.mark.slow
def test_columns_of_the_user_are_in_the_last_file_under_their_own_name(assembled):
    given, made = assembled
    rows = [given.obs_names.get_loc(name.removeprefix("a_")) for name in made.obs_names]
    for name in NAMES:
        kept = made.obs[f"{name}_input"].astype(str)
        assert list(kept) == list(given.obs[name].astype(str).iloc[rows])
        assert list(made.obs[name].astype(str)) != list(kept)
    np.testing.assert_array_equal(made.obs["age"], given.obs["age"].iloc[rows])
    np.testing.assert_array_equal(made.obsm["X_umap_input"], given.obsm["X_umap"][rows])
    assert made.obsm["X_umap"].shape == (made.n_obs, 2)
    assert not np.array_equal(made.obsm["X_umap"], made.obsm["X_umap_input"])
    assert not [name for name in made.obs if name.endswith("_input_input")]


@pytest.mark.slow
def test_the_chain_ends_with_the_counts_it_began_with(assembled):
    given, made = assembled
    rows = [given.obs_names.get_loc(name.removeprefix("a_")) for name in made.obs_names]
    genes = [list(given.var["gene_ids"]).index(name) for name in made.var_names]
    expected = given.X.toarray()[rows][:, genes]
    np.testing.assert_array_equal(made.layers["counts"].toarray(), expected)
    factor = expected.sum(axis=1) / np.median(expected.sum(axis=1))
    np.testing.assert_allclose(
        made.X.toarray(), np.log1p(expected / factor[:, None]), rtol=1e-5, atol=1e-6
    )
    assert made.obsm["X_vae"].shape == (made.n_obs, 4)
    assert np.isfinite(made.obsm["X_vae"]).all()
