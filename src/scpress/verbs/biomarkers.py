"""`scpress biomarkers`: test the genes of every type between two conditions of donors."""

import argparse
from pathlib import Path

from scpress.config.cohort import BiomarkersOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--cohort", type=Path, required=True, help="cohort.h5ad")
    parser.add_argument("--output", type=Path, required=True, help="biomarkers.tsv to write")
    parser.add_argument("--record", type=Path, required=True, help="biomarkers.json to write")


def run(arguments: argparse.Namespace, options: BiomarkersOptions) -> None:
    """Read, test, write."""
    from scpress.io.files import save_json, save_table, write_together
    from scpress.io.results import read_result
    from scpress.steps.biomarkers import biomarkers
    from scpress.tables.cohort import COHORT

    table, record = biomarkers(read_result(arguments.cohort, COHORT), options)
    write_together(
        (arguments.record, lambda path: save_json(record.as_plain(), path)),
        (arguments.output, lambda path: save_table(table, path)),
    )
