"""Batches and continuous covariates of the cells, from their obs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scpress.errors import InputError
from scpress.tables.records import plain


def continuous_values(obs: pd.DataFrame, names: Sequence[str]) -> np.ndarray | None:
    """[cells, covariates] Continuous covariates as float32; None without any.

    Raises
    ------
    InputError
        A column is missing or holds something that is not a finite number.
    """
    if not names:
        return None
    columns = []
    for name in names:
        if name not in obs:
            raise InputError(
                f"continuous covariate {name!r} is not a column of obs; "
                f"found {', '.join(map(str, obs.columns[:8])) or 'none'}. Name a column of numbers."
            )
        values = pd.to_numeric(obs[name], errors="coerce").to_numpy(dtype=np.float64)
        if not np.isfinite(values).all():
            bad = plain(obs[name][~np.isfinite(values)].iloc[0])
            raise InputError(
                f"continuous covariate {name!r} must be a number for every cell; found {bad!r}. "
                "Name a column of numbers."
            )
        columns.append(values.astype(np.float32))
    return np.stack(columns, axis=1)


def covariates_of(obs: pd.DataFrame, key: str | None) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """([cells] codes or None, names) of the categorical covariate; none if it has one value."""
    if key is None:
        return None, ()
    if key not in obs:
        raise InputError(
            f"batch_key {key!r} is not a column of obs; found "
            f"{', '.join(map(str, obs.columns[:8])) or 'none'}. Name a column, or null for none."
        )
    if obs[key].isna().any():
        raise InputError(
            f"batch_key {key!r} has {int(obs[key].isna().sum())} cells without a value."
        )
    codes, names = pd.factorize(obs[key].astype(str), sort=True)
    if len(names) < 2:
        return None, ()
    return codes.astype(np.int64), tuple(map(str, names))
