"""Identity of cells and genes, metadata, and every bad input of the first step."""

import warnings

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scpress import settings
from scpress.cli import main
from scpress.config.options import IngestOptions
from scpress.counts.digests import genes_digest
from scpress.counts.tables import plain_table
from scpress.errors import InputError
from scpress.io.h5ad import read_h5ad
from scpress.steps import ingest as step
from scpress.steps.ingest import ingest
from scpress.verbs.ingest import read_metadata


def make(X=None, *, var=None, obs=None, **kwargs):
    X = np.random.default_rng(0).poisson(1.0, (6, 4)) if X is None else np.asarray(X)
    obs = pd.DataFrame(index=[f"b{i}" for i in range(len(X))]) if obs is None else obs
    var = [f"G{i}" for i in range(X.shape[1])] if var is None else var
    var = var if isinstance(var, pd.DataFrame) else pd.DataFrame(index=var)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that repeat are what is tested
        return ad.AnnData(sparse.csr_matrix(X), obs=obs, var=var, **kwargs)


def test_cells_genes_counts_and_digest(pbmc):
    before = pbmc.X.copy()
    made = ingest(pbmc, sample="s1", metadata={"donor": "d"})
    assert list(made.obs_names[:2]) == [f"s1_{name}" for name in pbmc.obs_names[:2]]
    assert made.X.dtype == np.int32
    assert made.X.format == "csr"
    assert (before != made.X).nnz == 0
    assert set(made.obs["sample"]) == {"s1"}
    assert set(made.obs["donor"]) == {"d"}
    assert "bulk_labels" in made.obs
    assert made.uns["scpress"]["genes_digest"] == genes_digest(made.var_names)
    assert (before != pbmc.X).nnz == 0
    assert "sample" not in pbmc.obs


def test_verb_and_step_agree(pbmc, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "chunk_bytes", 10_000)
    pbmc.write_h5ad(tmp_path / "in.h5ad")
    arguments = ["ingest", str(tmp_path / "in.h5ad"), "--sample", "s", "--label-key", "bulk_labels"]
    output = ["--output", str(tmp_path / "out.h5ad"), "--metadata", "donor=7", "age=54", "dose=0.5"]
    assert main(arguments + output) == 0
    written = read_h5ad(tmp_path / "out.h5ad")
    made = ingest(
        pbmc,
        sample="s",
        metadata={"donor": "7", "age": 54, "dose": "0.5"},
        options=IngestOptions(label_key="bulk_labels"),
    )
    pd.testing.assert_frame_equal(written.obs, plain_table(made.obs))
    pd.testing.assert_frame_equal(written.var, made.var, check_dtype=False)
    assert (written.X != made.X).nnz == 0
    assert written.obs["donor"].dtype == "category"
    assert written.obs["age"].dtype == np.int64
    assert written.obs["dose"].dtype == np.float64


def test_stored_zeros_and_repeats_are_cleaned():
    X = sparse.csr_matrix(
        (np.array([1, 2, 0, 3]), np.array([1, 1, 0, 2]), np.array([0, 2, 4])), shape=(2, 3)
    )
    adata = ad.AnnData(X, obs=pd.DataFrame(index=["a", "b"]), var=pd.DataFrame(index=list("ABC")))
    made = ingest(adata, sample="s")
    np.testing.assert_array_equal(made.X.toarray(), [[0, 3, 0], [0, 0, 3]])
    assert made.X.nnz == 2


def test_duplicate_barcode_is_named():
    adata = make(obs=pd.DataFrame(index=["a", "b", "c", "b", "b", "d"]))
    with pytest.raises(InputError, match="'b' appears 3 times in sample 's'"):
        ingest(adata, sample="s")


