"""How a text file is opened: gzipped or not by its first bytes, without a byte-order mark."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from scpress.errors import InputError
from scpress.io.guards import DAMAGED, require_plain

_GZIP = b"\x1f\x8b"
_MARK = b"\xef\xbb\xbf"


def open_text(path: Path, *, newline: str | None = None) -> TextIO:
    """Open a text file for reading, whatever its name says of its compression.

    Repositories publish plain text under names in .gz, and spreadsheets put a byte-order mark
    before the first name. A NUL byte is an error and not the end of a word, and a pipe is refused.
    """
    require_plain(path)
    with path.open("rb") as file:
        is_gzip = file.read(2) == _GZIP
    binary = cast(BinaryIO, (gzip.open if is_gzip else open)(path, "rb"))
    try:
        if binary.read(3) != _MARK:
            binary.seek(0)
        return _Text(binary, str(path), newline)
    except BaseException:
        binary.close()
        raise


class _Text(io.TextIOWrapper):
    def __init__(self, raw: BinaryIO, name: str, newline: str | None):
        super().__init__(raw, encoding="utf-8", newline=newline)
        self._path = name

    def read(self, size: int | None = -1, /) -> str:
        return self._checked(lambda: super(_Text, self).read(-1 if size is None else size))

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        return self._checked(lambda: super(_Text, self).readline(size))

    def __next__(self) -> str:  # type: ignore[override]
        return self._checked(super().__next__)

    def _checked(self, read: Callable[[], str]) -> str:
        try:
            text = read()
        except UnicodeDecodeError as error:
            raise InputError(
                f"'{self._path}' holds the byte 0x{error.object[error.start]:02x}, which is no "
                "text in UTF-8. Was it written in Latin-1 or UTF-16? Write it again in UTF-8."
            ) from error
        if "\0" in text:
            raise InputError(f"'{self._path}' holds a NUL byte, so it is not a text. {DAMAGED}")
        return text
