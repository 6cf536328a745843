"""`scpress programs`: genes that rise and fall along dimensions and from cluster to cluster."""

import argparse
from pathlib import Path

from scpress.config.programs import ProgramsOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument(
        "--latents",
        type=Path,
        nargs="+",
        required=True,
        help="latent.h5ad of each seed of the model that was clustered, others too; the first is "
        "told",
    )
    parser.add_argument(
        "--model-files",
        type=Path,
        nargs="+",
        required=True,
        help="model.safetensors of each, in the same order",
    )
    parser.add_argument("--clusters", type=Path, required=True, help="clusters.h5ad")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers [0]")
    parser.add_argument("--genes", type=Path, required=True, help="programs.tsv to write")
    parser.add_argument("--output", type=Path, required=True, help="programs.h5ad to write")


def run(arguments: argparse.Namespace, options: ProgramsOptions) -> None:
    """Read, decode, write."""
    from scpress import slots
    from scpress.errors import InputError
    from scpress.io.files import save_table, write_together
    from scpress.io.h5ad import save_h5ad
    from scpress.io.results import read_result
    from scpress.model.fitted import load_model
    from scpress.steps.programs import programs
    from scpress.tables import results

    if len(arguments.latents) != len(arguments.model_files):
        raise InputError(
            f"there are {len(arguments.latents)} latents and {len(arguments.model_files)} models; "
            "give both of each seed, in the same order."
        )
    clusters = read_result(arguments.clusters, results.CLUSTERS)
    record = clusters.uns.get(slots.RECORD.name, {})
    name = str(record.get("cluster", {}).get("model", ""))
    if not name:
        raise InputError(
            f"'{arguments.clusters}' does not say its model; write it with `scpress cluster`."
        )
    latents = [read_result(path, results.LATENT) for path in arguments.latents]
    own = [n for n, one in enumerate(latents) if slots.LATENT.of(name) in one.obsm]
    if not own:
        raise InputError(
            f"none of the {len(latents)} latents is of model {name!r}, which the clusters are of. "
            "Give those of its seeds."
        )
    found, genes = programs(
        [latents[n] for n in own],
        [load_model(arguments.model_files[n]) for n in own],
        clusters,
        options,
        name=name,
        seed=arguments.seed,
    )
    write_together(
        (arguments.genes, lambda path: save_table(genes, path)),
        (arguments.output, lambda path: save_h5ad(found, path)),
    )
