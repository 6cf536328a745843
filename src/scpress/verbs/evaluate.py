"""`scpress evaluate`: compare a model's latents with known labels and batches."""

import argparse
from pathlib import Path

from scpress.config.options import EvaluateOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad, for its obs")
    parser.add_argument(
        "--latent", type=Path, nargs="+", required=True, help="latent.h5ad of each seed"
    )
    parser.add_argument("--model", required=True, help="name of the model: obsm X_MODEL is used")
    parser.add_argument("--output", type=Path, required=True, help="evaluation.json to write")


def run(arguments: argparse.Namespace, options: EvaluateOptions) -> None:
    """Evaluate and write."""
    from scpress import slots
    from scpress.errors import InputError
    from scpress.io.files import write_json
    from scpress.io.results import read_counts, read_result
    from scpress.steps.evaluate import evaluate
    from scpress.tables.results import LATENT

    latents = {}
    for path in arguments.latent:
        latent = read_result(path, LATENT)
        seed = latent.uns.get(slots.RECORD.name, {}).get("seed")
        if seed is None:
            raise InputError(f"'{path}' does not say its seed; write it with `scpress embed`.")
        if int(seed) in latents:
            raise InputError(f"two latents have the seed {seed}; the second is '{path}'.")
        latents[int(seed)] = latent
    counts = read_counts(arguments.counts)
    result = evaluate(counts.obs, latents, options, model=arguments.model)
    write_json(result.as_plain(), arguments.output)
