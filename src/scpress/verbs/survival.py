"""`scpress survival`: predict the hazard of donors held out."""

import argparse
from pathlib import Path

from scpress.config.cohort import SurvivalOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--cohort", type=Path, required=True, help="cohort.h5ad")
    parser.add_argument("--output", type=Path, required=True, help="survival.json to write")
    parser.add_argument("--risks", type=Path, required=True, help="table of donors to write")


def run(arguments: argparse.Namespace, options: SurvivalOptions) -> None:
    """Read, predict, write."""
    from scpress.io.files import save_json, save_table, write_together
    from scpress.io.results import read_result
    from scpress.steps.survival import survival
    from scpress.tables.cohort import COHORT

    risks, record = survival(read_result(arguments.cohort, COHORT), options)
    write_together(
        (arguments.risks, lambda path: save_table(risks, path)),
        (arguments.output, lambda path: save_json(record.as_plain(), path)),
    )
