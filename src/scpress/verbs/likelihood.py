"""`scpress likelihood`: the likelihood of one model, by molecules that were held out."""

import argparse
from pathlib import Path

from scpress.config.flags import (
    add_flags,
    add_foreign_flags,
    add_training_flags,
    checkpoints_folder,
    options_from,
    translate_foreign,
)
from scpress.config.options import TrainOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb, and the options of a training."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--folds", type=Path, required=True, help="folds.h5ad of `thin`")
    parser.add_argument("--model", default="model", help="name of the model [model]")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and batches [0]")
    add_training_flags(parser)
    parser.add_argument("--output", type=Path, required=True, help="likelihood.json to write")
    add_flags(parser.add_argument_group("options"), TrainOptions)
    add_foreign_flags(parser)


def run(arguments: argparse.Namespace) -> None:
    """Read, train with each likelihood, compare, write."""
    from scpress.io.files import write_json
    from scpress.io.results import read_counts, read_result
    from scpress.steps.likelihood import choose_likelihood
    from scpress.tables import results
    from scpress.training.checkpoints import Checkpoints

    counts = read_counts(arguments.counts)
    given = options_from(arguments, TrainOptions)
    options = translate_foreign(given, arguments, n_cells=counts.n_obs)
    checkpoints = Checkpoints(checkpoints_folder(arguments), minutes=options.checkpoint_minutes)
    choice = choose_likelihood(
        counts,
        read_result(arguments.normalized, results.NORMALIZED),
        read_result(arguments.folds, results.FOLDS),
        options,
        name=arguments.model,
        seed=arguments.seed,
        device=arguments.device,
        checkpoint=checkpoints.next,
    )
    write_json(choice.as_plain(), arguments.output)
    checkpoints.remove()
