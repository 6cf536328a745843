"""What tables of responses to drugs say, long or wide, and tables of drugs' features."""

import csv
import math
from pathlib import Path

import numpy as np
import pandas as pd

from scpress.config.response import DrugResponseOptions
from scpress.errors import InputError, one_line
from scpress.io.files import require_file

_MISSING = ("", "na", "nan", "n/a", "null", "none")
_BYTE_ORDER_MARK = "\ufeff"


def read_responses(path: Path, options: DrugResponseOptions) -> pd.DataFrame:
    """Read responses: long if the header has `drug_key`, else wide with a column for each drug.

    Returns
    -------
    [lines, drugs] NaN where a pair was not measured: an empty cell of a wide table, or a pair that
    a long one does not list.

    Raises
    ------
    InputError
        No such file or table, a value that is no number, a pair that is there twice, or a row of a
        long table without a response where that is not dropped.
    """
    header, rows = _read_table(path)
    if options.drug_key in header:
        keys = (options.line_key, options.drug_key, options.response_key)
        return _read_long(path, header, rows, keys, drop=options.missing == "drop")
    if options.response_key in header:
        raise InputError(
            f"'{path}' has a column {options.response_key!r} and none of drugs, "
            f"{options.drug_key!r}. Name that column in drug_key."
        )
    return _read_wide(path, header, rows, options.line_key, "line")


def read_drug_features(path: Path, options: DrugResponseOptions) -> pd.DataFrame:
    """[drugs, features] Numbers, none of them missing.

    Raises
    ------
    InputError
        As `read_responses`, or a value is missing.
    """
    header, rows = _read_table(path)
    table = _read_wide(path, header, rows, options.drug_key, "drug")
    missing = np.argwhere(table.isna().to_numpy())
    if len(missing):
        row, column = missing[0]
        raise InputError(
            f"'{path}' has no {table.columns[column]!r} of drug {table.index[row]!r}. Give every "
            "drug a number, or leave out the drug or the column."
        )
    return table


def _read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows, all of one length, as texts."""
    require_file(path)
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            first = file.readline().removeprefix(_BYTE_ORDER_MARK)
            delimiter = "\t" if "\t" in first else ","
            header = next(csv.reader([first], delimiter=delimiter), [])
            rows = list(csv.reader(file, delimiter=delimiter, strict=True))
    except (ValueError, IsADirectoryError, csv.Error) as error:
        raise InputError(
            f"'{path}' is not a table separated by tabs or commas ({one_line(str(error))})."
        ) from error
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise InputError(f"column {twice[0]!r} is twice in '{path}'; keep one of them.")
    if not rows:
        raise InputError(f"'{path}' has no rows below its header. Is it the table?")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise InputError(
                f"line {number} of '{path}' has {len(row)} values and its header {len(header)}. Is "
                "the file cut short?"
            )
    return header, rows


def _read_long(
    path: Path, header: list[str], rows: list[list[str]], keys: tuple[str, str, str], *, drop: bool
) -> pd.DataFrame:
    places = [_column(path, header, key) for key in keys]
    found: dict[tuple[str, str], float] = {}
    for number, row in enumerate(rows, start=2):
        line, drug, text = (row[place].strip() for place in places)
        for key, name in zip(keys, (line, drug), strict=False):
            if not name:
                raise InputError(f"line {number} of '{path}' has no {key!r}; give it one.")
        value = _number(text, f"{keys[2]!r} in line {number} of '{path}'")
        if math.isnan(value):
            if drop:
                continue
            raise InputError(
                f"line {number} of '{path}' has no response of line {line!r} to drug {drug!r}. "
                "Give it, or set missing to drop."
            )
        if (line, drug) in found:
            raise InputError(
                f"line {number} of '{path}' is line {line!r} with drug {drug!r} again; keep one "
                "response of each pair, or their mean."
            )
        found[line, drug] = value
    if not found:
        raise InputError(f"no row of '{path}' has a response.")
    of_line, lines = pd.factorize(np.array([line for line, _ in found], dtype=object), sort=True)
    of_drug, drugs = pd.factorize(np.array([drug for _, drug in found], dtype=object), sort=True)
    values = np.full((len(lines), len(drugs)), np.nan)
    values[of_line, of_drug] = list(found.values())
    return pd.DataFrame(values, index=lines, columns=drugs)


def _read_wide(
    path: Path, header: list[str], rows: list[list[str]], key: str, what: str
) -> pd.DataFrame:
    place = _column(path, header, key)
    columns = [name for name in header if name != key]
    names, values = [], np.empty((len(rows), len(columns)))
    seen: set[str] = set()
    for number, row in enumerate(rows, start=2):
        name = row[place].strip()
        if not name:
            raise InputError(f"line {number} of '{path}' has no {key!r}; give it one.")
        if name in seen:
            raise InputError(f"line {number} of '{path}' is {what} {name!r} again; keep one.")
        seen.add(name)
        names.append(name)
        texts = row[:place] + row[place + 1 :]
        for column, text in enumerate(texts):
            values[number - 2, column] = _number(
                text.strip(), f"{columns[column]!r} in line {number} of '{path}'"
            )
    return pd.DataFrame(values, index=pd.Index(names, dtype=object), columns=columns)


def _column(path: Path, header: list[str], key: str) -> int:
    if key not in header:
        has = one_line(", ".join(header))[:120] or "nothing"
        raise InputError(f"'{path}' has no column {key!r}; it has {has}. Name it in the options.")
    return header.index(key)


def _number(text: str, where: str) -> float:
    """A finite number, or NaN for a word that says it is missing."""
    if text.lower() in _MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    # Python reads 1_000 as a number, and few who write it mean one.
    if not math.isfinite(value) or "_" in text:
        raise InputError(f"{where} must be a number; found {text[:60]!r}.")
    return value
