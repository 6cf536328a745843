"""The loops that compute on the CPU, and the layers over them.

Every function has a plain torch twin (`likelihoods`, `network`) that runs where numba or the CPU is
not what computes; tests compare the two. Loops are written so that LLVM vectorizes them: few arrays
each (it gives up when too many could overlap), no branch, reductions in their own functions. The
cells are cut into a fixed number of chunks, so the bits do not depend on the number of threads.
"""

import os
from pathlib import Path

from scpress.settings import set_cache_directories

_FOLDER = Path(__file__).parent


def _renew_cache() -> None:
    """Make an edit of any file here count for the functions of all of them.

    numba compiles a function anew when the file it stands in has changed; what is inlined from
    another file (`arithmetic`) it does not look at, and would go on with the old machine code.
    """
    times = {path: path.stat().st_mtime_ns for path in _FOLDER.glob("*.py")}
    for path, changed in times.items():
        if changed < max(times.values()):
            os.utime(path, ns=(max(times.values()),) * 2)


# A package that was installed for everybody has no folder of its own for the compiled loops.
if os.access(_FOLDER, os.W_OK):
    _renew_cache()
else:
    set_cache_directories()
