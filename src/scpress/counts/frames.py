"""How a table of cells or genes becomes one that every release of anndata stores alike."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from scpress.errors import InputError


def require_storable(table: pd.DataFrame, what: str) -> None:
    """Check that no text has a NUL in it: HDF5 ends a text there, and h5py refuses to write it.

    Raises
    ------
    InputError
        One has; `what` is the noun of the rows.
    """
    columns: list[tuple[Any, Any]] = [(f"the names of {what}", table.index), *table.items()]
    for name, values in columns:
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.dtype.categories
        is_text = values.dtype == object or isinstance(values.dtype, pd.StringDtype)
        for text in values if is_text else ():
            if isinstance(text, str) and "\0" in text:
                raise InputError(
                    f"{text!r} in {name} has a NUL, which no file of counts has. "
                    "The input is damaged; copy or download it again."
                )


def plain_frame(table: pd.DataFrame) -> pd.DataFrame:
    """[rows] The table with text as Python's own strings, and as categories where some is missing.

    pandas 3 has a type of its own for text, and anndata 0.13 writes it in a layout that earlier
    ones read as something they may not write again. `Float64`, numbers that may be missing, no
    anndata writes: such a column becomes float64 with NaN. The input is not changed.
    """
    plain = table.copy(deep=False)
    plain.index = _plain_index(table.index)
    for number, (_, column) in enumerate(table.items()):
        changed = _plain_column(column, plain.index)
        # pandas 3 makes its own text of objects that are set again.
        if changed is not None:
            plain.isetitem(number, changed)
    return plain


def _plain_column(column: pd.Series, index: pd.Index) -> Any:
    """[rows] What is stored instead of a column; None where it can stay."""
    dtype = column.dtype
    if isinstance(dtype, pd.StringDtype):
        if column.hasnans:
            return pd.Categorical(column.astype(object).where(column.notna(), None))
        return pd.Series(column.to_numpy(dtype=object), index=index, dtype=object)
    if isinstance(dtype, pd.CategoricalDtype):
        names = _plain_index(dtype.categories)
        return pd.Categorical.from_codes(column.cat.codes, names, ordered=dtype.ordered)
    if isinstance(dtype, pd.Float32Dtype | pd.Float64Dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return None


def _plain_index(index: pd.Index) -> pd.Index:
    return index.astype(object) if isinstance(index.dtype, pd.StringDtype) else index


def cells_with(
    obs: pd.DataFrame, key: str, values: Sequence[str], *, key_name: str, values_name: str
) -> np.ndarray:
    """[cells] Whether a column has one of some values; the names are those of the two options.

    Raises
    ------
    InputError
        The column or a value is not there.
    """
    if key not in obs:
        raise InputError(
            f"{key_name} {key!r} is no obs column; there are "
            f"{', '.join(map(str, obs.columns[:8])) or 'none'}."
        )
    found = obs[key].astype(str)
    absent = [value for value in values if value not in set(found)]
    if absent:
        raise InputError(
            f"{values_name}: no cell has {absent[0]!r} in obs[{key!r}]; it holds "
            f"{', '.join(map(str, found.unique()[:8]))}."
        )
    return found.isin(values).to_numpy()


def labels_of(obs: pd.DataFrame, column: str) -> np.ndarray:
    """[cells] Labels in a column, or in {column}_input, as text; '' where there is none.

    Raises
    ------
    InputError
        Neither column is there.
    """
    # A column of the user's that has the name of one of ours was kept as {name}_input.
    key = next((name for name in (column, f"{column}_input") if name in obs), None)
    if key is None:
        found = ", ".join(map(str, list(obs.columns)[:8])) or "nothing"
        raise InputError(
            f"labels_column {column!r} is not in obs; found {found}. Name a column of the sample "
            "sheet or of the input's obs."
        )
    given = obs[key].astype(object)
    return np.where(given.notna(), given.astype(str), "").astype(str)
