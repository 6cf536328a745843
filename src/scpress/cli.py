"""Which verbs there are, what their flags are, and how an error reaches the user."""

import argparse
import difflib
import errno
import importlib
import logging
import sys
from collections.abc import Iterable
from importlib.metadata import version
from typing import NoReturn

from scpress import settings, slurm
from scpress.config.flags import add_flags, options_from
from scpress.config.options import VERBS
from scpress.errors import FitFailedError, InputError, InterruptedTrainingError

# Verbs without options of their own; the sentence is their help line.
PLAIN_VERBS = {
    "export": "Write a trained scvi-preset model as a directory that scvi-tools loads.",
    "demo": "Write the raw counts of the demo sample.",
    "doctor": "Check this machine, the cluster and the input before a long run.",
}


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 2 for bad input, 3 for a failed fit, 128 + signal."""
    argv = sys.argv[1:] if argv is None else argv
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
        if getattr(arguments, "seed", 0) < 0:
            raise InputError(f"seed must be at least 0; found {arguments.seed}.")
        settings.set_threads(arguments.threads)
        settings.set_cache_directories()
        if verb in VERBS:
            module.run(arguments, options_from(arguments, VERBS[verb]))
        else:
            module.run(arguments)
    except (InputError, FitFailedError) as error:
        print(f"scpress {verb}: error: {error}", file=sys.stderr)
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
