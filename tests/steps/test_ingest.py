"""Identity of cells and genes, metadata, and every bad input of the first step."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scpress import settings
from scpress.config.options import IngestOptions
from scpress.counts.digests import genes_digest
from scpress.errors import InputError
from scpress.steps import ingest as step
from scpress.steps.ingest import ingest


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


def test_what_was_taken_is_told_and_recorded(pbmc, caplog):
    caplog.set_level("INFO", logger="scpress")
    record = ingest(pbmc, sample="s1").uns["scpress"]
    assert record["n_molecules"] == pbmc.X.sum()
    assert record["source"] == "memory"
    said = f"s1: took {pbmc.n_obs} cells, {pbmc.n_vars} genes and {record['n_molecules']} molecules"
    assert f"{said} from memory" in caplog.messages
    layered = ad.AnnData(obs=pbmc.obs, var=pbmc.var, layers={"counts": pbmc.X})
    layer = ingest(layered, sample="s1", options=IngestOptions(layer="counts")).uns["scpress"]
    assert layer["source"] == "memory, layer counts"


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


@pytest.mark.parametrize("chunk_bytes", [100, 10**8])
def test_unfiltered_matrix_is_recognized(monkeypatch, chunk_bytes):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
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


def test_metadata_that_name_another_sample_are_refused():
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


def test_ids_that_differ_in_the_version_alone_stay_as_they_are():
    names = ["ENSG00000000001.1", "ENSG00000000001.2", "ENSG00000000003.4"]
    made = ingest(make(np.arange(12).reshape(4, 3), var=names), sample="s")
    assert list(made.var_names) == names
    assert len(made.uns["scpress"]["messages"]) == 0
    np.testing.assert_array_equal(made.X.toarray(), np.arange(12).reshape(4, 3))


@pytest.mark.parametrize(
    ("fewest_cells", "molecules", "n_kept"),
    [(30, 10, 20), (31, 10, 30), (30, 11, 30)],
    ids=["unfiltered", "too few barcodes", "too many molecules"],
)
def test_an_unfiltered_matrix_has_many_barcodes_of_few_molecules(
    monkeypatch, fewest_cells, molecules, n_kept
):
    # Of 30 barcodes 10 are empty; both limits themselves belong to an unfiltered matrix.
    monkeypatch.setattr(step, "_UNFILTERED_CELLS", fewest_cells)
    X = np.zeros((30, 3), dtype=int)
    X[:20, 1] = molecules
    assert ingest(make(X), sample="s").n_obs == n_kept


@pytest.mark.parametrize("name", ["sample", "batch", "donor", "condition"])
def test_columns_that_name_groups_are_never_numbers(name):
    made = ingest(make(), sample="7", metadata={name: "7"})
    assert made.obs[name].dtype == "category"
    assert set(made.obs[name]) == {"7"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0),
        ("-3", -3),
        ("1e3", 1000.0),
        ("+5", "+5"),
        ("1.", "1."),
        ("nan", "nan"),
        ("9" * 16, 1e16),
    ],
)
def test_only_plain_numbers_are_numbers(value, expected):
    made = ingest(make(), sample="s", metadata={"dose": value}).obs["dose"].iloc[0]
    assert made == expected
    assert isinstance(made, str) == isinstance(expected, str)


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.float32, np.uint16])
def test_entries_of_one_place_are_added_and_the_sum_is_a_count(kind):
    X = sparse.csr_matrix((np.array([3, 60_000, 60_000], kind), [1, 0, 1], [0, 1, 3]), (2, 2))
    X.indices[:] = [1, 0, 0]
    made = ingest(ad.AnnData(X), sample="s")
    np.testing.assert_array_equal(made.X.toarray(), [[0, 3], [120_000, 0]])
    assert made.X.dtype == np.int32
    assert made.X.nnz == 2


def test_a_sum_that_does_not_fit_is_refused():
    X = sparse.csr_matrix((np.full(2, 2**31 - 1, np.int32), [0, 1], [0, 2, 2]), (2, 2))
    X.indices[:] = 1
    with pytest.raises(InputError, match=r"found 4\.29497e\+09 in gene '1'.*above 2147483647"):
        ingest(ad.AnnData(X), sample="s")


FRACTIONS = np.array([[0.5, 2.0, 3.25, 1.0], [0.0, 1.5, 1.0, 2.0]])


def test_fractions_are_refused_unless_rounding_is_asked_for():
    with pytest.raises(InputError, match=r"found 0\.5 in gene 'G0'.*`rounding`"):
        ingest(make(FRACTIONS), sample="s")
    made = ingest(make(FRACTIONS), sample="s", options=IngestOptions(rounding="nearest"))
    np.testing.assert_array_equal(made.X.toarray(), [[0, 2, 3, 1], [0, 2, 1, 2]])
    assert made.X.dtype == np.int32
    record = made.uns["scpress"]
    assert record["rounding"]["method"] == "nearest"
    assert record["rounding"]["n_fractions"] == 3
    assert "3 of 7 values are fractions and were rounded (nearest)" in record["messages"][0]


def test_the_seed_decides_what_chance_makes_of_fractions():
    X = np.full((30, 20), 0.5)
    made = [
        ingest(make(X), sample="s", options=IngestOptions(rounding="stochastic", seed=seed))
        for seed in (1, 1, 2)
    ]
    assert (made[0].X != made[1].X).nnz == 0
    assert (made[0].X != made[2].X).nnz > 0
    assert made[2].uns["scpress"]["rounding"]["seed"] == 2


def test_rounding_does_not_take_what_is_no_fraction_of_a_count():
    options = IngestOptions(rounding="nearest")
    for value in (-0.5, np.nan, np.inf):
        X = FRACTIONS.copy()
        X[1, 1] = value
        with pytest.raises(InputError, match="counts must be non-negative integers"):
            ingest(make(X), sample="s", options=options)


def test_noise_is_rounded_by_itself_and_recorded(caplog):
    caplog.set_level("INFO", logger="scpress")
    X = np.array([[1, 0, 3, 2], [4, 1, 0, 5]])
    made = ingest(make(X * (1 + 1e-9)), sample="s")
    np.testing.assert_array_equal(made.X.toarray(), X)
    assert made.uns["scpress"]["rounding"]["method"] == "noise"
    # Once, though the values were looked at three times.
    assert len(caplog.messages) == 2
    assert caplog.messages[1].startswith("s: took 2 cells, 4 genes and 16 molecules")
    assert "whole but for noise of at most 5e-09 and were rounded" in caplog.messages[0]
    assert "rounding" not in ingest(make(X), sample="s").uns["scpress"]


def test_noise_does_not_hide_a_fraction():
    with pytest.raises(InputError, match=r"found 0\.5 in gene 'G3'"):
        ingest(make([[1.00001, 2, 0, 1], [0, 0, 1, 0.5]]), sample="s")


def test_genome_and_orientation_work_in_memory_as_for_files():
    mixed = make(var=["GRCh38_A", "GRCh38_B", "mm10_a", "mm10_b"])
    with pytest.raises(InputError, match="'the AnnData' holds genes of 2 genomes"):
        ingest(mixed, sample="s")
    made = ingest(mixed, sample="s", options=IngestOptions(genome="mm10"))
    assert list(made.var_names) == ["a", "b"]
    assert set(made.obs["genome"]) <= {"GRCh38", "mm10", "mixed"}
    turned = ingest(make(), sample="s", options=IngestOptions(orientation="genes_by_cells"))
    np.testing.assert_array_equal(turned.X.toarray(), make().X.toarray().T)
    assert list(turned.obs_names) == ["s_G0", "s_G1", "s_G2", "s_G3"]


@pytest.mark.parametrize("axis", ["obs", "var"])
def test_names_with_a_nul_are_damage(axis):
    adata = ad.AnnData(np.ones((3, 3), np.int32))
    getattr(adata, axis).index = ["a", "b", "c\0d"]
    with pytest.raises(InputError, match=r"'c\\x00d' in the names of (cells|genes) has a NUL"):
        ingest(adata, sample="s")


def test_messages_are_lines_that_any_file_holds():
    adata = ad.AnnData(np.ones((3, 3), np.int32))
    adata.obs["sample"] = ["a", "b", "c"]
    told = ingest(adata, sample="s").uns["scpress"]["messages"]
    assert told
    assert all(text.isprintable() for text in told)
