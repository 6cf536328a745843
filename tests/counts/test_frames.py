"""Text of every kind that pandas knows comes out as the one that every anndata stores."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scpress.counts.frames import cells_with, labels_of, plain_frame, require_storable
from scpress.errors import InputError

TEXT = ["string", pd.StringDtype("python", na_value=np.nan), object, "category"]


def table_of(dtype):
    columns = {
        "unique": pd.array(["a", "b", "c"], dtype=dtype),
        "some": pd.array(["a", None, "c"], dtype=dtype),
        "groups": pd.Categorical(pd.array(["u", "v", "u"], dtype="string")),
        "n": pd.array([1, None, 3], dtype="Int64"),
        "share": pd.array([0.5, None, 1], dtype="Float64"),
        "ok": [True, False, True],
    }
    return pd.DataFrame(columns, index=pd.Index(["x", "y", "z"], dtype="string"))


@pytest.mark.parametrize("dtype", TEXT, ids=str)
def test_no_string_of_pandas_is_left_and_every_value_stays(dtype):
    table = table_of(dtype)
    before = table.copy()
    plain = plain_frame(table)
    pd.testing.assert_frame_equal(plain_frame(plain), plain)
    types = [plain.index.dtype, plain["groups"].dtype.categories.dtype, *plain.dtypes]
    assert not any(isinstance(one, pd.StringDtype | pd.Float64Dtype) for one in types)
    for name in table:
        assert plain[name].isna().tolist() == table[name].isna().tolist()
        known = table[name].notna()
        assert plain[name][known].tolist() == table[name][known].tolist()
    assert plain.index.tolist() == ["x", "y", "z"]
    pd.testing.assert_frame_equal(table, before)  # also by its types


def test_columns_of_one_name_and_a_table_without_rows_or_columns_stay():
    twice = pd.DataFrame([["a", "b"]], columns=["n", "n"]).astype("string")
    assert plain_frame(twice).to_numpy().tolist() == [["a", "b"]]
    assert plain_frame(twice).shape == (1, 2)
    assert plain_frame(twice.iloc[:0]).dtypes.tolist() == [object, object]
    assert plain_frame(twice.iloc[:, :0]).shape == (1, 0)


def test_the_order_of_categories_stays():
    grades = pd.Categorical(
        pd.array(["low", "high"], dtype="string"),
        categories=pd.Index(["low", "high"], dtype="string"),
        ordered=True,
    )
    plain = plain_frame(pd.DataFrame({"grade": grades}))["grade"]
    assert plain.cat.ordered
    assert plain.cat.categories.tolist() == ["low", "high"]


@pytest.mark.parametrize("dtype", TEXT, ids=str)
def test_anndata_writes_a_plain_frame_and_reads_it_back(dtype, tmp_path):
    table = plain_frame(table_of(dtype))
    ad.AnnData(obs=table).write_h5ad(tmp_path / "a.h5ad")
    again = plain_frame(ad.read_h5ad(tmp_path / "a.h5ad").obs)
    for name in table:
        assert again[name].isna().tolist() == table[name].isna().tolist()
        known = table[name].notna()
        assert again[name][known].tolist() == table[name][known].tolist()


@pytest.mark.parametrize("dtype", TEXT, ids=str)
def test_a_text_that_no_h5ad_can_hold_is_refused(dtype):
    for table in (
        pd.DataFrame({"n": [1, 2]}, index=pd.Index(["x", "y\0z"], dtype=dtype)),
        pd.DataFrame({"text": pd.array(["a", "y\0z"], dtype=dtype)}),
    ):
        with pytest.raises(InputError, match=r"'y\\x00z' in (the names of cells|text) has a NUL"):
            require_storable(table, "cells")
    require_storable(table_of(dtype), "cells")


def test_cells_are_those_with_one_of_the_values_and_both_names_are_said():
    obs = pd.DataFrame({"n": [1, 2, 1]}, index=list("abc"))
    names = {"key_name": "where", "values_name": "which"}
    assert cells_with(obs, "n", ["1"], **names).tolist() == [True, False, True]
    with pytest.raises(InputError, match=r"where 'm' is no obs column; there are n\."):
        cells_with(obs, "m", ["1"], **names)
    with pytest.raises(InputError, match=r"which: no cell has '3' in obs\['n'\]; it holds 1, 2\."):
        cells_with(obs, "n", ["1", "3"], **names)


def test_labels_are_text_and_gaps_are_empty():
    given = pd.Categorical(["a", None, "", "b"])
    obs = pd.DataFrame({"own": given, "cell_type_input": [1.0, np.nan, 2, 2]}, index=list("wxyz"))
    assert labels_of(obs, "own").tolist() == ["a", "", "", "b"]
    assert labels_of(obs, "cell_type").tolist() == ["1.0", "", "2.0", "2.0"]
    with pytest.raises(InputError, match=r"labels_column 'n' is not in obs; found own, cell_type_"):
        labels_of(obs, "n")
