"""How a file is written so that it is either whole or not there."""

import errno
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from scpress.errors import InputError

# What the system says when a place cannot be written; the user can do something about each.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name whose file takes the place of `path` if the block ends well.

    Raises
    ------
    InputError
        The disk is full, or the place cannot be written; nothing is left there.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_path(path)
        try:
            yield temporary
            # safetensors makes files only the owner can read; a result is for whom the umask says.
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise_unwritable(error, path)


def write_together(*outputs: tuple[Path, Callable[[Path], Any]]) -> None:
    """Write what belongs together; the last output is the one that says that all is there.

    All are whole before the first takes its place, and the old last one goes before that: where a
    process is killed in between, there is no last one, and the next run writes all of them.

    Parameters
    ----------
    outputs
        Paths, and what writes a file of each to the path it is given.

    Raises
    ------
    InputError
        The disk is full, or a place cannot be written; nothing is left there.
    """
    with ExitStack() as stack:
        # What is entered last takes its place first.
        places = [stack.enter_context(atomic_path(path)) for path, _ in outputs[::-1]]
        for (path, write), temporary in zip(outputs[::-1], places, strict=True):
            try:
                write(temporary)
            except OSError as error:
                raise_unwritable(error, path)
        Path(outputs[-1][0]).unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """Give the name that `path`, a file or a folder, has beside its place until it is whole.

    What processes of this host that were killed left under such names is removed.
    """
    prefix = _temporary_prefix(path)
    with suppress(OSError):
        for name in os.listdir(path.parent):
            number = name.removeprefix(prefix).removesuffix(".tmp")
            if name == f"{prefix}{number}.tmp" and number.isdecimal() and _is_gone(int(number)):
                _remove(path.with_name(name))
    return path.with_name(f"{prefix}{os.getpid()}.tmp")


def remove_temporary(path: Path, process: int) -> None:
    """Remove what a process of this host that has ended left beside the place of `path`."""
    if path.name:
        _remove(path.with_name(f"{_temporary_prefix(path)}{process}.tmp"))


def _temporary_prefix(path: Path) -> str:
    # Another host, or container, on the same file system has processes of the same numbers.
    return f".{path.name}.{_host_digest()}."


def _host_digest() -> str:
    """Eight characters that are the same for processes that see each other's numbers."""
    try:
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux, no containers
        numbers = ""
    return hashlib.sha256(f"{socket.gethostname()} {numbers}".encode()).hexdigest()[:8]


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # another user's, or no number of a process
        return False
    return False


def _remove(left: Path) -> None:
    with suppress(OSError):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink()


def raise_unwritable(error: OSError, path: Path | str | None) -> NoReturn:
    """Raise an error of the system as one line for the user where they can do something about it.

    Raises
    ------
    InputError
        The disk is full, or the place cannot be written.
    OSError
        The error itself, where it is of another kind.
    """
    if error.errno not in (*_FULL, *_CLOSED):
        raise error
    advice = "Free some space" if error.errno in _FULL else "Check the path and its permissions,"
    where = f" '{path}'" if path else ""
    raise InputError(
        f"cannot write{where}: {os.strerror(error.errno)}. {advice} or write elsewhere; "
        "nothing half-written was left."
    ) from error


def raise_unreadable(error: OSError, path: Path) -> NoReturn:
    """Raise an error of the system that says nothing about what is in the file.

    Raises
    ------
    InputError
        The file may not be read.
    OSError
        The error itself, where it is of another kind.
    """
    if error.errno not in (errno.EACCES, errno.EPERM):
        raise error
    raise InputError(
        f"cannot read '{path}': {os.strerror(error.errno)}. Check its permissions."
    ) from error


def save_json(value: Any, path: Path) -> None:
    """Write a value as sorted, indented JSON, in place."""
    Path(path).write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def save_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as TSV without its index, in place."""
    table.to_csv(path, sep="\t", index=False)


def write_json(value: Any, path: Path) -> None:
    """Write a value as sorted, indented JSON."""
    with atomic_path(path) as temporary:
        save_json(value, temporary)


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises
    ------
    InputError
        No such file, or not JSON.
    """
    require_file(path)
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError, IsADirectoryError) as error:
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


def require_file(path: Path) -> None:
    """Check that a path exists.

    Raises
    ------
    InputError
        It does not.
    """
    if not Path(path).exists():
        raise InputError(f"no such file: '{path}'. Check the path.")
