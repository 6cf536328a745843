"""`scpress generate`: cells drawn from a trained model."""

import argparse
from pathlib import Path

from scpress.config.generate import GenerateOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad of given cells")
    parser.add_argument("--normalized", type=Path, help="normalized.h5ad; not for new cells")
    parser.add_argument("--model-file", type=Path, required=True, help="model.safetensors")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers [0]")
    parser.add_argument("--output", type=Path, required=True, help="AnnData file to write")


def run(arguments: argparse.Namespace, options: GenerateOptions) -> None:
    """Read, draw, write."""
    from scpress.io.h5ad import write_h5ad
    from scpress.io.results import read_counts, read_result
    from scpress.model.fitted import load_model
    from scpress.steps.generate import generate
    from scpress.tables import results

    normalized = arguments.normalized and read_result(arguments.normalized, results.NORMALIZED)
    drawn = generate(
        read_counts(arguments.counts),
        normalized,
        load_model(arguments.model_file),
        options,
        seed=arguments.seed,
    )
    write_h5ad(drawn, arguments.output)
