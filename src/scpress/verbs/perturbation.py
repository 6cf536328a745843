"""`scpress perturbation`: how donors respond to a treatment, and whether they agree."""

import argparse
from pathlib import Path

from scpress.config.response import PerturbationOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument(
        "--cohort",
        type=Path,
        required=True,
        help="cohort.h5ad of donors divided by the treatment (--split-by)",
    )
    parser.add_argument("--output", type=Path, required=True, help="perturbation.json to write")
    parser.add_argument("--responses", type=Path, required=True, help="perturbation.h5ad to write")


def run(arguments: argparse.Namespace, options: PerturbationOptions) -> None:
    """Read, compare, write."""
    from scpress.io.files import save_json, write_together
    from scpress.io.h5ad import save_h5ad
    from scpress.io.results import read_result
    from scpress.steps.perturbation import perturbation
    from scpress.tables.cohort import COHORT

    responses, record = perturbation(read_result(arguments.cohort, COHORT), options)
    write_together(
        (arguments.responses, lambda path: save_h5ad(responses, path)),
        (arguments.output, lambda path: save_json(record.as_plain(), path)),
    )
