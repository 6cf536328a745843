"""`scpress search`: the settings that a model is tried with on held-out molecules."""

import argparse
from pathlib import Path

from scpress.config.flags import add_flags, add_foreign_flags, options_from
from scpress.config.options import SearchOptions, TrainOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb, and the options of a training."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--folds", type=Path, required=True, help="folds.h5ad of `thin`")
    parser.add_argument("--model", default="model", help="name of the model [model]")
    parser.add_argument(
        "--likelihoods", type=Path, help="likelihood.json that says what likelihood auto is"
    )
    parser.add_argument("--output", type=Path, required=True, help="search_0.json to write")
    add_flags(parser.add_argument_group("options of the model"), TrainOptions)
    add_foreign_flags(parser)


def run(arguments: argparse.Namespace, options: SearchOptions) -> None:
    """Read, draw, write."""
    from scpress.io.files import write_json
    from scpress.io.results import read_counts, read_result
    from scpress.steps.search import search
    from scpress.tables import results
    from scpress.verbs.train import said_options

    counts = read_counts(arguments.counts)
    model = options_from(arguments, TrainOptions)
    found = search(
        counts,
        read_result(arguments.normalized, results.NORMALIZED),
        read_result(arguments.folds, results.FOLDS),
        said_options(arguments, model, n_cells=counts.n_obs),
        options,
        name=arguments.model,
    )
    write_json(found.as_plain(), arguments.output)
