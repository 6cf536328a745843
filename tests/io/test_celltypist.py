"""Weights of a CellTypist model come out of its pickle, and nothing of it is run."""

import contextlib
import os
import pickle

import numpy as np
import pytest
from builders import celltypist_model
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from scpress.errors import InputError
from scpress.io.celltypist import read_celltypist

GENES = ("CD3E", "MS4A1", "NKG7", "LYZ")


def stored(n_types=3, **changes):
    return celltypist_model(GENES, n_types=n_types) | changes


def written(folder, value):
    path = folder / "model.pkl"
    path.write_bytes(pickle.dumps(value))
    return path


@pytest.mark.parametrize("n_types", [2, 3])
def test_the_weights_are_scikit_learns(tmp_path, n_types):
    value = stored(n_types)
    found = read_celltypist(written(tmp_path, value))
    model, scaler = value["Model"], value["Scaler_"]
    assert found.types == tuple(model.classes_)
    assert found.genes == GENES
    np.testing.assert_array_equal(found.mean, scaler.mean_)
    np.testing.assert_array_equal(found.deviation, scaler.scale_)
    np.testing.assert_array_equal(found.coefficients[-1], model.coef_[-1])
    assert found.coefficients.shape == (n_types, 4)
    if n_types == 2:
        np.testing.assert_array_equal(found.coefficients[0], -model.coef_[0])
        np.testing.assert_array_equal(found.intercepts, [-model.intercept_[0], model.intercept_[0]])


class Runs:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_file_that_would_run_something_is_refused_unrun(tmp_path):
    path = written(tmp_path, stored(description=Runs(str(tmp_path / "made"))))
    with pytest.raises(InputError, match=r"not read, as more than weights.*mkdir"):
        read_celltypist(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"Scaler_": 3}, "no 'Model'"),
        ([1], "no list indices"),
        (stored(Scaler_=StandardScaler()), "no 'mean_'"),
        (
            stored(Scaler_=StandardScaler().fit(np.ones((3, 5)))),
            "3 types and 4 genes do not go with weights",
        ),
    ],
)
def test_what_is_no_model_is_one_line(tmp_path, value, says):
    with pytest.raises(InputError, match=rf"is no CellTypist model \({says}"):
        read_celltypist(written(tmp_path, value))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    value = stored()
    value["Model"].coef_[0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        read_celltypist(written(tmp_path, value))


WHOLE = pickle.dumps(stored())


@settings(max_examples=40)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_damage_is_an_input_error_or_harmless(tmp_path_factory, at, byte):
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :])
    with contextlib.suppress(InputError):
        read_celltypist(path)
