"""Which verbs there are, what their flags are, and how an error reaches the user."""

import argparse
import difflib
import errno
import importlib
import logging
import math
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from scpress import settings, slurm
from scpress.config.fields import MAX_SEED, require_name
from scpress.config.flags import add_flags, options_from
from scpress.config.options import VERBS
from scpress.errors import FitFailedError, InputError, InterruptedTrainingError, one_line

# Verbs without options of their own; the sentence is their help line.
PLAIN_VERBS = {
    "likelihood": "Choose the likelihood of a model by molecules that were held out.",
    "trial": "Train one setting of a search on a part of the molecules and score it on the others.",
    "rank": "Rank the settings of a search, and choose those of the model at its end.",
    "score": "Train a model on a part of the molecules and score it on the others.",
    "ensemble": "Score all seeds of a model together on molecules that were held out.",
    "unpack": "Write an archive as the h5ad it was, as zarr, or as a 10x folder.",
    "verify": "Check every byte of an archive, and its counts against what was packed.",
    "inspect": "Tell what an archive holds, and what each part of it costs in bytes.",
    "export": "Write a trained scvi-preset model as a directory that scvi-tools loads.",
    "demo": "Write the raw counts of the demo sample.",
    "doctor": "Check this machine, the cluster and the input before a long run.",
}

# HDF5 writes through Python there, and may end the process where that fails while a file is closed.
_HDF5_MODULE = "scpress.io.hdf5"
# What a verb is run in, and what is needed after a crash alone, as it is slow to import.
_CRASHES_MODULE, _FILES_MODULE = "scpress.io.crashes", "scpress.io.files"


def command() -> int:
    """Run the verb of the command line; returns the exit code of `main`.

    What a library warns of is not above our error line, whichever filters it sets: -W and
    PYTHONWARNINGS show the warnings. A library that crashes is one line, too.
    """
    if not sys.warnoptions:
        warnings.showwarning = _say_nothing
    crashes = importlib.import_module(_CRASHES_MODULE)
    return crashes.run_apart(lambda: main(sys.argv[1:]), _say_crash)


def _say_crash(process: int, number: int, path: str) -> int:
    """Say what a library crashed at and remove what the process had half-written."""
    verb, words = sys.argv[1], sys.argv[2:]
    files = importlib.import_module(_FILES_MODULE)
    for word in words:
        files.remove_temporary(Path(word.rpartition("=")[2]), process)
    name = signal.Signals(number).name
    print(
        f"scpress {verb}: error: a library crashed ({name})"
        + (f" after '{path}' was opened, which may be damaged" if path else "")
        + ". Copy or download the input again; nothing half-written was left.",
        file=sys.stderr,
    )
    return 2


