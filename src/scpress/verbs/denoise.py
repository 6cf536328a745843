"""`scpress denoise`: denoised expression, written in chunks."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from scpress.config.options import DenoiseOptions
from scpress.errors import InputError
from scpress.settings import DEVICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Paths and device."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, help="normalized.h5ad; not for new cells")
    parser.add_argument(
        "--model-file",
        type=Path,
        nargs="+",
        required=True,
        help="model.safetensors, of one seed or of several, which are averaged",
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to run [auto]")
    parser.add_argument("--output", type=Path, required=True, help="denoised.h5ad to write")


def run(arguments: argparse.Namespace, options: DenoiseOptions) -> None:
    """Read, denoise, write as it goes."""
    import numpy as np

    from scpress.io.h5ad import write_h5ad_streamed
    from scpress.io.results import read_counts, read_result
    from scpress.model.device import resolve_device
    from scpress.model.fitted import load_model
    from scpress.steps.denoise import (
        add_dca_keys,
        add_imputation_scores,
        dca_blocks,
        denoise_blocks,
        denoised_columns,
        denoised_frame,
    )
    from scpress.tables import results

    counts = read_counts(arguments.counts)
    normalized = arguments.normalized and read_result(arguments.normalized, results.NORMALIZED)
    device = resolve_device(arguments.device)
    model, *others = (load_model(path, device=device) for path in arguments.model_file)
    if options.dca_keys and others:
        raise InputError(
            f"dca_keys are of one training; found {len(others) + 1} files of models. Give one."
        )
    frame = denoised_frame(counts, model, denoised_columns(model, options))
    if options.impute:
        add_imputation_scores(frame, counts, normalized, (model, *others), options)
    walk = denoise_blocks(counts, normalized, model, options, others=others)
    blocks = (block for _, block in walk)
    matrices: dict[str, Iterator[np.ndarray]] = {"X": blocks}
    if options.dca_keys:
        add_dca_keys(frame, counts, normalized, model, options)
        beside = dca_blocks(counts, normalized, model, options)
        matrices |= {f"obsm/{key}": values for key, values in beside.items()}
    dtypes = dict.fromkeys(matrices, np.float32)
    write_h5ad_streamed(arguments.output, frame, matrices, dtypes=dtypes)