def test_genes_are_named_by_id_where_there_is_one():
    ids = ["ENSG00000000001.3", "ENSG00000000002.1", "", "ENSG00000000004.1"]
    var = pd.DataFrame({"gene_ids": ids, "mean": [1.0, 2, 3, 4]}, index=["A", "A", "GFP", "B"])
    made = ingest(make(var=var), sample="s")
    assert list(made.var_names) == ["ENSG00000000001", "ENSG00000000002", "GFP", "ENSG00000000004"]
    assert list(made.var["gene_symbol"]) == ["A", "A", "GFP", "B"]
    assert list(made.var["gene_id"]) == ids
    assert list(made.var["mean"]) == [1, 2, 3, 4]


def test_ids_without_symbols():
    names = [f"ENSG{i:011d}" for i in range(4)]
    made = ingest(make(var=names), sample="s")
    assert list(made.var_names) == names
    assert set(made.var["gene_symbol"]) == {""}


def test_repeated_symbols_get_numbers_and_a_message():
    made = ingest(make(var=["A", "A", "A-1", "A"]), sample="s")
    assert list(made.var_names) == ["A", "A-2", "A-1", "A-3"]
    assert list(made.var["gene_symbol"]) == ["A", "A", "A-1", "A"]
    text = made.uns["scpress"]["messages"][0]
    assert "2 genes repeat the name of another" in text
    assert "(A as A-2)" in text


@given(st.lists(st.sampled_from(["A", "A-1", "A-2", "B", "", "A-1-1"]), min_size=2, max_size=9))
def test_gene_names_are_always_unique_and_the_first_keeps_its_own(symbols):
    messages = []
    names = step._name_genes(np.full(len(symbols), ""), np.array(symbols, dtype=object), messages)
    assert len(set(names)) == len(names)
    for symbol in set(symbols) - {""}:
        assert names[symbols.index(symbol)] == symbol
    assert bool(messages) == (len(set(symbols)) < len(symbols))


def test_what_is_ours_is_kept_under_another_name():
    obs = pd.DataFrame(
        {"cell_type": list("xyxyxy"), "sample": 1, "batch": 2, "leiden": 3, "mine": 4},
        index=[f"b{i}" for i in range(6)],
    )
    var = pd.DataFrame({"highly_variable": [True] * 4, "gc": 0.5}, index=list("ABCD"))
    adata = make(obs=obs, var=var, obsm={"X_umap": np.ones((6, 2)), "X_pca": np.ones((6, 3))})
    made = ingest(adata, sample="s", metadata={"batch": "b1"})
    kept = {"cell_type_input", "sample_input", "batch_input", "leiden_input", "mine"}
    assert set(made.obs) == kept | {"sample", "batch"}
    assert list(made.obs["cell_type_input"]) == list("xyxyxy")
    assert set(made.var) == {"highly_variable_input", "gc", "gene_id", "gene_symbol"}
    assert set(made.obsm) == {"X_umap_input", "X_pca"}
    text = " ".join(made.uns["scpress"]["messages"])
    assert "obs 'leiden' of the input is kept as 'leiden_input'" in text
    assert "obsm 'X_umap' of the input is kept as 'X_umap_input'" in text
    again = ingest(made, sample="t")
    assert "sample_input_input" in again.obs


def test_label_key():
    obs = pd.DataFrame({"type": ["x", None, "y", "x", "x", "x"], "label": 1}, index=list("abcdef"))
    adata = make(obs=obs)
    made = ingest(adata, sample="s", options=IngestOptions(label_key="type"))
    assert list(made.obs["label"].cat.categories) == ["x", "y"]
    assert made.obs["label"].isna().sum() == 1
    assert "label_input" in made.obs
    made = ingest(adata, sample="s", metadata={"m": "k"}, options=IngestOptions(label_key="m"))
    assert set(made.obs["label"]) == {"k"}
    with pytest.raises(
        InputError, match="'kind' is not a column of sample 's'; it has type, label"
    ):
        ingest(adata, sample="s", options=IngestOptions(label_key="kind"))


