"""`scpress classify`: predict a condition of donors held out."""

import argparse
from pathlib import Path

from scpress.config.cohort import ClassifyOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--cohort", type=Path, required=True, help="cohort.h5ad")
    parser.add_argument("--output", type=Path, required=True, help="classification.json to write")
    parser.add_argument("--weights", type=Path, required=True, help="table of weights to write")


def run(arguments: argparse.Namespace, options: ClassifyOptions) -> None:
    """Read, predict, write."""
    from scpress.io.files import save_json, save_table, write_together
    from scpress.io.results import read_result
    from scpress.steps.classify import classify
    from scpress.tables.cohort import COHORT

    weights, record = classify(read_result(arguments.cohort, COHORT), options)
    write_together(
        (arguments.weights, lambda path: save_table(weights, path)),
        (arguments.output, lambda path: save_json(record.as_plain(), path)),
    )
