"""`scpress embed`: the latent of the training cells, or of new ones."""

import argparse
from pathlib import Path

from scpress.config.options import EmbedOptions
from scpress.settings import DEVICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Paths, model name and device."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, help="normalized.h5ad; not for new cells")
    parser.add_argument("--model-file", type=Path, required=True, help="model.safetensors")
    parser.add_argument("--model", default="model", help="name of the model [model]")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to run [auto]")
    parser.add_argument("--output", type=Path, required=True, help="latent.h5ad to write")


def run(arguments: argparse.Namespace, options: EmbedOptions) -> None:
    """Read, embed, write."""
    from scpress.io.h5ad import write_h5ad
    from scpress.io.results import read_counts, read_result
    from scpress.model.device import resolve_device
    from scpress.model.fitted import load_model
    from scpress.steps.embed import embed
    from scpress.tables import results

    normalized = arguments.normalized and read_result(arguments.normalized, results.NORMALIZED)
    latent = embed(
        read_counts(arguments.counts),
        normalized,
        load_model(arguments.model_file, device=resolve_device(arguments.device)),
        options,
        name=arguments.model,
    )
    write_h5ad(latent, arguments.output)
