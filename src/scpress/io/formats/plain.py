"""How a text file is opened: gzipped or not by its first bytes, without a byte-order mark."""

import gzip
import io
from pathlib import Path
from typing import BinaryIO, TextIO, cast

_GZIP = b"\x1f\x8b"
_MARK = b"\xef\xbb\xbf"


def open_text(path: Path, *, newline: str | None = None) -> TextIO:
    """Open a text file for reading, whatever its name says of its compression.

    Repositories publish plain text under names in .gz, and spreadsheets put a byte-order mark
    before the first name.
    """
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP
    binary = cast(BinaryIO, (gzip.open if is_gzip else open)(path, "rb"))
    try:
        if binary.read(3) != _MARK:
            binary.seek(0)
        return io.TextIOWrapper(binary, encoding="utf-8", newline=newline)
    except BaseException:
        binary.close()
        raise
