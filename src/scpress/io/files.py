"""How a file is written so that it is either whole or not there."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from scpress.errors import InputError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name whose file takes the place of `path` if the block ends well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(value: Any, path: Path) -> None:
    """Write a value as sorted, indented JSON."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises
    ------
    InputError
        No such file, or not JSON.
    """
    require_file(path)
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:
        raise InputError(f"'{path}' is not JSON: {error}.") from error


def read_lines(path: Path) -> list[str]:
    """Read a list: one word a line, without empty lines and those that start with `#`.

    Raises
    ------
    InputError
        No such file, not text, or nothing in it.
    """
    require_file(path)
    try:
        lines = [line.strip() for line in Path(path).read_text().splitlines()]
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise InputError(f"'{path}' is not a text file ({error}). Check the path.") from error
    words = [line for line in lines if line and not line.startswith("#")]
    if not words:
        raise InputError(f"'{path}' lists nothing; one name a line is needed.")
    return words


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as TSV without its index."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False)


def require_file(path: Path) -> None:
    """Check that a path exists.

    Raises
    ------
    InputError
        It does not.
    """
    if not Path(path).exists():
        raise InputError(f"no such file: '{path}'. Check the path.")
