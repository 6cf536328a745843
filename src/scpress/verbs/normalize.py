"""`scpress normalize`: size factors and the genes to model."""

import argparse
from pathlib import Path

from scpress.config.options import NormalizeOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad of all samples")
    parser.add_argument("--output", type=Path, required=True, help="normalized.h5ad to write")


def run(arguments: argparse.Namespace, options: NormalizeOptions) -> None:
    """Read the counts block by block and write what was measured."""
    from scpress.io.files import read_lines
    from scpress.io.h5ad import write_h5ad
    from scpress.io.results import read_counts
    from scpress.steps.normalize import normalize

    gene_list = None if options.gene_list is None else read_lines(Path(options.gene_list))
    counts = read_counts(arguments.counts)
    write_h5ad(normalize(counts, options, gene_list=gene_list), arguments.output)
