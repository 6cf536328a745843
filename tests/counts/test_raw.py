"""Which values are counts, and what is said of the others."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress import settings
from scpress.counts.raw import (
    RawCounts,
    choose_genome,
    find_matrix,
    keep_genes,
    name_places,
    raw_from_anndata,
    require_counts,
)
from scpress.errors import InputError


@pytest.mark.parametrize("dtype", [bool, np.uint16, np.int64, np.float32, np.float64])
def test_whole_numbers_of_any_type_pass(dtype):
    require_counts(np.array([0, 1, 1], dtype=dtype), sample="s")
    require_counts(np.array([], dtype=dtype), sample="s")


@pytest.mark.parametrize(
    ("value", "dtype", "match"),
    [
        (0.37, np.float32, r"found 0.37 in gene 'B' of sample 's'. A normalized matrix"),
        (-1, np.int8, "found -1 in gene 'B' of sample 's'. A scaled matrix"),
        (-0.5, np.float64, "A scaled matrix"),
        (np.nan, np.float64, "found nan .* a value is missing"),
        (np.inf, np.float32, "found inf .* The file is damaged"),
        (2.0**31, np.float64, "above 2147483647"),
        (2.0**31 + 256, np.float32, "found 2.14748e.09 in gene 'B' .* above 2147483647"),
        (2**31, np.uint32, "above 2147483647"),
        (2**31, np.int64, "above 2147483647"),
        (2**63, np.uint64, "above 2147483647"),
    ],
)
def test_what_is_not_a_count_is_named(value, dtype, match):
    values = np.array([1, 2, value], dtype=dtype)
    with pytest.raises(InputError, match=match):
        require_counts(values, sample="s", columns=np.array([0, 0, 1]), genes=["A", "B"])


def test_the_first_float32_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="above 2147483647"):
        require_counts(np.array([2.0**31], dtype=np.float32), sample="s")


def test_the_largest_count_passes():
    for dtype in (np.int32, np.uint32, np.int64, np.uint64, np.float64):
        require_counts(np.array([2**31 - 1], dtype=dtype), sample="s")
    # The largest float32 that fits, and the largest values of types that cannot pass the limit.
    require_counts(np.array([2.0**31 - 128], dtype=np.float32), sample="s")
    require_counts(np.array([65_504], dtype=np.float16), sample="s")
    require_counts(np.array([255], dtype=np.uint8), sample="s")


def test_the_first_value_that_is_not_a_count_is_the_one_named():
    values, columns = np.array([3, 0.25, -1, 0.5]), np.array([0, 2, 1, 0])
    with pytest.raises(InputError, match=r"found 0.25 in gene 'C'"):
        require_counts(values, sample="s", columns=columns, genes=["A", "B", "C"])


def test_text_is_not_a_count():
    with pytest.raises(InputError, match="values of type"):
        require_counts(np.array(["1"]), sample="s")


def test_other_places_are_named():
    with pytest.raises(InputError, match=r"the file also holds layer 'counts', raw"):
        require_counts(np.array([0.5]), sample="s", places=("layer 'counts'", "raw"))


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


def test_places_are_called_as_the_option_calls_them():
    keys = ["X", "layers/counts", "layers/a/b", "raw/X"]
    assert name_places(keys, "layers/counts") == ("X", "layer 'a/b'", "raw")
    assert find_matrix(keys, "a/b", "f") == ("layers/a/b", "var")
    assert find_matrix(keys, "raw", "f") == ("raw/X", "raw/var")


def test_blocks_have_the_size_of_the_settings_unless_one_is_given(monkeypatch):
    asked = []

    def read_blocks(max_bytes):
        asked.append(max_bytes)
        return iter(())

    raw = RawCounts(pd.DataFrame(index=["a"]), pd.DataFrame(index=["A"]), read_blocks)
    monkeypatch.setattr(settings, "chunk_bytes", 77)
    for size in (None, 5, 0):
        list(raw.chunks(size))
    assert asked == [77, 5, 0]
    # Another sample's messages are not this one's.
    assert raw.messages is not RawCounts(raw.obs, raw.var, read_blocks).messages


def raw_of(names, **columns):
    """Two cells of these genes; the second has a molecule more of each."""
    values = sparse.csr_matrix(np.add.outer([0, 1], np.arange(len(names))))
    return RawCounts(
        pd.DataFrame(index=["c1", "c2"]),
        pd.DataFrame(columns, index=names),
        lambda max_bytes: iter([values[:1], values[1:]]),
    )


def test_of_several_genomes_one_must_be_chosen():
    names = ["GRCh38_A", "mm10_a", "GRCh38_MT-CO1", "mm10___mt-Co1"]
    with pytest.raises(InputError, match=r"GRCh38 \(2 genes\), mm10 \(2 genes\). Set `genome`"):
        choose_genome(raw_of(names), None, "file")
    raw = choose_genome(raw_of(names), "mm10", "file")
    assert list(raw.var.index) == ["a", "mt-Co1"]
    found = sparse.vstack(list(raw.chunks())).toarray()
    np.testing.assert_array_equal(found, [[1, 3], [2, 4]])
    raw = choose_genome(raw_of(names), "mm10+GRCh38", "file")
    assert list(raw.var.index) == ["A", "a", "MT-CO1", "mt-Co1"]
    with pytest.raises(InputError, match="no genes of genome 'hg19'; found GRCh38"):
        choose_genome(raw_of(names), "hg19", "file")


def test_one_genome_is_taken_off_names_and_columns_and_none_leaves_all_as_it_is():
    raw = choose_genome(raw_of(["hg19_A", "hg19_B"], gene_name=["hg19_A", "hg19_B"]), None, "file")
    assert list(raw.var.index) == list(raw.var["gene_name"]) == ["A", "B"]
    same = raw_of(["A_B", "hg19_C", "D"], n=[1, 2, 3])
    assert choose_genome(same, None, "file") is same
    with pytest.raises(InputError, match="`genome` 'hg19' has no effect"):
        choose_genome(same, "hg19", "file")


def test_symbols_of_two_species_that_would_meet_keep_their_genome():
    names = ["GRCh38_ACTB", "GRCm38_ACTB"]
    assert list(choose_genome(raw_of(names), "GRCh38+GRCm38", "f").var.index) == names


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
    assert raw_from_anndata(adata, None).shape == (2, 1)


def test_genes_alone_are_not_read_twice():
    raw = raw_of(["A", "ERCC1", "N_gene", "UNMAPPED1"])
    assert keep_genes(raw) is raw
