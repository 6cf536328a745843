"""`scpress genes`: the number of genes, and their ranking, by molecules that were held out."""

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
from scpress.config.genes import GenesOptions
from scpress.config.options import NormalizeOptions, TrainOptions
from scpress.config.scores import AUTO


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths, what `normalize` is told, and the options of a training."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--model", default="model", help="name of the model [model]")
    parser.add_argument("--seed", type=int, default=0, help="seed of folds and trainings [0]")
    add_training_flags(parser)
    parser.add_argument(
        "--n-top-genes", default=AUTO, help="of normalize: auto, a number, or null for all [auto]"
    )
    parser.add_argument("--flavor", default="seurat_v3", help="of normalize; auto: all of them")
    parser.add_argument(
        "--rank-within", default="sample", help="batch_key of normalize, or null [sample]"
    )
    parser.add_argument(
        "--min-cells-per-batch", type=int, default=50, help="of normalize, within batches [50]"
    )
    parser.add_argument("--output", type=Path, required=True, help="genes.json to write")
    add_flags(parser.add_argument_group("options of the training"), TrainOptions)
    add_foreign_flags(parser)


def run(arguments: argparse.Namespace, options: GenesOptions) -> None:
    """Read, train with each choice, compare, write."""
    from scpress.errors import InputError
    from scpress.io.files import write_json
    from scpress.io.results import read_counts
    from scpress.steps.genes import choose_genes
    from scpress.training.checkpoints import Checkpoints

    words = {AUTO: AUTO, "null": None}
    asked = arguments.n_top_genes
    if asked not in words and not asked.isdecimal():
        raise InputError(f"n_top_genes must be auto, null or a number; found {asked!r}.")
    ranking = NormalizeOptions(
        n_top_genes=words[asked] if asked in words else int(asked),
        flavor=arguments.flavor,
        batch_key=None if arguments.rank_within == "null" else arguments.rank_within,
        min_cells_per_batch=arguments.min_cells_per_batch,
    )
    counts = read_counts(arguments.counts)
    given = options_from(arguments, TrainOptions)
    training = translate_foreign(given, arguments, n_cells=counts.n_obs)
    checkpoints = Checkpoints(checkpoints_folder(arguments), minutes=training.checkpoint_minutes)
    choice = choose_genes(
        counts,
        options,
        ranking,
        training,
        name=arguments.model,
        seed=arguments.seed,
        device=arguments.device,
        checkpoint=checkpoints.next,
    )
    write_json(choice.as_plain(), arguments.output)
    checkpoints.remove()
