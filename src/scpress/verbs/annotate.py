"""`scpress annotate`: name the cell types and list the marker genes of the clusters."""

import argparse
from pathlib import Path

from scpress.config.options import AnnotateOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--clusters", type=Path, required=True, help="clusters.h5ad")
    parser.add_argument("--output", type=Path, required=True, help="annotation.h5ad to write")
    parser.add_argument("--markers", type=Path, required=True, help="markers.tsv to write")


def run(arguments: argparse.Namespace, options: AnnotateOptions) -> None:
    """Read, annotate, write."""
    from scpress.io.files import write_table
    from scpress.io.h5ad import read_h5ad, write_h5ad
    from scpress.io.panel import read_panel
    from scpress.steps.annotate import annotate

    annotation, markers = annotate(
        read_h5ad(arguments.counts, backed=True),
        read_h5ad(arguments.normalized),
        read_h5ad(arguments.clusters),
        None if options.labels_column is not None else read_panel(options.panel),
        options,
    )
    write_table(markers, arguments.markers)
    write_h5ad(annotation, arguments.output)
