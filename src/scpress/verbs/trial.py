"""`scpress trial`: one setting of a search on molecules that it was not trained on."""

import argparse
from pathlib import Path

from scpress.config.flags import add_training_flags, checkpoints_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--folds", type=Path, required=True, help="folds.h5ad of `thin`")
    parser.add_argument(
        "--standing", type=Path, required=True, help="what `search` or the last `rank` wrote"
    )
    parser.add_argument("--slot", type=int, required=True, help="place in the rung, from 0")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and batches [0]")
    add_training_flags(parser)
    parser.add_argument("--output", type=Path, required=True, help="JSON file of scores to write")


def run(arguments: argparse.Namespace) -> None:
    """Read, train without each fold, score, write."""
    from scpress.config.options import TrainOptions
    from scpress.errors import InputError
    from scpress.io.files import write_json
    from scpress.io.results import read_counts, read_record, read_result
    from scpress.steps.trial import trial
    from scpress.tables import results
    from scpress.tables.search import Search
    from scpress.training.checkpoints import Checkpoints

    if arguments.slot < 0:
        raise InputError(f"slot must be at least 0; found {arguments.slot}.")
    standing = read_record(arguments.standing, Search)
    checkpoints = Checkpoints(
        checkpoints_folder(arguments),
        minutes=standing.given.get("checkpoint_minutes", TrainOptions().checkpoint_minutes),
    )
    found = trial(
        read_counts(arguments.counts),
        read_result(arguments.normalized, results.NORMALIZED),
        read_result(arguments.folds, results.FOLDS),
        standing,
        arguments.slot,
        seed=arguments.seed,
        device=arguments.device,
        checkpoint=checkpoints.next,
    )
    write_json(found.as_plain(), arguments.output)
    checkpoints.remove()
