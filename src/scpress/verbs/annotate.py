"""`scpress annotate`: name the cell types and list the marker genes of the clusters."""

import argparse
from pathlib import Path

from scpress.config.options import AnnotateOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--clusters", type=Path, required=True, help="clusters.h5ad")
    parser.add_argument("--names", type=Path, help="reference.h5ad, where `reference` named cells")
    parser.add_argument("--output", type=Path, required=True, help="annotation.h5ad to write")
    parser.add_argument("--markers", type=Path, required=True, help="markers.tsv to write")


def run(arguments: argparse.Namespace, options: AnnotateOptions) -> None:
    """Read, annotate, write."""
    from scpress.errors import InputError
    from scpress.io.files import save_table, write_together
    from scpress.io.h5ad import save_h5ad
    from scpress.io.panel import read_panel
    from scpress.io.results import read_counts, read_result
    from scpress.steps.annotate import annotate
    from scpress.tables import results

    if options.reference is not None and arguments.names is None:
        raise InputError(
            f"the cells are to be named by '{options.reference}'; run `scpress reference` with it "
            "and give its output as --names."
        )
    annotation, markers = annotate(
        read_counts(arguments.counts),
        read_result(arguments.normalized, results.NORMALIZED),
        read_result(arguments.clusters, results.CLUSTERS),
        None if options.labels_column is not None else read_panel(options.panel),
        options,
        named=arguments.names and read_result(arguments.names, results.REFERENCE),
    )
    write_together(
        (arguments.markers, lambda path: save_table(markers, path)),
        (arguments.output, lambda path: save_h5ad(annotation, path)),
    )
