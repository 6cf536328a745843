"""`scpress score`: one model on molecules that it was not trained on."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scpress.config.flags import add_training_flags, checkpoints_folder
from scpress.errors import InputError

if TYPE_CHECKING:
    from scpress.model.fitted import TrainedModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--folds", type=Path, required=True, help="folds.h5ad of `thin`")
    parser.add_argument(
        "--model-file",
        type=Path,
        required=True,
        help="model.safetensors: trained again with its options and seed, without each fold",
    )
    parser.add_argument("--model", default="model", help="name of the model [model]")
    add_training_flags(parser)
    parser.add_argument(
        "--fold-models",
        type=Path,
        nargs="+",
        help="where to keep the models for `ensemble`, one file for each fold [not kept]",
    )
    parser.add_argument("--output", type=Path, required=True, help="scores.json to write")


def run(arguments: argparse.Namespace) -> None:
    """Read, train without each fold, score, write."""
    from scpress import slots
    from scpress.io.files import save_json, write_together
    from scpress.io.results import read_counts, read_result
    from scpress.model.fitted import trained_options
    from scpress.steps.score import score
    from scpress.tables import results
    from scpress.training.checkpoints import Checkpoints

    options, seed = trained_options(arguments.model_file)
    checkpoints = Checkpoints(checkpoints_folder(arguments), minutes=options.checkpoint_minutes)
    folds = read_result(arguments.folds, results.FOLDS)
    kept = arguments.fold_models or []
    if kept:
        slots.require(folds, slots.FOLD)
        n_folds = folds.obs[slots.FOLD.name].nunique()
        if len(kept) != n_folds:
            raise InputError(
                f"--fold-models needs one file for each of {n_folds} folds; found {len(kept)}."
            )
    models: list[TrainedModel] = []
    scores = score(
        read_counts(arguments.counts),
        read_result(arguments.normalized, results.NORMALIZED),
        folds,
        options,
        name=arguments.model,
        seed=seed,
        device=arguments.device,
        checkpoint=checkpoints.next,
        keep=models.append,
    )
    write_together(
        *((path, model.save) for path, model in zip(kept, models, strict=False)),
        (arguments.output, lambda path: save_json(scores.as_plain(), path)),
    )
    checkpoints.remove()
