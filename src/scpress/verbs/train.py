"""`scpress train`: one model file and its history from the counts."""

import argparse
from dataclasses import replace
from pathlib import Path

from scpress.config.options import TrainOptions
from scpress.settings import DEVICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Paths, model name and seed."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--model", default="model", help="name of the model [model]")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and batches [0]")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to train [auto]")
    parser.add_argument(
        "--checkpoints",
        type=Path,
        help="folder of unfinished trainings [checkpoints beside the model]",
    )
    parser.add_argument("--output", type=Path, required=True, help="model.safetensors to write")
    parser.add_argument("--history", type=Path, required=True, help="history.tsv to write")


def run(arguments: argparse.Namespace, options: TrainOptions) -> None:
    """Read, train, write."""
    from scpress.io.files import atomic_path, write_table
    from scpress.io.h5ad import read_h5ad
    from scpress.steps.train import train
    from scpress.training.checkpoints import Checkpoint

    folder = arguments.checkpoints or arguments.output.parent / "checkpoints"
    checkpoint = Checkpoint(folder, minutes=options.checkpoint_minutes)
    model, history = train(
        read_h5ad(arguments.counts, backed=True),
        read_h5ad(arguments.normalized),
        options,
        seed=arguments.seed,
        device=arguments.device,
        checkpoint=checkpoint,
    )
    model.record = replace(model.record, model=arguments.model)
    with atomic_path(arguments.output) as temporary:
        model.save(temporary)
    write_table(history, arguments.history)
    checkpoint.remove()
