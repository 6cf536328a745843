"""How a library that crashes on a damaged file ends with one line, and not the command with it.

libhdf5 may end the process on a file whose inner tables are damaged. So a verb works in a child
process, and the command waits for it: it passes signals on, and ends as the child ends.
"""

import ctypes
import mmap
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT)
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_PR_SET_PDEATHSIG = 1
_NOTE_BYTES = 4096

# Shared with the child: the file that it opened last.
_note: mmap.mmap | None = None


def note_reading(path: Path) -> None:
    """Remember which file is about to be read, for whoever has to say what a crash was about."""
    if _note is not None:
        name = os.fsencode(path)[: _NOTE_BYTES - 1]
        _note[: len(name) + 1] = name + b"\0"


def run_apart(work: Callable[[], int], say: Callable[[int, int, str], int]) -> int:
    """Do the work in a child process, where there can be one.

    Parameters
    ----------
    work
        Returns the exit code; it runs in the child, in which this function never returns.
    say
        Called after a crash with the child's number, the signal and the file read last ("" for
        none); returns the exit code.

    Returns
    -------
    int
        The exit code. If another signal ended the child, it ends this process, too.
    """
    global _note
    if not hasattr(os, "fork"):
        return work()
    _note = mmap.mmap(-1, _NOTE_BYTES)
    parent = os.getpid()
    # What comes before both are ready for it waits.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    child = os.fork()
    if not child:
        _end_with(parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        sys.exit(work())
    for one in _PASSED_ON:
        # What is ignored (nohup) is so by the child, too.
        signal.signal(one, lambda number, _: _pass_on(child, number))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        return os.waitstatus_to_exitcode(status)
    number = os.WTERMSIG(status)
    if number in CRASHES:
        return say(child, number, os.fsdecode(_note[:].partition(b"\0")[0]))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number  # a signal that this process has blocked


def _pass_on(child: int, number: int) -> None:
    try:
        os.kill(child, number)
    except ProcessLookupError:
        return


def _end_with(parent: int) -> None:
    """Let the kernel end this process if its parent is killed; only Linux does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
