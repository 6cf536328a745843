"""`scpress learning_curve`: what more cells would bring to one model."""

import argparse
from pathlib import Path

from scpress.config.flags import add_training_flags, checkpoints_folder
from scpress.config.options import LearningCurveOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--folds", type=Path, required=True, help="folds.h5ad of `thin`")
    parser.add_argument(
        "--model-files",
        type=Path,
        nargs="+",
        required=True,
        help="model.safetensors of the model, or of all to choose from: trained again with its "
        "options and seed",
    )
    parser.add_argument("--models", nargs="+", required=True, help="their names, in that order")
    parser.add_argument("--choice", type=Path, help="choice.json, which says which of several")
    add_training_flags(parser)
    parser.add_argument("--output", type=Path, required=True, help="learning_curve.json to write")


def run(arguments: argparse.Namespace, options: LearningCurveOptions) -> None:
    """Read, train on parts of the cells, score, write."""
    from scpress.errors import InputError
    from scpress.io.files import write_json
    from scpress.io.results import read_counts, read_record, read_result
    from scpress.model.fitted import file_of_model, trained_options
    from scpress.steps.learning_curve import learning_curve
    from scpress.tables import results
    from scpress.tables.scores import Choice
    from scpress.training.checkpoints import Checkpoints

    if arguments.choice:
        name = read_record(arguments.choice, Choice).chosen
    elif len(arguments.models) == 1:
        (name,) = arguments.models
    else:
        raise InputError("which model is it? Give one, or --choice.")
    training, seed = trained_options(file_of_model(name, arguments.models, arguments.model_files))
    checkpoints = Checkpoints(checkpoints_folder(arguments), minutes=training.checkpoint_minutes)
    curve = learning_curve(
        read_counts(arguments.counts),
        read_result(arguments.normalized, results.NORMALIZED),
        read_result(arguments.folds, results.FOLDS),
        training,
        options,
        name=name,
        seed=seed,
        device=arguments.device,
        checkpoint=checkpoints.next,
    )
    write_json(curve.as_plain(), arguments.output)
    checkpoints.remove()
