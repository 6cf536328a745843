"""`scpress demo`: write the raw counts of the demo sample."""

import argparse
import logging
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the paths of the verb."""
    parser.add_argument("--output", type=Path, required=True, help="h5ad file to write")


def run(arguments: argparse.Namespace) -> None:
    """Recover the counts and write them."""
    from scpress.counts.demo import demo_counts
    from scpress.io.h5ad import write_h5ad

    adata = demo_counts()
    write_h5ad(adata, arguments.output)
    logging.getLogger("scpress").info(
        "%d cells x %d genes from %s", adata.n_obs, adata.n_vars, adata.uns["source"]
    )
