"""`scpress train`: one model file and its history from the counts."""

import argparse
from dataclasses import replace
from pathlib import Path

from scpress.config.flags import (
    add_foreign_flags,
    add_training_flags,
    checkpoints_folder,
    translate_foreign,
)
from scpress.config.options import TrainOptions
from scpress.config.scores import AUTO


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Paths, model name and seed."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--model", default="model", help="name of the model [model]")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and batches [0]")
    add_training_flags(parser)
    parser.add_argument(
        "--likelihoods", type=Path, help="likelihood.json that says what likelihood auto is"
    )
    parser.add_argument(
        "--search", type=Path, help="search.json of `rank`, whose settings are used"
    )
    parser.add_argument("--output", type=Path, required=True, help="model.safetensors to write")
    parser.add_argument("--history", type=Path, required=True, help="history.tsv to write")
    add_foreign_flags(parser)


def run(arguments: argparse.Namespace, options: TrainOptions) -> None:
    """Read, train, write."""
    from scpress.io.files import save_table, write_together
    from scpress.io.results import read_counts, read_record, read_result
    from scpress.steps.search import settle
    from scpress.steps.train import train
    from scpress.tables import results
    from scpress.tables.search import Search
    from scpress.training.checkpoints import Checkpoint

    counts = read_counts(arguments.counts)
    options = said_options(arguments, options, n_cells=counts.n_obs)
    if arguments.search:
        found = read_record(arguments.search, Search)
        options = settle(options, found)
    checkpoint = Checkpoint(checkpoints_folder(arguments), minutes=options.checkpoint_minutes)
    model, history = train(
        counts,
        read_result(arguments.normalized, results.NORMALIZED),
        options,
        seed=arguments.seed,
        device=arguments.device,
        checkpoint=checkpoint,
    )
    model.record = replace(model.record, model=arguments.model)
    write_together(
        (arguments.history, lambda path: save_table(history, path)),
        (arguments.output, model.save),
    )
    checkpoint.remove()


def said_options(
    arguments: argparse.Namespace, options: TrainOptions, *, n_cells: int
) -> TrainOptions:
    """Options of a training, in any package's names, with the likelihood that was chosen."""
    from scpress.io.results import read_record
    from scpress.tables.likelihood import LikelihoodChoice

    options = translate_foreign(options, arguments, n_cells=n_cells)
    if arguments.likelihoods and options.likelihood == AUTO:
        choice = read_record(arguments.likelihoods, LikelihoodChoice)
        options = replace(options, likelihood=choice.chosen)
    return options
