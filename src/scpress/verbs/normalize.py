"""`scpress normalize`: size factors and the genes to model."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from scpress.config.options import NormalizeOptions
from scpress.config.scores import AUTO


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad of all samples")
    parser.add_argument(
        "--genes", type=Path, help="genes.json that says what n_top_genes and flavor auto are"
    )
    parser.add_argument("--output", type=Path, required=True, help="normalized.h5ad to write")


def run(arguments: argparse.Namespace, options: NormalizeOptions) -> None:
    """Read the counts block by block and write what was measured."""
    from scpress.io.files import read_lines
    from scpress.io.h5ad import write_h5ad
    from scpress.io.results import read_counts, read_record
    from scpress.steps.normalize import normalize
    from scpress.tables.genes import GenesChoice

    if arguments.genes and AUTO in (options.n_top_genes, options.flavor):
        choice = read_record(arguments.genes, GenesChoice)
        chosen = None if choice.chosen == choice.n_all else choice.chosen
        options = replace(options, n_top_genes=chosen, flavor=choice.flavor)
        logging.getLogger("scpress").info(
            "%d genes of %s, by molecules held out", choice.chosen, choice.flavor
        )
    gene_list = None if options.gene_list is None else read_lines(Path(options.gene_list))
    counts = read_counts(arguments.counts)
    write_h5ad(normalize(counts, options, gene_list=gene_list), arguments.output)
