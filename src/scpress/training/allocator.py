"""How large blocks of memory stay with the process between steps."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def large_blocks_stay() -> Iterator[None]:
    """Let glibc keep blocks of megabytes for the next time instead of giving them back.

    A validation, and a step by autograd, ask for the same blocks as the one before; each that comes
    new from the system costs a fault per page, a sixth of a step of 128 cells x 2,000 genes.
    """
    m_trim_threshold, m_mmap_threshold = -1, -3
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another libc
        mallopt = None
    if mallopt is not None:
        mallopt(m_mmap_threshold, 32 * 2**20)
        mallopt(m_trim_threshold, 512 * 2**20)
    try:
        yield
    finally:
        if mallopt is not None:
            mallopt(m_mmap_threshold, 128 * 2**10)
            mallopt(m_trim_threshold, 128 * 2**10)
