"""`scpress cohort`: sum up the cells of every donor."""

import argparse
from pathlib import Path

from scpress.config.cohort import CohortOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad, or bulk counts")
    parser.add_argument("--annotation", type=Path, help="annotation.h5ad, for the types")
    parser.add_argument(
        "--latent",
        type=Path,
        nargs="*",
        default=[],
        help="latent.h5ad of models: the one that the clusters are of is summed up",
    )
    parser.add_argument("--clusters", type=Path, help="clusters.h5ad, which says that model")
    parser.add_argument("--output", type=Path, required=True, help="cohort.h5ad to write")


def run(arguments: argparse.Namespace, options: CohortOptions) -> None:
    """Read, sum up, write."""
    from scpress import slots
    from scpress.errors import InputError
    from scpress.io.h5ad import write_h5ad
    from scpress.io.results import read_counts, read_result
    from scpress.steps.cohort import cohort
    from scpress.tables import results

    latent, model = None, ""
    if arguments.latent:
        if not arguments.clusters:
            raise InputError("which model are the latents of? Give --clusters, whose file says it.")
        clusters = read_result(arguments.clusters, results.CLUSTERS)
        model = str(clusters.uns.get(slots.RECORD.name, {}).get("cluster", {}).get("model", ""))
        read = (read_result(path, results.LATENT) for path in arguments.latent)
        latent = next((one for one in read if slots.LATENT.of(model) in one.obsm), None)
        if latent is None:
            raise InputError(f"none of the latents is of model {model!r}. Give that one.")
    annotation = (
        read_result(arguments.annotation, results.ANNOTATION) if arguments.annotation else None
    )
    made = cohort(read_counts(arguments.counts), annotation, latent, options, model=model)
    write_h5ad(made, arguments.output)
