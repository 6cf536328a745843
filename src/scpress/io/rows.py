"""Our own tables of rows between steps (TSV), checked as they are read."""

import csv
import dataclasses
from pathlib import Path

import pandas as pd

from scpress.io.files import require_file
from scpress.tables.records import Record


def read_rows(path: Path, kind: type[Record]) -> pd.DataFrame:
    """Read a table that a step wrote, one record a row.

    Raises
    ------
    InputError
        No such file, no such table, or a value that its column cannot have.
    """
    require_file(path)
    try:
        # Not by pandas, which fills up short lines and takes some words for missing values.
        with Path(path).open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, delimiter="\t", strict=True))
    except (ValueError, IsADirectoryError, csv.Error) as error:
        raise kind.refusal(f"'{path}' is not a table separated by tabs ({error})") from error
    header = lines[0] if lines else []
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    # A column that has a default may lack: not every table has something to say there.
    wanted = [f.name for f in fields if f.default is dataclasses.MISSING or f.name in header]
    lacking = [name for name in wanted if header.count(name) != 1]
    if lacking:
        has = ", ".join(header) or "nothing"
        raise kind.refusal(f"the table '{path}' lacks {', '.join(lacking)}; it has {has}")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise kind.refusal(
                f"line {number} of '{path}' has {len(line)} fields and the first {len(header)}"
            )
        values = dict(zip(header, line, strict=True))
        rows.append(kind.from_texts(values, f"line {number} of '{path}'"))
    return pd.DataFrame([vars(row) for row in rows], columns=wanted)
