"""Covariates from obs: numbers for every cell, categories with at least two values."""

import numpy as np
import pandas as pd
import pytest

from scpress.errors import InputError
from scpress.model.covariates import continuous_values, covariates_of

OBS = pd.DataFrame(
    {
        "age": [30, 40, 50],
        "depth": ["1.5", "2", "3e1"],
        "donor": pd.Categorical(["b", "a", "b"], categories=["c", "b", "a"]),
        "plate": [10, 9, 10],
        "lane": ["x", "x", "x"],
        "gap": [1.0, np.nan, 2.0],
        "endless": [1.0, np.inf, 2.0],
        "lost": ["a", None, "b"],
    }
)


def test_continuous_covariates_are_columns_in_the_order_they_are_named():
    assert continuous_values(OBS, ()) is None
    found = continuous_values(OBS, ("depth", "age"))
    np.testing.assert_array_equal(found, [[1.5, 30], [2, 40], [30, 50]])
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("height", "'height' is not a column of obs; found age, depth"),
        ("donor", "'donor' must be a number for every cell; found 'b'"),
        ("gap", "'gap' must be a number for every cell; found .*nan"),
        ("endless", "'endless' must be a number for every cell; found .*inf"),
    ],
)
def test_what_is_no_number_for_every_cell_is_refused(name, message):
    with pytest.raises(InputError, match=message):
        continuous_values(OBS, ("age", name))


def test_batches_are_sorted_names_and_their_codes():
    assert covariates_of(OBS, None) == (None, ())
    codes, names = covariates_of(OBS, "donor")
    # A category without cells is no batch.
    assert names == ("a", "b")
    assert codes.tolist() == [1, 0, 1]
    assert codes.dtype == np.int64
    codes, names = covariates_of(OBS, "plate")
    assert [names[code] for code in codes] == ["10", "9", "10"]


def test_one_value_tells_no_cells_apart():
    assert covariates_of(OBS, "lane") == (None, ())


def test_a_missing_column_or_value_is_said():
    with pytest.raises(InputError, match="batch_key 'plates' is not a column of obs; found age"):
        covariates_of(OBS, "plates")
    with pytest.raises(InputError, match="batch_key 'lost' has 1 cells without a value"):
        covariates_of(OBS, "lost")
