"""How many threads, which device, how much memory at a time: the few facts every step shares."""

import atexit
import os
import shutil
import stat
import tempfile
from pathlib import Path

from scpress.errors import InputError

# Rows of a sparse matrix are read, checked and written in blocks of about this many bytes,
# so a million cells need no more memory than a thousand. Tests lower it.
chunk_bytes = 64 * 2**20

DEVICES = ("auto", "cpu", "cuda")
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def set_threads(threads: int) -> None:
    """Fix the number of threads of BLAS, numba and torch; call before they are imported.

    The bits of a float sum depend on the number of threads, so it is configuration and never
    taken from the machine.
    """
    if threads < 1:
        raise InputError(f"threads must be at least 1; found {threads}.")
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)


def set_cache_directories() -> None:
    """Give numba, triton and matplotlib a cache of the user's own, or of this process alone.

    numba and triton run the code they find in it, so nobody else may be able to put some there.

    Raises
    ------
    InputError
        No folder for temporary files can be written.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise InputError(
            f"no temporary file can be written ({error.strerror}). Is the disk full? "
            "Free some space, or set TMPDIR to a folder with some."
        ) from error
    wanted = {
        "NUMBA_CACHE_DIR": "numba",
        "TRITON_CACHE_DIR": "triton",
        "MPLCONFIGDIR": "matplotlib",
    }
    missing = [name for name in wanted if name not in os.environ]
    if not missing:
        return
    cache = _users_cache()
    if not _is_private(cache):
        cache = Path(tempfile.mkdtemp(prefix="scpress-cache-"))
        atexit.register(shutil.rmtree, cache, ignore_errors=True)
    for name in missing:
        os.environ[name] = str(cache / wanted[name])


def _users_cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME", "")
    # The specification of XDG says to pass over a relative path.
    parent = given if os.path.isabs(given) else os.path.expanduser("~/.cache")
    return Path(parent) / "scpress"


def _is_private(folder: Path) -> bool:
    """Whether a folder, which is made where it is missing, is one that only we can write."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return False
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return False
        # A home may be read-only or its quota used up, for which numba has a traceback.
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
