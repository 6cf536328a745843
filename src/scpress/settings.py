"""How many threads, which device, how much memory at a time: the few facts every step shares."""

import os
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
    """Give numba and matplotlib a writable cache where the home directory may be read-only.

    Raises
    ------
    InputError
        No folder for temporary files can be written.
    """
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise InputError(
            f"no temporary file can be written ({error.strerror}). Is the disk full? "
            "Free some space, or set TMPDIR to a folder with some."
        ) from error
    cache = Path(folder) / f"scpress-cache-{os.getuid()}"
    for name, part in (("NUMBA_CACHE_DIR", "numba"), ("MPLCONFIGDIR", "matplotlib")):
        os.environ.setdefault(name, str(cache / part))
