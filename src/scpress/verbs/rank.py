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
    from scpress.io.files import read_json, write_json
    from scpress.steps.rank import rank
    from scpress.tables.search import Search, TrialScores

    standing = Search.from_plain(read_json(arguments.standing), f"'{arguments.standing}'")
    trials = [TrialScores.from_plain(read_json(path), f"'{path}'") for path in arguments.trials]
    write_json(rank(standing, trials).as_plain(), arguments.output)
