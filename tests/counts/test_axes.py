"""Which axis is cells, and which rows are genes, of files and of an AnnData in memory."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from raw_files import raw_of
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.counts.axes import keep_genes, raw_from_anndata, settle_axes
from scpress.errors import InputError


@pytest.fixture
def adata():
    """Three matrices that differ; raw has more genes than X."""
    X = np.arange(12, dtype=np.int32).reshape(4, 3)
    wide = ad.AnnData(sparse.csr_matrix(np.hstack([X, X]) + 2), var=pd.DataFrame(index=[*"ABCDEF"]))
    made = ad.AnnData(sparse.csr_matrix(X), var=pd.DataFrame(index=[*"ABC"]))
    made.layers["counts"] = sparse.csr_matrix(X + 1)
    made.raw = wide
    made.obsm["X_p"] = np.ones((4, 2))
    return made


def read(raw, max_bytes=None):
    return sparse.vstack(list(raw.chunks(max_bytes))).toarray()


@pytest.mark.parametrize(
    ("layer", "more", "genes", "places"),
    [
        (None, 0, "ABC", ("layer 'counts'", "raw")),
        ("X", 0, "ABC", ("layer 'counts'", "raw")),
        ("counts", 1, "ABC", ("X", "raw")),
        ("raw", 2, "ABCDEF", ("X", "layer 'counts'")),
    ],
)
def test_an_anndata_in_memory_is_viewed_as_a_file_is(adata, layer, more, genes, places):
    raw = raw_from_anndata(adata, layer)
    X = np.arange(12).reshape(4, 3)
    np.testing.assert_array_equal(read(raw), (X if len(genes) == 3 else np.hstack([X, X])) + more)
    assert list(raw.var.index) == list(genes)
    assert list(raw.obs.index) == list(adata.obs_names)
    assert raw.shape == (4, len(genes))
    assert raw.places == places
    assert set(raw.obsm) == {"X_p"}


def test_a_layer_may_be_called_like_another_place(adata):
    adata.layers["X"] = adata.layers["counts"]
    np.testing.assert_array_equal(read(raw_from_anndata(adata, "X")), adata.X.toarray())


def test_an_anndata_without_the_matrix_names_those_it_has(adata):
    del adata.X
    with pytest.raises(
        InputError, match=r"no counts at X; it holds layer 'counts', raw\. Set `lay"
    ):
        raw_from_anndata(adata, None)
    with pytest.raises(InputError, match=r"no counts at 'raw'; it holds no matrix"):
        raw_from_anndata(ad.AnnData(obs=pd.DataFrame(index=["a"])), "raw")


@pytest.mark.parametrize(
    "name",
    ["N_unmapped", "N_noFeature", "__no_feature", "__alignment_not_unique", "unmapped",
     "Unassigned_Ambiguity", "ERCC-00002", "hg19_ERCC-00171"],
)  # fmt: skip
def test_a_row_of_no_gene_is_set_aside(name):
    raw = keep_genes(raw_of(["A", name, "ERCC1", "N_gene"]))
    assert list(raw.var.index) == ["A", "ERCC1", "N_gene"]
    assert raw.messages[0].endswith(f"set aside ({name}): 3 of 16 molecules")
    adata = ad.AnnData(np.ones((2, 2)), var=pd.DataFrame(index=["A", name]))
    assert settle_axes(raw_from_anndata(adata, None), IngestOptions(), "a").shape == (2, 1)


def test_genes_alone_are_not_read_twice():
    raw = raw_of(["A", "ERCC1", "N_gene", "UNMAPPED1"])
    assert keep_genes(raw) is raw


@pytest.fixture
def split():
    """X is a part of the molecules; the layers are all of them."""
    parts = {
        "mature": [[1, 0], [2, 3]],
        "nascent": [[0, 200], [0, 1]],
        "ambiguous": [[1, 100], [0, 0]],
    }
    made = ad.AnnData(sparse.csr_matrix(parts["mature"]), var=pd.DataFrame(index=["A", "B"]))
    for name, values in parts.items():
        made.layers[name] = sparse.csr_matrix(values, dtype=np.uint8)
    return made


def test_layers_joined_by_plus_are_added(split):
    raw = raw_from_anndata(split, "mature+nascent+ambiguous")
    # Of a type in which 200 + 100 has a place.
    np.testing.assert_array_equal(read(raw, 1), [[2, 300], [2, 4]])
    assert raw.messages == ["molecules that are counted: mature + nascent + ambiguous"]
    assert raw.places == ("X",)


def test_a_matrix_that_is_a_part_of_the_molecules_says_so(split):
    raw = raw_from_anndata(split, None)
    np.testing.assert_array_equal(read(raw), [[1, 0], [2, 3]])
    assert raw.messages == [
        "X holds 6 molecules and the layers mature, nascent, ambiguous together 308: X may be a "
        "part of them. `layer` mature+nascent+ambiguous counts them all"
    ]
    assert raw_from_anndata(split, "mature").messages == []
    split.X = split.layers["mature"] + split.layers["nascent"] * 1.0 + split.layers["ambiguous"]
    assert raw_from_anndata(split, None).messages == []


GENES = ["ACTB", "GAPDH", "MALAT1", "B2M"]
CELLS = ["AAACCCAAGGAGAGTA-1", "AAACGCTTCAGCCCAG-1", "AAAGAACAGACGACTG-1"]


def test_genes_that_stand_for_cells_are_refused_with_the_option_that_turns_them():
    values = np.arange(12).reshape(4, 3)
    raw = raw_from_anndata(
        ad.AnnData(values, pd.DataFrame(index=GENES), pd.DataFrame(index=CELLS)), None
    )
    with pytest.raises(InputError, match=r"'a' is read as cells by genes, .* AAAC.* ACTB, GAPDH"):
        settle_axes(raw, IngestOptions(), "a")
    turned = settle_axes(raw, IngestOptions(orientation="genes_by_cells"), "a")
    assert (list(turned.obs.index), list(turned.var.index)) == (CELLS, GENES)
    np.testing.assert_array_equal(read(turned), values.T)
    with pytest.raises(InputError, match="Set `orientation` to cells_by_genes"):
        settle_axes(turned, IngestOptions(orientation="genes_by_cells"), "a")


def test_hashtags_are_not_genes():
    raw = raw_of(["HTO1-GGAGAAGATT", "HTO2-CCACAATGAA", "unmapped"])
    raw.obs.index = CELLS[:2]
    with pytest.raises(InputError, match=r"hashtags .* 2 features \(HTO1-GGAGAAGATT, HTO2-"):
        settle_axes(raw, IngestOptions(), "a")


@pytest.mark.parametrize("has_filter", [True, False])
def test_probes_are_summed_by_their_genes_without_those_that_do_not_count(has_filter):
    genes = ["G2", "DEPRECATED_G1", "G1", "G2"]
    columns = {"gene_id": genes, "gene_name": ["b", "x", "a", "b"], "probe_region": "spliced"}
    if has_filter:
        columns["filtered_probes"] = [True, False, True, True]
    raw = settle_axes(raw_of([*"wxyz"], **columns), IngestOptions(), "a")
    assert list(raw.var.index) == ["G2", "G1"]
    assert list(raw.var["gene_symbol"]) == ["b", "a"]
    np.testing.assert_array_equal(read(raw), [[0 + 3, 2], [1 + 4, 3]])
    assert raw.messages == [
        "3 probes are summed by their 2 genes; 1 that are filtered or deprecated set aside"
    ]
