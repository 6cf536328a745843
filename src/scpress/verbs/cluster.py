"""`scpress cluster`: neighbours, clusters and layout from the latent of one model."""

import argparse
from pathlib import Path

from scpress.config.options import ClusterOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--latent", type=Path, required=True, help="latent.h5ad of the model")
    parser.add_argument("--model", required=True, help="name of the model: obsm X_MODEL is used")
    parser.add_argument("--output", type=Path, required=True, help="clusters.h5ad to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers [0]")


def run(arguments: argparse.Namespace, options: ClusterOptions) -> None:
    """Cluster and write."""
    from scpress.io.h5ad import write_h5ad
    from scpress.io.results import read_result
    from scpress.steps.cluster import cluster
    from scpress.tables import results

    latent = read_result(arguments.latent, results.LATENT)
    write_h5ad(
        cluster(latent, options, model=arguments.model, seed=arguments.seed), arguments.output
    )
