"""Everything but the counts: equal when it comes back, the same bytes from every release."""

import hashlib
import json
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata.tests.helpers import assert_equal
from archive.conftest import few_cells
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from scpress.archive.rest import from_files, require_arrays, to_files
from scpress.archive.tree import pack_tree, unpack_tree
from scpress.errors import InputError


def there_and_back(adata):
    return from_files(unpack_tree(pack_tree(to_files(adata))))


def axis_table(drawn, names):
    """A table of an axis with a column of each kind."""
    n = len(names)
    table = {
        "category": pd.Categorical(drawn.choice(["b", "a"], n), categories=["b", "a", "unused"]),
        "ordered": pd.Categorical(drawn.choice(["lo", "hi"], n), ["lo", "hi"], ordered=True),
        "whole": drawn.integers(-9, 9, n),
        "small": drawn.integers(0, 9, n).astype(np.uint8),
        "part": drawn.random(n).astype(np.float32),
        "is": drawn.random(n) < 0.5,
        "word": pd.Series([f"w{i}" for i in drawn.integers(0, 9, n)], dtype=str).array,
        "maybe": pd.array([None if i % 2 else i for i in range(n)], dtype="Int64"),
    }
    return pd.DataFrame(table, index=pd.Index(names, dtype=str))


def everything(n_obs, n_vars, seed):
    """An AnnData with a value of each kind in each of its parts."""
    drawn = np.random.default_rng(seed)
    obs = axis_table(drawn, [f"cell{i}" for i in range(n_obs)])
    var = axis_table(drawn, [f"gene{j}" for j in range(n_vars)])

    def random(*shape):
        return sparse.random(*shape, density=0.4, format="csr", rng=drawn)

    return ad.AnnData(
        obs=obs,
        var=var,
        obsm={"dense": drawn.random((n_obs, 3)), "sparse": random(n_obs, 4), "table": obs},
        varm={"dense": drawn.random((n_vars, 1)), "sparse": random(n_vars, 2).tocsc()},
        obsp={"distances": random(n_obs, n_obs)},
        varp={"dense": drawn.random((n_vars, n_vars))},
        layers={"sparse": random(n_obs, n_vars), "dense": drawn.random((n_obs, n_vars))},
        uns={"a": {"b": {"c": 1, "d": "text"}}, "list": np.array(["x", "y"]), "table": var},
    )


@settings(max_examples=10)
@given(st.integers(0, 12), st.integers(0, 8), st.integers(0, 99))
def test_an_anndata_of_everything_comes_back(n_obs, n_vars, seed):
    adata = everything(n_obs, n_vars, seed)
    assert_equal(adata, there_and_back(adata), exact=True)


def test_raw_comes_back(cells):
    adata = cells.copy()
    adata.varm["loadings"] = np.ones((9, 2))
    adata.raw = adata
    adata = adata[:, :4].copy()
    found = there_and_back(adata)
    assert_equal(adata, found, exact=True)
    assert list(found.raw.var_names) == list(cells.var_names)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        "",
        3,
        2.5,
        True,
        np.array(["a", "bb"]),
        np.array(["a", "bb"], dtype=object),
        np.zeros((0, 3)),
        np.zeros((2, 0), dtype=np.int8),
        np.array([(1, "x"), (2, "yy")], dtype=[("n", "<i4"), ("s", "<U5")]),
        {"a": {"b": [1, 2]}},
        pd.DataFrame({"a": ["x", "y"], "b": [1.5, np.nan]}, index=["p", "q"]),
        pd.Categorical(["u", None, "v"]),
        pd.array([1, None], dtype="Int64"),
        pd.array([True, None], dtype="boolean"),
        np.array([1, 2], dtype=">i4"),
        sparse.csc_matrix(np.eye(3)),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_stands_in_uns_comes_back(value):
    adata = ad.AnnData(obs=pd.DataFrame(index=["a"]), uns={"it": value})
    found = there_and_back(adata).uns
    assert list(found) == ["it"]
    written = ad.AnnData(obs=pd.DataFrame(index=["a"]), uns=found).uns["it"]
    if isinstance(value, dict):
        assert [list(x) for x in written["a"].values()] == [[1, 2]]
    elif isinstance(value, pd.Categorical):
        assert list(written.isna()) == [False, True, False]
    else:
        assert_equal(value, written)


