"""`scpress thin`: folds of the molecules, to be held out in turn."""

import argparse
from pathlib import Path

from scpress.config.options import ThinOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--output", type=Path, required=True, help="folds.h5ad to write")


def run(arguments: argparse.Namespace, options: ThinOptions) -> None:
    """Read, divide, write."""
    from scpress.io.h5ad import write_h5ad
    from scpress.io.results import read_counts, read_result
    from scpress.steps.thin import thin
    from scpress.tables.results import NORMALIZED

    counts, normalized = (
        read_counts(arguments.counts),
        read_result(arguments.normalized, NORMALIZED),
    )
    write_h5ad(thin(counts, normalized, options), arguments.output)