@pytest.mark.parametrize(
    ("X", "match"),
    [
        ([[1, 2.5], [0, 1]], "found 2.5 in gene 'G1' of sample 's'. A normalized matrix"),
        ([[1, 2], [-3, 1]], "found -3 in gene 'G0' of sample 's'. A scaled matrix"),
        ([[1, 2], [np.nan, 1]], "found nan in gene 'G0'"),
        ([[1, 2]], "sample 's' has 1 cell; neighbours"),
        ([[1], [2]], "sample 's' has 1 gene; size factors"),
        (np.zeros((0, 3)), "sample 's' has 0 cells"),
        ([[1, 2**31], [0, 0]], "above 2147483647"),
    ],
)
def test_bad_values_and_sizes(X, match):
    with pytest.raises(InputError, match=match):
        ingest(make(X), sample="s")


def test_zeros_are_normal():
    made = ingest(make([[0, 0, 1], [0, 0, 0], [0, 0, 2]]), sample="s")
    assert made.shape == (3, 3)


def test_unfiltered_matrix_is_recognized(monkeypatch):
    monkeypatch.setattr(step, "_UNFILTERED_CELLS", 20)
    X = np.zeros((30, 3), dtype=int)
    X[:12, 0] = 1
    X[:4] = 50
    made = ingest(make(X, obsm={"X_a": np.arange(30.0)[:, None]}), sample="s")
    assert list(made.obs_names) == [f"s_b{i}" for i in range(12)]
    np.testing.assert_array_equal(made.X.toarray(), X[:12])
    np.testing.assert_array_equal(made.obsm["X_a"].ravel(), np.arange(12))
    assert made.uns["scpress"]["n_cells_input"] == 30
    text = made.uns["scpress"]["messages"][0]
    assert "unfiltered matrix: 26 of its 30 barcodes" in text
    assert "The 18 without any were dropped" in text
    # A large sample of real cells with a few empty ones keeps them all.
    assert ingest(make(np.vstack([X[:1]] * 25 + [X[-1:]])), sample="s").n_obs == 26


def test_bad_input_exits_with_2_and_leaves_nothing(tmp_path, capsys):
    adata = make([[1.0, 2], [0, 0.37]], layers={"counts": sparse.csr_matrix([[1, 2], [0, 1]])})
    adata.write_h5ad(tmp_path / "in.h5ad")
    out = tmp_path / "out" / "counts.h5ad"
    arguments = ["ingest", str(tmp_path / "in.h5ad"), "--sample", "s", "--output", str(out)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "found 0.37 in gene 'G1' of sample 's'" in error
    assert "the file also holds layer 'counts'" in error
    assert list(out.parent.iterdir()) == []
    assert main([*arguments, "--layer", "counts"]) == 0


def test_damage_inside_the_values_is_one_line(tmp_path, capsys):
    make().write_h5ad(tmp_path / "in.h5ad", compression="gzip")
    with h5py.File(tmp_path / "in.h5ad") as file:
        place = file["X/data"].id.get_chunk_info(0).byte_offset
    data = bytearray((tmp_path / "in.h5ad").read_bytes())
    data[place : place + 6] = b"\0" * 6
    (tmp_path / "in.h5ad").write_bytes(data)
    out = ["--output", str(tmp_path / "out.h5ad")]
    assert main(["ingest", str(tmp_path / "in.h5ad"), "--sample", "s", *out]) == 2
    assert "cannot be read as h5ad" in capsys.readouterr().err
    assert not (tmp_path / "out.h5ad").exists()


def test_metadata_words():
    assert read_metadata(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for words, match in ((["a"], "KEY=VALUE; found 'a'"), (["a=1", "a=2"], "names 'a' twice")):
        with pytest.raises(InputError, match=match):
            read_metadata(words)
    with pytest.raises(InputError, match="metadata names the sample 'x', not 's'"):
        ingest(make(), sample="s", metadata={"sample": "x"})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("age", "54", 54), ("age", "5e-1", 0.5), ("donor", "54", "54"), ("code", "007", "007")],
)
def test_numbers_in_the_sheet(name, value, expected):
    made = ingest(make(), sample="s", metadata={name: value, "empty": ""})
    assert made.obs[name].iloc[0] == expected
    assert made.obs["empty"].isna().all()
