"""`scpress compress`: bytes and distortion of one model's latent."""

import argparse
from pathlib import Path

from scpress.config.options import CompressOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--latent", type=Path, required=True, help="latent.h5ad of the model")
    parser.add_argument("--model-file", type=Path, required=True, help="model.safetensors")
    parser.add_argument(
        "--other-model-files",
        type=Path,
        nargs="*",
        default=[],
        help="model.safetensors of the same model at each of --n-latents",
    )
    parser.add_argument("--model", required=True, help="the model's name in the configuration")
    parser.add_argument("--output", type=Path, required=True, help="compression.json to write")


def run(arguments: argparse.Namespace, options: CompressOptions) -> None:
    """Read, measure, write."""
    from scpress.io.files import write_json
    from scpress.io.results import read_counts, read_result
    from scpress.model.fitted import load_model
    from scpress.steps.compress import compress
    from scpress.tables import results

    result = compress(
        read_counts(arguments.counts),
        read_result(arguments.normalized, results.NORMALIZED),
        read_result(arguments.latent, results.LATENT),
        load_model(arguments.model_file),
        name=arguments.model,
        options=options,
        others=[load_model(path) for path in arguments.other_model_files],
    )
    write_json(result.as_plain(), arguments.output)
