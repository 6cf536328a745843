"""`scpress assemble`: one AnnData file with everything, written in blocks."""

import argparse
from pathlib import Path

from scpress.errors import InputError
from scpress.options import AssembleOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument(
        "--latents",
        nargs="+",
        required=True,
        metavar="MODEL:PATH",
        help="latent.h5ad of every model, the primary one first",
    )
    parser.add_argument("--clusters", type=Path, required=True, help="clusters.h5ad")
    parser.add_argument("--annotation", type=Path, help="annotation.h5ad")
    parser.add_argument("--subtypes", type=Path, help="subtypes.h5ad")
    parser.add_argument(
        "--model-file", type=Path, help="model.safetensors of the primary model, to denoise with"
    )
    parser.add_argument("--output", type=Path, required=True, help="scpress.h5ad to write")


def run(arguments: argparse.Namespace, options: AssembleOptions) -> None:
    """Read, join, write block by block."""
    import numpy as np

    from scpress import slots
    from scpress.io.h5ad import read_h5ad, write_h5ad_streamed
    from scpress.steps.assemble import assemble_frame, count_blocks, log_blocks

    if options.denoised_layer and arguments.model_file is None:
        raise InputError("denoised_layer needs a model; give --model-file of the primary one.")
    counts = read_h5ad(arguments.counts, backed=True)
    normalized = read_h5ad(arguments.normalized)
    frame = assemble_frame(
        counts,
        normalized,
        {name: read_h5ad(path) for name, path in _named_paths(arguments.latents).items()},
        read_h5ad(arguments.clusters),
        arguments.annotation and read_h5ad(arguments.annotation),
        arguments.subtypes and read_h5ad(arguments.subtypes),
    )
    counts_key = f"layers/{slots.COUNTS.name}"
    matrices = {"X": log_blocks(counts, normalized), counts_key: count_blocks(counts)}
    dtypes = {"X": np.float32, counts_key: np.int32}
    if options.denoised_layer:
        from scpress.steps.assemble import denoised_blocks
        from scpress.trained import load_model

        key = f"layers/{slots.DENOISED.name}"
        matrices[key] = denoised_blocks(counts, normalized, load_model(arguments.model_file))
        dtypes[key] = np.float32
    write_h5ad_streamed(arguments.output, frame, matrices, dtypes=dtypes)


def _named_paths(entries: list[str]) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for entry in entries:
        name, colon, path = entry.partition(":")
        if not colon or not name or not path:
            raise InputError(f"--latents takes MODEL:PATH; found {entry!r}.")
        if name in paths:
            raise InputError(f"--latents names model {name!r} twice; give each model once.")
        paths[name] = Path(path)
    return paths
