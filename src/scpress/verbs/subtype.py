"""`scpress subtype`: look for supported subtypes within each cell type or cluster."""

import argparse
from pathlib import Path

from scpress.config.options import SubtypeOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--clusters", type=Path, help="clusters.h5ad, for groupby leiden")
    parser.add_argument("--annotation", type=Path, help="annotation.h5ad, for groupby cell_type")
    parser.add_argument("--output", type=Path, required=True, help="subtypes.h5ad to write")
    parser.add_argument("--markers", type=Path, required=True, help="table of markers to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers [0]")


def run(arguments: argparse.Namespace, options: SubtypeOptions) -> None:
    """Find subtypes and write them with their markers."""
    from scpress.io.files import save_table, write_together
    from scpress.io.h5ad import save_h5ad
    from scpress.io.results import read_counts, read_result
    from scpress.steps.subtype import subtype
    from scpress.tables import results

    subtypes, markers = subtype(
        read_counts(arguments.counts),
        read_result(arguments.normalized, results.NORMALIZED),
        read_result(arguments.clusters, results.CLUSTERS) if arguments.clusters else None,
        read_result(arguments.annotation, results.ANNOTATION) if arguments.annotation else None,
        options,
        seed=arguments.seed,
    )
    write_together(
        (arguments.markers, lambda path: save_table(markers, path)),
        (arguments.output, lambda path: save_h5ad(subtypes, path)),
    )
