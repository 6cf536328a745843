"""Which donors a comparison is of, and whether it can tell condition from batch."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scpress.config.cohort import ComparisonOptions
from scpress.errors import InputError
from scpress.tables.cohort import CohortRecord

# Fewest donors of a condition; two say nothing of how donors of one condition differ.
_MIN_DONORS = 3
# Fewest donors beyond the unknowns of a design.
_MIN_FREE = 2


@dataclass(frozen=True)
class Comparison:
    """Conditions of donors: two, or more where they are told apart and not compared."""

    rows: np.ndarray
    """[units] Their rows in the cohort."""
    condition: np.ndarray
    """[units] Number of its condition among the levels."""
    donor: np.ndarray
    """[units] Its donor, who may have several units."""
    levels: tuple[str, ...]
    """Names of the conditions, the reference first."""
    nuisance: pd.DataFrame
    """[units, columns] Batches but one, and covariates: numbers, to be held constant."""
    group: np.ndarray
    """[units] What is held out as a whole: the donor, or a group of donors."""

    @property
    def is_case(self) -> np.ndarray:
        """[units] Whether a unit is of the second of two conditions."""
        return self.condition == 1

    def count_donors(self) -> tuple[int, int]:
        """How many donors are of the second condition, and of the reference."""
        return len(set(self.donor[self.is_case])), len(set(self.donor[~self.is_case]))

    def restrict(self, inside: np.ndarray) -> "Comparison":
        """Some of the units; what no longer differs between them is not held constant."""
        nuisance = self.nuisance.iloc[inside]
        independent: list[str] = []
        for column in map(str, nuisance):
            tried = nuisance[[*independent, column]]
            if _rank(tried) > len(independent) + 1:
                independent.append(column)
        return Comparison(
            self.rows[inside],
            self.condition[inside],
            self.donor[inside],
            self.levels,
            nuisance[independent],
            self.group[inside],
        )

    def is_told_apart(self) -> bool:
        """Whether the condition is no combination of what is held constant, and donors are left."""
        with_case = _rank(self.nuisance, self.is_case)
        return _rank(self.nuisance) < with_case <= len(self.rows) - _MIN_FREE


def _rank(table: pd.DataFrame, *columns: np.ndarray) -> int:
    design = [np.ones(len(table)), table.to_numpy(dtype=float), *columns]
    return int(np.linalg.matrix_rank(np.column_stack(design)))


def compare(
    obs: pd.DataFrame,
    record: CohortRecord,
    options: ComparisonOptions,
    *,
    group_key: str | None = None,
    min_donors: int = _MIN_DONORS,
    several: bool = False,
) -> Comparison:
    """Check that the donors can be compared, and how.

    Parameters
    ----------
    obs
        [units, columns] What is known of them.
    group_key
        Column of what is held out as a whole; the donor when not given.
    min_donors
        Fewest of each condition.
    several
        Whether there may be more than two conditions.

    Raises
    ------
    InputError
        No such column, a donor in two conditions or in none, not two conditions, a condition of
        fewer donors than that, or one that coincides with batches or covariates.
    """
    varying = dict(zip(record.varying, record.varying_example, strict=True))
    key = options.condition_key
    if key is None:
        raise InputError("nothing is compared: name the column of donors in condition_key.")
    condition = _column(obs, varying, key, "condition_key")
    nuisance: dict[str, pd.Series] = {
        name: _column(obs, varying, name, "covariates") for name in options.covariates
    }
    batch = options.batch_key
    if batch is not None and batch in obs and batch != key:
        nuisance = {batch: obs[batch].astype(object).where(obs[batch].notna()), **nuisance}
    known = np.ones(len(obs), dtype=bool)
    for name, column in {key: condition, **nuisance}.items():
        lacks = column.isna() | (column.astype(str) == "")
        if lacks.any() and options.missing == "refuse":
            raise InputError(
                f"{name!r} is missing for {int(lacks.sum())} of {len(obs)} donors, "
                f"{obs.index[lacks][0]!r} the first. Give it, or set missing to drop."
            )
        known &= ~lacks.to_numpy()
    levels = _levels(condition[known].astype(str), options, several=several)
    rows = np.flatnonzero(known & condition.astype(str).isin(levels).to_numpy())
    number = pd.Index(levels).get_indexer(pd.Index(condition.iloc[rows].astype(str)))
    donor = donors_of(obs, record)[rows]
    group = donor
    if group_key is not None:
        group = _column(obs, varying, group_key, "group_key").iloc[rows].astype(str).to_numpy()
    for one, level in enumerate(levels):
        side = number == one
        n = len(set(donor[side]))
        if n < min_donors:
            raise InputError(
                f"{key!r} is {level!r} for {n} donor{'s' if n != 1 else ''}, and "
                f"a comparison needs at least {min_donors} of each. Give more donors."
            )
        if len(set(group[side])) < min_donors:
            raise InputError(
                f"{key!r} is {level!r} in {len(set(group[side]))} of {group_key!r}; to hold these "
                f"out there must be at least {min_donors}."
            )
    parts = {name: as_numbers(one.iloc[rows], name) for name, one in nuisance.items()}
    table = pd.concat([pd.DataFrame(index=obs.index[rows]), *parts.values()], axis=1)
    _require_told_apart(number, table, parts, options)
    return Comparison(rows, number, donor, levels, table, group)


def _column(obs: pd.DataFrame, varying: Mapping[str, str], name: str, key: str) -> pd.Series:
    if name in varying:
        raise InputError(
            f"{name!r} is no property of a donor: {varying[name]}. Correct the sheet, or divide "
            f"donors with `--split-by {name}` of `scpress cohort`."
        )
    return column_of(obs, name, key)


def column_of(obs: pd.DataFrame, name: str | None, key: str) -> pd.Series:
    """[units] The column that an option names.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name is None or name not in obs:
        has = ", ".join(map(str, obs.columns)) or "nothing"
        raise InputError(f"{key} names {name!r}, and the donors have {has:.200}. Name one of them.")
    return obs[name]


