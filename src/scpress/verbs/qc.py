"""`scpress qc`: mark the cells of one sample that are kept."""

import argparse
from pathlib import Path

from scpress.config.options import QcOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad of the sample")
    parser.add_argument("--output", type=Path, required=True, help="qc.h5ad to write")


def run(arguments: argparse.Namespace, options: QcOptions) -> None:
    """Read the counts block by block and write the verdict on every cell."""
    from scpress.io.h5ad import write_h5ad
    from scpress.io.results import read_counts
    from scpress.steps.qc import qc

    write_h5ad(qc(read_counts(arguments.counts), options), arguments.output)
