"""The weights of a CellTypist model, read from its pickle without running what is in it."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from scpress.cells.reference import LinearNames
from scpress.errors import InputError
from scpress.io.files import require_file

# What numbers are made of in a pickle; by their names in NumPy 1 and 2.
_ARRAYS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *(
        (f"numpy.{core}.multiarray", name)
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("_codecs", "encode"),
}
# Objects of these are kept as their attributes: no code of theirs is run.
_OBJECTS = {
    ("sklearn.linear_model._logistic", "LogisticRegression"),
    ("sklearn.linear_model.logistic", "LogisticRegression"),
    ("sklearn.linear_model._stochastic_gradient", "SGDClassifier"),
    ("sklearn.preprocessing._data", "StandardScaler"),
}


class _Attributes:
    """An object of another package, as the attributes that were stored of it."""


class _WeightsOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _OBJECTS:
            return _Attributes
        if (module, name) in _ARRAYS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def read_celltypist(path: Path) -> LinearNames:
    """Read a model file of CellTypist (.pkl).

    A pickle can run anything. This one is asked for arrays, and for the attributes of the two
    classes of scikit-learn that a model is of; a file with more than that is refused, unread.

    Raises
    ------
    InputError
        No such file, no pickle of a model, or one that asks for more than weights.
    """
    path = Path(path)
    require_file(path)
    try:
        with path.open("rb") as file:
            stored = _WeightsOnly(file).load()
    except pickle.UnpicklingError as error:
        raise InputError(
            f"'{path}' is not read, as more than weights would have to be run ({error}). A pickle "
            "can run anything; give a CellTypist model, or labelled cells."
        ) from error
    except Exception as error:
        # What is damaged raises a dozen kinds of errors out of the pickle's machine.
        raise _no_model(path, str(error).splitlines()[0] if str(error) else "damaged") from error
    try:
        weights, scaler = vars(stored["Model"]), vars(stored["Scaler_"])
        types = tuple(str(one) for one in weights["classes_"])
        genes = tuple(str(one) for one in weights["features"])
        numbers = [
            np.asarray(of[name], dtype=np.float64)
            for of, name in (
                (weights, "coef_"),
                (weights, "intercept_"),
                (scaler, "mean_"),
                (scaler, "scale_"),
            )
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _no_model(path, f"no {error}") from error
    coefficients, intercepts, mean, deviation = numbers
    if len(types) == 2 and coefficients.shape[:1] == (1,):
        # Of two types scikit-learn keeps the second's.
        coefficients = np.concatenate([-coefficients, coefficients])
        intercepts = np.concatenate([-intercepts, intercepts])
    shapes = [one.shape for one in (coefficients, intercepts, mean, deviation)]
    n, m = len(types), len(genes)
    if shapes != [(n, m), (n,), (m,), (m,)]:
        raise _no_model(path, f"{n} types and {m} genes do not go with weights {shapes}")
    if not all(np.isfinite(one).all() for one in numbers) or not (deviation > 0).all():
        raise _no_model(path, "weights that are not finite")
    return LinearNames(types, genes, coefficients, intercepts, mean, deviation)


def _no_model(path: Path, why: str) -> InputError:
    return InputError(f"'{path}' is no CellTypist model ({why:.120}). Give its .pkl file.")
