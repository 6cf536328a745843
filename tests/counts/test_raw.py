"""Which values are counts, and what is said of the others."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress import settings
from scpress.counts.raw import (
    RawCounts,
    find_matrix,
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
