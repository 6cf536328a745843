"""`scpress donor_subtypes`: find groups of donors, and what goes with them."""

import argparse
from pathlib import Path

from scpress.config.cohort import DonorSubtypesOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--cohort", type=Path, required=True, help="cohort.h5ad")
    parser.add_argument("--counts", type=Path, help="counts.h5ad of its cells, to be drawn anew")
    parser.add_argument("--annotation", type=Path, help="annotation.h5ad, for their types")
    parser.add_argument(
        "--latent",
        type=Path,
        nargs="*",
        default=[],
        help="latent.h5ad of models: the cohort's is taken",
    )
    parser.add_argument("--output", type=Path, required=True, help="donor_subtypes.json to write")
    parser.add_argument("--table", type=Path, required=True, help="table of donors to write")
    parser.add_argument("--donors", type=Path, help="cohort.h5ad with the subtypes to write")


def run(arguments: argparse.Namespace, options: DonorSubtypesOptions) -> None:
    """Read, group, write."""
    from scpress import slots
    from scpress.errors import InputError
    from scpress.io.files import save_json, save_table, write_together
    from scpress.io.h5ad import save_h5ad
    from scpress.io.results import read_counts, read_result
    from scpress.steps.donor_subtypes import donor_subtypes, with_subtypes
    from scpress.tables import results
    from scpress.tables.cohort import COHORT, cohort_record

    for name in ("annotation", "latent"):
        if getattr(arguments, name) and arguments.counts is None:
            raise InputError(f"--{name} says what cells are; give their --counts, too.")
    cohort = read_result(arguments.cohort, COHORT)
    model = cohort_record(cohort).model
    latent = None
    if arguments.latent and model:
        read = (read_result(path, results.LATENT) for path in arguments.latent)
        latent = next((one for one in read if slots.LATENT.of(model) in one.obsm), None)
        if latent is None:
            raise InputError(f"none of the latents is of the cohort's model {model!r}. Give it.")
    table, record = donor_subtypes(
        cohort,
        options,
        counts=read_counts(arguments.counts) if arguments.counts else None,
        annotation=(
            read_result(arguments.annotation, results.ANNOTATION) if arguments.annotation else None
        ),
        latent=latent,
    )
    outputs = [(arguments.table, lambda path: save_table(table, path))]
    if arguments.donors is not None:
        named = with_subtypes(cohort, table)
        outputs.append((arguments.donors, lambda path: save_h5ad(named, path)))
    write_together(*outputs, (arguments.output, lambda path: save_json(record.as_plain(), path)))
