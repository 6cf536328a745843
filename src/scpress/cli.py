"""Which verbs there are, what their flags are, and how an error reaches the user."""

import argparse
import errno
import importlib
import logging
import sys
from importlib.metadata import version

from scpress import settings
from scpress.errors import FitFailedError, InputError
from scpress.options import VERBS, add_flags, options_from

# Verbs without options of their own; the sentence is their help line.
PLAIN_VERBS = {
    "export": "Write a trained scvi-preset model as a directory that scvi-tools loads.",
    "demo": "Write the raw counts of the demo sample.",
}


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 2 for bad input, 3 for a fit that failed."""
    argv = sys.argv[1:] if argv is None else argv
    parser, verbs = _verb_parser()
    if not argv or argv[0] not in verbs.choices:
        parser.parse_args(argv or ["--help"])
    verb = argv[0]
    module = importlib.import_module(f"scpress.verbs.{verb}")
    verb_parser = verbs.choices[verb]
    module.add_arguments(verb_parser)
    if verb in VERBS:
        add_flags(verb_parser.add_argument_group("options"), VERBS[verb])
    verb_parser.add_argument("--threads", type=int, default=1, help="threads of all libraries [1]")
    arguments = parser.parse_args(argv)
    log = logging.getLogger("scpress")
    log.setLevel(logging.INFO)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"scpress {verb}: %(message)s"))
    log.handlers[:] = [handler]
    try:
        settings.set_threads(arguments.threads)
        settings.set_cache_directories()
        if verb in VERBS:
            module.run(arguments, options_from(arguments, VERBS[verb]))
        else:
            module.run(arguments)
    except (InputError, FitFailedError) as error:
        print(f"scpress {verb}: error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        where = f" '{error.filename}'" if error.filename else ""
        print(
            f"scpress {verb}: error: cannot write{where}: {error.strerror}. "
            "Free some space or write elsewhere; nothing half-written was left.",
            file=sys.stderr,
        )
        return 2
    return 0


def _verb_parser() -> tuple[argparse.ArgumentParser, argparse._SubParsersAction]:
    parser = argparse.ArgumentParser(
        prog="scpress", description="Raw single-cell counts to a compressed, clustered AnnData."
    )
    parser.add_argument("--version", action="version", version=f"scpress {version('scpress')}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    helps = {verb: (options.__doc__ or "").splitlines()[0] for verb, options in VERBS.items()}
    for verb, text in (helps | PLAIN_VERBS).items():
        verbs.add_parser(verb, help=text, description=text)
    return parser, verbs