def main(argv: list[str]) -> int:
    """Run one verb; returns the exit code: 0, 2 for bad input, 3 for a failed fit, 128 + signal."""
    parser, verbs = _verb_parser()
    if not argv or argv[0].startswith("-"):
        parser.parse_args(argv or ["--help"])
    verb = argv[0]
    if verb not in verbs.choices:
        parser.error(f"unknown verb {verb!r}{_did_you_mean(verb, verbs.choices)}")
    module = importlib.import_module(f"scpress.verbs.{verb}")
    verb_parser = verbs.choices[verb]
    module.add_arguments(verb_parser)
    if verb in VERBS:
        add_flags(verb_parser.add_argument_group("options"), VERBS[verb])
    verb_parser.add_argument("--threads", type=int, default=1, help="threads of all libraries [1]")
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        flags = [flag for action in verb_parser._actions for flag in action.option_strings]
        verb_parser.error(f"unknown argument {unknown[0]!r}{_did_you_mean(unknown[0], flags)}")
    log = logging.getLogger("scpress")
    log.setLevel(logging.INFO)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"scpress {verb}: %(message)s"))
    log.handlers[:] = [handler]
    try:
        _require_seed_and_model(arguments)
        settings.set_threads(arguments.threads)
        with _Signals():
            settings.set_cache_directories()
            if verb in VERBS:
                module.run(arguments, options_from(arguments, VERBS[verb]))
            else:
                module.run(arguments)
    except _EndedError as end:
        name = signal.Signals(end.number).name
        print(f"scpress {verb}: ended by {name}; nothing half-written was left.", file=sys.stderr)
        return 128 + end.number
    except (InputError, FitFailedError) as error:
        print(f"scpress {verb}: error: {one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except InterruptedTrainingError as stop:
        print(f"scpress {verb}: {stop}", file=sys.stderr)
        if job := slurm.requeue_at_time_limit():
            print(f"scpress {verb}: time limit: job {job} is queued again.", file=sys.stderr)
        return stop.exit_code
    except OSError as error:
        # Of files a step makes for itself; those of the outputs are InputErrors by now.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
            raise
        where = f" '{error.filename}'" if error.filename else ""
        print(
            f"scpress {verb}: error: cannot write{where}: {error.strerror}. "
            "Free some space or write elsewhere; nothing half-written was left.",
            file=sys.stderr,
        )
        return 2
    return 0


def _say_nothing(*_: object, **__: object) -> None:
    """Show no warning."""


def _require_seed_and_model(arguments: argparse.Namespace) -> None:
    """Check what is no option of a verb and yet a flag of several."""
    seed, model = getattr(arguments, "seed", 0), getattr(arguments, "model", None)
    if seed < 0:
        raise InputError(f"seed must be at least 0; found {seed}.")
    if seed > MAX_SEED:
        raise InputError(f"seed must be at most {MAX_SEED}; found {seed}.")
    if model is not None:
        require_name(model, "the model")


class _EndedError(BaseException):
    """A signal asked the process to end; not an Exception, which a library may go on after."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


class _Signals:
    """Within it SIGTERM and SIGINT unwind the stack, so that what is half-written is removed.

    A training, and a library, may catch them in their own way in the meantime.
    """

    # A terminal and a scheduler may both send one, and the second must not end the cleaning up.
    _GRACE_SECONDS = 5.0
    _ASK_AGAIN_SECONDS = 0.02

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._number: int | None = None
        self._since = -math.inf

    def __enter__(self) -> None:
        # Python runs handlers in the main thread only, and lets no other install them.
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            # What is ignored (nohup) stays so.
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                self._before[number] = signal.signal(number, self._end)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        # An error of what was cut short is not what ended the verb.
        if kind not in (None, _EndedError, InterruptedTrainingError) and self._number is not None:
            raise _EndedError(self._number) from None

    def _end(self, number: int, frame: FrameType | None) -> None:
        if _is_called_by_c(frame):
            again = threading.Timer(self._ASK_AGAIN_SECONDS, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        now = time.monotonic()
        if now - self._since < self._GRACE_SECONDS:
            return
        self._number, self._since = number, now
        raise _EndedError(number)


def _is_called_by_c(frame: FrameType | None) -> bool:
    """Whether an exception raised now would be lost, or be no error that HDF5 can live with."""
    while frame is not None:
        if frame.f_code.co_name == "__del__" or frame.f_globals.get("__name__") == _HDF5_MODULE:
            return True
        frame = frame.f_back
    return False


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong; the usage of a verb with thirty flags would hide it."""

    def error(self, message: str) -> NoReturn:
        end = "" if message.endswith("?") else "."
        self.exit(2, f"{self.prog}: error: {message}{end} See `{self.prog} --help`.\n")


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word.partition("=")[0], list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _verb_parser() -> tuple[argparse.ArgumentParser, argparse._SubParsersAction]:
    parser = _Parser(
        prog="scpress", description="Raw single-cell counts to a compressed, clustered AnnData."
    )
    parser.add_argument("--version", action="version", version=f"scpress {version('scpress')}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    helps = {verb: (options.__doc__ or "").splitlines()[0] for verb, options in VERBS.items()}
    for verb, text in (helps | PLAIN_VERBS).items():
        verbs.add_parser(verb, help=text, description=text, allow_abbrev=False)
    return parser, verbs
