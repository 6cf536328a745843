"""`scpress rank`: which settings of a search go on, and which are chosen."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument(
        "--standing", type=Path, required=True, help="what `search` or the last `rank` wrote"
    )
    parser.add_argument(
        "--trials", type=Path, nargs="+", required=True, help="what `trial` wrote for each place"
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")


def run(arguments: argparse.Namespace) -> None:
    """Read, rank, write."""
    from scpress.io.files import write_json
    from scpress.io.results import read_record
    from scpress.steps.rank import rank
    from scpress.tables.search import Search, TrialScores

    standing = read_record(arguments.standing, Search)
    trials = [read_record(path, TrialScores) for path in arguments.trials]
    write_json(rank(standing, trials).as_plain(), arguments.output)
