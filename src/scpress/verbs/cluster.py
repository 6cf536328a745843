"""`scpress cluster`: neighbours, clusters and layout from the latents of one model."""

import argparse
from pathlib import Path

from scpress.config.options import ClusterOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument(
        "--latent",
        type=Path,
        nargs="+",
        required=True,
        help="latent.h5ad of each seed; graph and layout are of the first",
    )
    parser.add_argument("--model", required=True, help="name of the model: obsm X_MODEL is used")
    parser.add_argument("--output", type=Path, required=True, help="clusters.h5ad to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers [0]")


def run(arguments: argparse.Namespace, options: ClusterOptions) -> None:
    """Cluster and write."""
    from scpress.io.h5ad import write_h5ad
    from scpress.io.results import read_result
    from scpress.steps.cluster import cluster
    from scpress.tables import results

    latent, *others = (read_result(path, results.LATENT) for path in arguments.latent)
    result = cluster(latent, options, model=arguments.model, seed=arguments.seed, others=others)
    write_h5ad(result, arguments.output)
