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
    from scpress.io.h5ad import read_h5ad, write_h5ad
    from scpress.model.device import resolve_device
    from scpress.model.fitted import load_model
    from scpress.steps.embed import embed

    normalized = arguments.normalized and read_h5ad(arguments.normalized)
    latent = embed(
        read_h5ad(arguments.counts, backed=True),
        normalized,
        load_model(arguments.model_file, device=resolve_device(arguments.device)),
        options,
        name=arguments.model,
    )
    write_h5ad(latent, arguments.output)
