"""`scpress ensemble`: all seeds of one model together, on molecules held out."""

import argparse
from pathlib import Path

from scpress.settings import DEVICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--folds", type=Path, required=True, help="folds.h5ad of `thin`")
    parser.add_argument(
        "--fold-models",
        type=Path,
        nargs="+",
        required=True,
        help="the models that `score` kept, of every seed and fold",
    )
    parser.add_argument("--model", default="model", help="name of the model [model]")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to run [auto]")
    parser.add_argument("--output", type=Path, required=True, help="ensemble.json to write")


def run(arguments: argparse.Namespace) -> None:
    """Read, score, write."""
    from scpress.io.files import write_json
    from scpress.io.results import read_counts, read_result
    from scpress.model.device import resolve_device
    from scpress.model.fitted import load_model
    from scpress.steps.ensemble import ensemble
    from scpress.tables import results

    device = resolve_device(arguments.device)
    scores = ensemble(
        read_counts(arguments.counts),
        read_result(arguments.normalized, results.NORMALIZED),
        read_result(arguments.folds, results.FOLDS),
        [load_model(path, device=device) for path in arguments.fold_models],
        name=arguments.model,
    )
    write_json(scores.as_plain(), arguments.output)
