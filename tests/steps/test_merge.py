"""Joins of samples: genes by id or symbol, cells, columns, and streaming."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import sparse

from scpress import settings
from scpress.config.options import IngestOptions, MergeOptions, QcOptions
from scpress.counts.digests import genes_digest
from scpress.errors import InputError
from scpress.steps.ingest import ingest
from scpress.steps.merge import merge, plan_merge
from scpress.steps.qc import qc

LOOSE = QcOptions(min_counts=0, min_genes=0, doublets=False)


def make(sample, genes, *, n_obs=6, seed=0, ids=None, metadata=None, obs=None, drop=(), **kwargs):
    """Ingested counts and qc of a simulated sample; the cells in `drop` fail."""
    X = np.random.default_rng(seed).poisson(1.5, (n_obs, len(genes))) + np.eye(n_obs, len(genes))
    table = pd.DataFrame(obs or {}, index=[f"b{i}" for i in range(n_obs)])
    table["keep"] = [i not in drop for i in range(n_obs)]
    names = pd.Index(genes if ids is None else ids)
    var = pd.DataFrame(index=names)
    if ids is not None:
        var["gene_symbol"] = genes
    adata = ad.AnnData(sparse.csr_matrix(X), obs=table, **kwargs)
    adata.var = var.set_axis(names)
    counts = ingest(adata, sample=sample, metadata=metadata or {}, options=IngestOptions())
    options = QcOptions(filter_column="keep", doublets=False)
    return counts, qc(counts, options)


def as_frame(adata):
    cells, genes = list(adata.obs_names), list(adata.var_names)
    return pd.DataFrame(adata.X.toarray(), index=cells, columns=genes)


@pytest.mark.parametrize("how", ["intersection", "union"])
@pytest.mark.parametrize("chunk_bytes", [1, 10**6])
def test_counts_against_pandas(monkeypatch, how, chunk_bytes):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    samples = {
        "s1": make("s1", ["A", "B", "C", "D"], seed=1, drop=(2,)),
        "s2": make("s2", ["D", "E", "B", "A"], seed=2, drop=(0, 5)),
    }
    merged = merge(samples, MergeOptions(genes=how, min_cells=0))
    frames = [as_frame(counts)[marks.obs["pass_qc"]] for counts, marks in samples.values()]
    join = "inner" if how == "intersection" else "outer"
    expected = pd.concat(frames, join=join).fillna(0)
    assert set(merged.var_names) == set(expected.columns)
    assert list(merged.obs_names) == list(expected.index)
    pd.testing.assert_frame_equal(
        as_frame(merged), expected[merged.var_names], check_dtype=False, check_names=False
    )
    assert merged.X.dtype == np.int32
    assert merged.var["n_cells"].tolist() == (expected[merged.var_names] > 0).sum().tolist()
    record = merged.uns["scpress"]
    assert record["genes_digest"] == genes_digest(merged.var_names)
    assert record["samples"]["s2"]["n_passing"] == 4
    assert record["samples"]["s2"]["failures"] == {"filter_column": 2}


@hypothesis_settings(max_examples=20, deadline=None)
@given(
    lists=st.lists(
        st.lists(st.sampled_from("ABCDEFG"), min_size=3, max_size=7, unique=True),
        min_size=1,
        max_size=3,
    )
)
def test_any_gene_lists(lists):
    samples = {f"s{i}": make(f"s{i}", genes, seed=i) for i, genes in enumerate(lists)}
    common = set(lists[0]).intersection(*lists)
    merged = merge(samples, MergeOptions(genes="union", min_cells=0))
    assert set(merged.var_names) == set().union(*lists)
    total = sum(counts.X.sum() for counts, _ in samples.values())
    assert merged.X.sum() == total
    shares = [
        as_frame(counts)[list(common)].sum().sum() / counts.X.sum()
        for counts, _ in samples.values()
    ]
    if len(common) < 2 or min(shares) < 0.5:
        with pytest.raises(
            InputError, match=r"no genes are common|genes are left|of its molecules"
        ):
            merge(samples, MergeOptions(min_cells=0))
    else:
        assert set(merge(samples, MergeOptions(min_cells=0)).var_names) == common


def test_no_common_genes_shows_both():
    samples = {"a": make("a", ["A", "B"]), "b": make("b", ["X", "Y"])}
    with pytest.raises(InputError, match="'a' has A, B, 'b' has X, Y"):
        merge(samples)


def test_ids_join_and_symbols_do_not_matter():
    ids = [f"ENSG{i:011d}" for i in range(4)]
    samples = {
        "a": make("a", ["A", "A", "C", "D"], ids=ids),
        "b": make("b", ["D", "C", "B", "A"], ids=ids[::-1], seed=3),
    }
    merged = merge(samples, MergeOptions(min_cells=0))
    assert list(merged.var_names) == ids
    pd.testing.assert_series_equal(
        as_frame(merged).loc["b_b0"], as_frame(samples["b"][0]).loc["b_b0", ids], check_names=False
    )
    assert list(merged.var["gene_symbol"]) == ["A", "A", "C", "D"]


def test_symbols_join_ids_where_they_mean_one_gene():
    ids = [f"ENSG{i:011d}" for i in range(6)]
    samples = {
        "a": make("a", ["A", "A", *"CDEF"], ids=ids),
        "b": make("b", [*"FEDCA", "new"], seed=3),
    }
    merged = merge(samples, MergeOptions(min_cells=0))
    assert list(merged.var_names) == ids[2:]
    np.testing.assert_array_equal(
        as_frame(merged).loc["b_b1"], as_frame(samples["b"][0]).loc["b_b1", [*"CDEF"]]
    )
    assert "b has symbols only: 4 of its 6 genes" in merged.uns["scpress"]["messages"][0]


def test_repeated_symbols_join_only_in_files_with_the_same_list():
    same = {"a": make("a", ["A", "A", "B", "C"]), "b": make("b", ["A", "A", "B", "C"], seed=1)}
    assert list(merge(same).var_names) == ["A", "A-1", "B", "C"]
    other = {"a": make("a", ["A", "A", "B", "C"]), "b": make("b", ["B", "A", "C", "A"], seed=1)}
    merged = merge(other)
    assert list(merged.var_names) == ["B", "C"]
    assert "2 genes share a symbol and have no id" in " ".join(merged.uns["scpress"]["messages"])


def test_shared_barcodes_and_columns_of_obs():
    samples = {
        "a": make("a", list("AB"), metadata={"donor": "1", "age": "3"}, obs={"score": 1.5}),
        "b": make("b", list("AB"), metadata={"donor": "2"}, obs={"kind": "x", "score": 2}),
    }
    merged = merge(samples)
    assert merged.obs_names.is_unique
    assert {"a_b0", "b_b0"} <= set(merged.obs_names)
    assert list(merged.obs["donor"].cat.categories) == ["1", "2"]
    assert merged.obs["score"].tolist() == [1.5] * 6 + [2.0] * 6
    assert merged.obs["age"].isna().sum() == 6
    assert merged.obs["kind"].isna().sum() == 6
    assert merged.obs["pass_qc"].dtype == bool
    assert merged.obs["library_size"].dtype == np.int64


def test_columns_of_var_stay_one_where_samples_agree():
    samples = {}
    for i, name in enumerate("ab"):
        counts, marks = make(name, list("AB"), seed=i)
        counts.var["gc"] = [0.1, 0.2]
        counts.var["mean"] = [i, i + 1]
        samples[name] = counts, marks
    merged = merge(samples)
    assert merged.var["gc"].tolist() == [0.1, 0.2]
    assert merged.var["mean-a"].tolist() == [0, 1]
    assert merged.var["mean-b"].tolist() == [1, 2]


def test_obsm_is_joined_where_all_have_it():
    ones = {"X_a": np.ones((6, 2)), "X_b": np.ones((6, 2))}
    samples = {
        "a": make("a", list("AB"), obsm=ones, drop=(1,)),
        "b": make("b", list("AB"), obsm={"X_a": np.zeros((6, 2)), "X_b": np.ones((6, 3))}),
    }
    merged = merge(samples)
    assert set(merged.obsm) == {"X_a"}
    np.testing.assert_array_equal(merged.obsm["X_a"][:, 0], [1] * 5 + [0] * 6)
    assert "obsm 'X_b'" in " ".join(merged.uns["scpress"]["messages"])


def test_rare_genes_are_left_out_and_counted():
    counts, _ = make("a", list("ABC"))
    X = counts.X.tolil()
    X[:, 1] = 0
    X[3:, 2] = 0
    counts.X = X.tocsr()
    samples = {"a": (counts, qc(counts, LOOSE))}
    assert list(merge(samples).var_names) == ["A", "C"]
    assert merge(samples).uns["scpress"]["n_genes_undetected"] == 1
    with pytest.raises(InputError, match="4 cells and 1 genes are left"):
        merge(samples, MergeOptions(min_cells=4))


def test_qc_of_other_counts_is_an_error():
    counts, _ = make("a", list("AB"))
    _, marks = make("b", list("AB"))
    with pytest.raises(InputError, match="counts has 6 cells and qc of sample 'a' 6, not the same"):
        merge({"a": (counts, marks)})
    with pytest.raises(InputError, match="no samples"):
        merge({})


def test_cells_of_one_name_in_two_samples_are_refused():
    # Sample and barcode are joined by what either of them may hold.
    first, second = make("a", list("AB"), n_obs=3), make("a_b", list("AB"), n_obs=3)
    for pair, name in ((first, "a_b_x"), (second, "a_b_x")):
        for part in pair:
            part.obs_names = [name, *part.obs_names[1:]]
    with pytest.raises(InputError, match="cell 'a_b_x' is in two samples"):
        merge({"a": first, "a_b": second})


def test_a_gene_of_two_symbols_does_not_take_both_of_a_sample_without_ids():
    ids = [f"ENSG{i:011d}" for i in range(6)]
    samples = {
        "a": make("a", ["OLD", *"BCDEF"], ids=ids),
        "b": make("b", ["NEW", *"BCDEF"], ids=ids, seed=1),
        "c": make("c", ["OLD", "NEW", *"CDEF"], seed=2),
    }
    merged = merge(samples, MergeOptions(min_cells=0))
    assert list(merged.var_names) == ids[2:]
    np.testing.assert_array_equal(
        as_frame(merged).loc["c_b0"], as_frame(samples["c"][0]).loc["c_b0", [*"CDEF"]]
    )


@pytest.mark.parametrize(("min_cells", "genes"), [(3, ["A", "B", "C"]), (4, ["A", "C"])])
def test_a_gene_in_as_many_passing_cells_as_are_asked_for_is_kept(min_cells, genes):
    first, _ = make("a", list("ABC"))
    second, _ = make("b", list("ABC"), seed=1)
    for counts, n_cells in ((first, 1), (second, 2)):
        X = counts.X.tolil()
        X[:, 1] = 0
        X[:n_cells, 1] = 1
        X[:, 0] = 1
        X[:, 2] = 1
        counts.X = X.tocsr()
    samples = {name: (counts, qc(counts, LOOSE)) for name, counts in (("a", first), ("b", second))}
    merged = merge(samples, MergeOptions(min_cells=min_cells))
    assert list(merged.var_names) == genes
    assert merged.var.loc["A", "n_cells"] == 12
    if "B" in genes:
        assert merged.var.loc["B", "n_cells"] == 3


def of(sample, genes, values, **more):
    """One value a gene in each of three cells; the third fails."""
    counts, _ = make(sample, genes, n_obs=3, drop=(2,), **more)
    X = np.tile(np.array(values, dtype=np.int32), (3, 1))
    X[2] = 1000 * X[2, ::-1]
    counts.X = sparse.csr_matrix(X)
    return counts, qc(counts, QcOptions(filter_column="keep", doublets=False))


def test_what_each_sample_loses_to_genes_of_others_is_said():
    samples = {
        "a": of("a", [*"ABCD"], [40, 50, 6, 4]),
        "b": of("b", [*"ABEF"], [10, 20, 15, 15]),
        "c": of("c", [*"AB"], [1, 1]),
    }
    assert list(merge(samples).uns["scpress"]["messages"]) == [
        "a loses 2 of its 4 genes and 10.0 % of its molecules, because not all samples have them",
        "b loses 2 of its 4 genes and 50.0 % of its molecules, because not all samples have them",
    ]


def test_a_sample_that_would_lose_most_of_its_molecules_stops_the_merge_with_the_way_out():
    samples = {
        "whole": of("whole", [*"ABCDE"], [20, 29, 17, 17, 17]),
        "panel": of("panel", [*"AB"], [5, 5]),
    }
    with pytest.raises(InputError) as caught:
        merge(samples)
    assert str(caught.value) == (
        "whole loses 3 of its 5 genes and 51.0 % of its molecules, because not all samples have "
        "them. Set `genes` to union, or leave out the sample with few genes (fewest has 'panel', "
        "2)."
    )
    merged = merge(samples, MergeOptions(genes="union"))
    assert merged.X.sum() == 2 * 100 + 2 * 10
    assert list(merged.uns["scpress"]["messages"]) == []


def test_genes_without_molecules_are_no_loss_and_nothing_is_read_for_them(monkeypatch):
    samples = {"a": of("a", [*"ABC"], [1, 1, 0]), "b": of("b", [*"AB"], [1, 1])}
    monkeypatch.setattr("scpress.steps.merge.iter_chunks", None)
    plan = plan_merge(samples, MergeOptions())
    assert list(plan.rest.uns["scpress"]["messages"]) == [
        "a loses 1 of its 3 genes and 0.0 % of its molecules, because not all samples have them"
    ]


def test_transcripts_join_whatever_their_version():
    ids = [f"ENSMUST{i:011d}" for i in range(3)]
    samples = {
        "a": of("a", [f"{one}.4" for one in ids], [1, 2, 3]),
        "b": of("b", [f"{one}.5" for one in ids[::-1]], [6, 5, 4]),
    }
    merged = merge(samples)
    assert list(merged.var_names) == ids
    np.testing.assert_array_equal(merged.X.toarray(), [[1, 2, 3]] * 2 + [[4, 5, 6]] * 2)


def test_panels_say_which_sample_measured_which_gene():
    samples = {
        "s/1": make("s/1", ["A", "B", "C", "D"], seed=1),
        "s2": make("s2", ["D", "E", "B", "A"], seed=2),
    }
    merged = merge(samples, MergeOptions(genes="panels"))
    union = merge(samples, MergeOptions(genes="union"))
    assert (merged.X != union.X).nnz == 0
    assert list(merged.var_names) == ["A", "B", "C", "D", "E"]
    expected = [[1, 1], [1, 1], [1, 0], [1, 1], [0, 1]]
    np.testing.assert_array_equal(merged.varm["measured"], expected)
    assert list(merged.uns["scpress"]["sample_names"]) == ["s/1", "s2"]
    assert "3 of 5 genes are measured in all samples" in merged.uns["scpress"]["messages"][-1]
    assert "measured" not in union.varm


def test_samples_of_the_same_genes_have_no_panels():
    samples = {name: make(name, ["A", "B", "C"], seed=2) for name in ("s1", "s2")}
    merged, union = (merge(samples, MergeOptions(genes=how)) for how in ("panels", "union"))
    assert "measured" not in merged.varm
    assert merged.var.equals(union.var)


def test_panels_without_a_shared_gene_are_refused():
    samples = {"s1": make("s1", ["A", "B"]), "s2": make("s2", ["C", "D"])}
    with pytest.raises(InputError, match="no gene is measured in all of the 2 samples"):
        merge(samples, MergeOptions(genes="panels"))