def numbers_of(obs: pd.DataFrame, column: str | None, key: str) -> np.ndarray:
    """[units] The column of numbers that an option names; NaN where a unit has none.

    Raises
    ------
    InputError
        There is none of that name, or it holds words.
    """
    texts = column_of(obs, column, key).astype(object)
    found = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=float)
    words = texts[texts.notna().to_numpy() & np.isnan(found)]
    if len(words):
        raise InputError(f"{key} names {column!r}, which holds {words.iloc[0]!r} and not a number.")
    return found


def donors_of(obs: pd.DataFrame, record: CohortRecord) -> np.ndarray:
    """[units] Donor of each; a unit that is no part of one is its own."""
    names = obs[record.donor_key] if record.donor_key in obs else obs.index.to_series()
    return names.astype(str).to_numpy()


def _levels(condition: pd.Series, options: ComparisonOptions, *, several: bool) -> tuple[str, ...]:
    found, named = sorted(set(condition)), options.levels
    if len(named) == 1 or (len(named) > 2 and not several) or len(set(named)) != len(named):
        wanted = "two conditions or more" if several else "two conditions"
        raise InputError(f"levels are {wanted}; found {list(named)}.")
    for level in named:
        if level not in found:
            raise InputError(
                f"no donor has {level!r} in {options.condition_key!r}; there are "
                f"{', '.join(found):.200}."
            )
    if len(found) < 2:
        raise InputError(
            f"all donors have one value of {options.condition_key!r}, {', '.join(found)}; a "
            "comparison needs two."
        )
    if len(found) > 2 and not named and not several:
        raise InputError(
            f"{options.condition_key!r} has {len(found)} values, {', '.join(found):.200}; name the "
            "two that are compared in levels."
        )
    return named or tuple(found)


def as_numbers(column: pd.Series, name: str) -> pd.DataFrame:
    """[units, columns] A column as numbers: centred, or a 0 or 1 for each value but the first."""
    if column.dtype.kind in "iuf":
        values = column.astype(np.float64)
        return pd.DataFrame({name: (values - values.mean()) / (values.std() or 1.0)})
    return pd.get_dummies(
        column.astype(str), prefix=name, prefix_sep="=", drop_first=True, dtype=np.float64
    )


def _require_told_apart(
    condition: np.ndarray,
    nuisance: pd.DataFrame,
    parts: Mapping[str, pd.DataFrame],
    options: ComparisonOptions,
) -> None:
    """Check that no condition is a combination of what is held constant."""
    # One column a condition, but for the first.
    columns = [condition == one for one in range(1, condition.max() + 1)]
    for name, part in {**parts, " and ".join(parts): nuisance}.items():
        if _rank(part, *columns) < _rank(part) + len(columns):
            what = "batch" if name == options.batch_key else "what is held constant,"
            raise InputError(
                f"condition {options.condition_key!r} coincides with {what} {name!r}: no "
                "comparison can tell them apart. Compare donors of batches that have both."
            )
    if len(condition) - _rank(nuisance, *columns) < _MIN_FREE:
        raise InputError(
            f"{len(condition)} donors are too few to hold {', '.join(parts)} constant; name fewer "
            "covariates."
        )
