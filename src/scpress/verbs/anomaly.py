"""`scpress anomaly`: cells that are unlike a reference, and the genes that make them so."""

import argparse
from pathlib import Path

from scpress.config.anomaly import AnomalyOptions
from scpress.config.flags import add_training_flags, checkpoints_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument(
        "--model-files",
        type=Path,
        nargs="+",
        required=True,
        help="model.safetensors of all seeds of one model: trained again on the reference without "
        "each fold, with its options",
    )
    parser.add_argument("--model", default="model", help="name of the model [model]")
    add_training_flags(parser)
    parser.add_argument("--output", type=Path, required=True, help="anomaly.h5ad to write")


def run(arguments: argparse.Namespace, options: AnomalyOptions) -> None:
    """Read, train on the reference, score, write."""
    from scpress.errors import InputError
    from scpress.io.h5ad import write_h5ad
    from scpress.io.results import read_counts, read_result
    from scpress.model.fitted import trained_options
    from scpress.steps.anomaly import anomaly
    from scpress.tables import results
    from scpress.training.checkpoints import Checkpoints

    found = [trained_options(path) for path in arguments.model_files]
    training = found[0][0]
    for path, (other, _) in zip(arguments.model_files, found, strict=True):
        if other != training:
            raise InputError(
                f"'{path}' was trained with other options than '{arguments.model_files[0]}'; "
                "an ensemble is of one model. Give the files of its seeds."
            )
    checkpoints = Checkpoints(checkpoints_folder(arguments), minutes=training.checkpoint_minutes)
    out = anomaly(
        read_counts(arguments.counts),
        read_result(arguments.normalized, results.NORMALIZED),
        training,
        options,
        seeds=[seed for _, seed in found],
        name=arguments.model,
        device=arguments.device,
        checkpoint=checkpoints.next,
    )
    write_h5ad(out, arguments.output)
    checkpoints.remove()
