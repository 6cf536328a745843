"""`scpress choose`: the scores of all models and baselines, and which model to build on."""

import argparse
from pathlib import Path

from scpress.config.options import ChooseOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument(
        "--scores",
        type=Path,
        nargs="+",
        required=True,
        help="scores.json of every model and seed, the preferred models first",
    )
    parser.add_argument(
        "--ensembles",
        type=Path,
        nargs="*",
        default=[],
        help="ensemble.json of every model with several seeds",
    )
    parser.add_argument("--baselines", type=Path, required=True, help="baselines.json")
    parser.add_argument("--output", type=Path, required=True, help="choice.json to write")


def run(arguments: argparse.Namespace, options: ChooseOptions) -> None:
    """Read, compare, write."""
    from scpress.io.files import write_json
    from scpress.io.results import read_record
    from scpress.steps.choose import choose
    from scpress.tables.scores import Scores

    models = [read_record(path, Scores) for path in arguments.scores]
    baselines = read_record(arguments.baselines, Scores)
    ensembles = [read_record(path, Scores) for path in arguments.ensembles]
    choice = choose(models, baselines, options, ensembles=ensembles)
    write_json(choice.as_plain(), arguments.output)
