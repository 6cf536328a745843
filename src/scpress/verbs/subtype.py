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
    parser.add_argument(
        "--latent",
        type=Path,
        nargs="*",
        default=[],
        help="latent.h5ad of each seed: subtypes are looked for in those of the clusters' model",
    )
    parser.add_argument("--output", type=Path, required=True, help="subtypes.h5ad to write")
    parser.add_argument("--markers", type=Path, required=True, help="table of markers to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers [0]")


def run(arguments: argparse.Namespace, options: SubtypeOptions) -> None:
    """Find subtypes and write them with their markers."""
    from scpress import slots
    from scpress.errors import InputError
    from scpress.io.files import save_table, write_together
    from scpress.io.h5ad import save_h5ad
    from scpress.io.results import read_counts, read_result
    from scpress.steps.subtype import subtype
    from scpress.tables import results

    clusters = read_result(arguments.clusters, results.CLUSTERS) if arguments.clusters else None
    latents, model = [], ""
    if arguments.latent:
        record = {} if clusters is None else clusters.uns.get(slots.RECORD.name, {})
        model = str(record.get("cluster", {}).get("model", ""))
        if not model:
            raise InputError("which model are the latents of? Give --clusters, whose file says it.")
        read = (read_result(path, results.LATENT) for path in arguments.latent)
        latents = [one for one in read if slots.LATENT.of(model) in one.obsm]
        if not latents:
            raise InputError(
                f"none of the {len(arguments.latent)} latents is of model {model!r}, which the "
                "clusters are of. Give those of its seeds."
            )
    subtypes, markers = subtype(
        read_counts(arguments.counts),
        read_result(arguments.normalized, results.NORMALIZED),
        clusters,
        read_result(arguments.annotation, results.ANNOTATION) if arguments.annotation else None,
        options,
        seed=arguments.seed,
        latents=latents,
        model=model,
    )
    write_together(
        (arguments.markers, lambda path: save_table(markers, path)),
        (arguments.output, lambda path: save_h5ad(subtypes, path)),
    )
