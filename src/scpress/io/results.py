"""Our own h5ad files between steps, checked as they are read."""

from pathlib import Path
from typing import TypeVar

from anndata import AnnData

from scpress import slots
from scpress.io.files import read_json
from scpress.io.h5ad import read_h5ad
from scpress.tables.records import Record
from scpress.tables.results import COUNTS, Result

R = TypeVar("R", bound=Record)


def read_result(path: Path, result: Result, *, backed: bool = False) -> AnnData:
    """Read a file that a step wrote, or that was made in Python.

    What has no record is not of a verb: names must tell its cells and genes apart, and each step
    checks what it reads. A matrix that stays on disk is checked where it is walked over.

    Raises
    ------
    InputError
        No such file, a damaged one, or one that is not as its schema says.
    """
    adata = read_h5ad(path, backed=backed)
    if slots.RECORD.name in adata.uns:
        result.require(adata, f"'{path}'")
    slots.require_unique(adata, f"'{path}'")
    return adata


def read_counts(path: Path) -> AnnData:
    """Open counts, whose matrix stays on disk; as `read_result`."""
    return read_result(path, COUNTS, backed=True)


def read_record(path: Path, kind: type[R]) -> R:
    """One table of our own from its JSON file.

    Raises
    ------
    InputError
        No such file, no JSON, or not what the table is; names the file and the key.
    """
    return kind.from_plain(read_json(path), f"'{path}'")
