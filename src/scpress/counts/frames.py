"""How a table of cells or genes becomes one that every release of anndata stores alike."""

from typing import Any

import numpy as np
import pandas as pd


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
