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
        help="latent.h5ad of each seed, of the model or of all to choose from; graph and "
        "layout are of the first",
    )
    parser.add_argument("--model", help="name of the model: obsm X_MODEL is used")
    parser.add_argument("--choice", type=Path, help="choice.json, which says the model instead")
    parser.add_argument("--output", type=Path, required=True, help="clusters.h5ad to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers [0]")


def run(arguments: argparse.Namespace, options: ClusterOptions) -> None:
    """Cluster and write."""
    from scpress import slots
    from scpress.errors import InputError
    from scpress.io.h5ad import write_h5ad
    from scpress.io.results import read_record, read_result
    from scpress.steps.cluster import cluster
    from scpress.tables import results
    from scpress.tables.scores import Choice

    model = arguments.model
    if (model is None) == (arguments.choice is None):
        raise InputError("which model is clustered? Give either --model or --choice.")
    if arguments.choice:
        model = read_record(arguments.choice, Choice).chosen
    latents = [read_result(path, results.LATENT) for path in arguments.latent]
    found = [one for one in latents if slots.LATENT.of(model) in one.obsm]
    if not found and len(latents) > 1:
        raise InputError(
            f"none of the {len(latents)} latents is of model {model!r}. Give those of its seeds."
        )
    latent, *others = found or latents
    result = cluster(latent, options, model=model, seed=arguments.seed, others=others)
    write_h5ad(result, arguments.output)