@pytest.mark.parametrize("missing", [False, True])
def test_text_comes_back_as_it_is_read_from_an_h5ad(tmp_path, missing):
    words = ["a", "b", None if missing else "c"]
    obs = pd.DataFrame({"word": pd.array(words, dtype="string")}, index=["x", "y", "z"])
    path = tmp_path / "a.h5ad"
    with ad.settings.override(allow_write_nullable_strings=True):
        ad.AnnData(obs=obs).write_h5ad(path)
    adata = ad.read_h5ad(path)
    assert_equal(adata, there_and_back(adata), exact=True)


def test_names_with_every_kind_of_letter_come_back():
    names = ["", " ", "a\nb", "ä", "😀", "a/b", "\t", "a\0b"]
    adata = ad.AnnData(obs=pd.DataFrame(index=names))
    assert list(there_and_back(adata).obs_names) == names


def test_every_release_writes_the_same_bytes():
    """The same number is pinned on Python 3.11 and on 3.13."""
    digest = hashlib.sha256()
    for name, data in sorted(to_files(few_cells()).items()):
        if not name.startswith("X"):
            digest.update(name.encode() + data)
    assert digest.hexdigest()[:16] == PINNED


PINNED = "e40b901bdf893ad2"


def test_an_empty_chunk_is_stored_like_any_other():
    adata = ad.AnnData(obs=pd.DataFrame({"zero": [0.0, 0.0]}, index=["a", "b"]))
    assert to_files(adata)["obs/zero/0"] == bytes(16)


def changed(files, name, **values):
    record = json.loads(files[name]) | values
    return files | {name: json.dumps(record).encode()}


@pytest.fixture
def files(cells):
    return to_files(cells)


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("obs/size/.zarray", {"shape": [2**40]}, "lacks some of its"),
        ("obs/size/.zarray", {"shape": [2**47], "chunks": [2**47]}, "60|480 bytes, not"),
        ("obs/size/.zarray", {"shape": [-1]}, "of shape"),
        ("obs/size/.zarray", {"shape": [60.0]}, "of shape"),
        ("obs/size/.zarray", {"shape": [61]}, "lacks some of its 2 chunks"),
        ("obs/size/.zarray", {"compressor": {"id": "zlib", "level": 1}}, "coded in a way"),
        ("obs/size/.zarray", {"filters": [{"id": "pickle"}]}, "coded in a way"),
        ("obs/_index/.zarray", {"filters": [{"id": "pickle"}]}, "coded in a way"),
        ("obs/_index/.zarray", {"shape": [2**30], "chunks": [2**30]}, "60 texts, not"),
        ("obs/size/.zarray", {"dtype": "<f4"}, "480 bytes, not 240"),
    ],
)
def test_an_array_that_says_what_is_not_there_is_refused(files, name, values, says):
    require_arrays(files)
    with pytest.raises(ValueError, match=says):
        require_arrays(changed(files, name, **values))
    with pytest.raises(ValueError, match=says):
        from_files(changed(files, name, **values), "obs")


def test_a_chunk_that_is_missing_does_not_read_as_zeros(files):
    del files["obs/size/0"]
    with pytest.raises(ValueError, match="obs/size lacks some"):
        from_files(files)


def test_one_table_can_be_read_by_itself(cells, files):
    assert_equal(cells.obs, from_files(files, "obs"))


@pytest.mark.parametrize(
    "name", ["a b", "..x", ".z", "a.b", "0", "x:y", "a\nb", " ", "ä", "zarr.json"]
)
def test_odd_names_come_back(name):
    adata = ad.AnnData(obs=pd.DataFrame({name: [1]}, index=["x"]))
    adata.uns[name], adata.uns["more"] = 1, {name: np.arange(2)}
    adata.obsm[name] = np.ones((1, 2))
    assert_equal(adata, there_and_back(adata), exact=True)


@pytest.mark.parametrize("name", ["a\\b", "\\", ".zarray", ".zgroup", ".zattrs", ".", ".."])
@pytest.mark.parametrize("place", ["obs", "uns", "obsm", "deep"])
def test_names_that_zarr_takes_for_others_are_refused(name, place):
    adata = ad.AnnData(obs=pd.DataFrame(index=["x"]))
    adata.uns["deep"] = {"a": {}}
    part = adata.uns["deep"]["a"] if place == "deep" else getattr(adata, place)
    part[name] = np.ones((1, 1)) if place == "obsm" else 1
    with pytest.raises(InputError, match="cannot be packed"):
        to_files(adata)


def test_what_is_given_is_not_changed():
    adata = few_cells()
    before = adata.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_files(adata)
    assert_equal(adata, before, exact=True)
