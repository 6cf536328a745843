"""`scpress recommend`: genes that each cell most probably expresses of those not measured in it."""

import argparse
from pathlib import Path

from scpress.config.recommend import RecommendOptions
from scpress.settings import DEVICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Paths and device."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad, of merge")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument(
        "--model-file",
        type=Path,
        nargs="+",
        required=True,
        help="model.safetensors, of one seed or of several, which are averaged",
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to run [auto]")
    parser.add_argument("--output", type=Path, required=True, help="recommended.h5ad to write")


def run(arguments: argparse.Namespace, options: RecommendOptions) -> None:
    """Read, rank, write."""
    from scpress.io.h5ad import write_h5ad
    from scpress.io.results import read_counts, read_result
    from scpress.model.device import resolve_device
    from scpress.model.fitted import load_model
    from scpress.steps.recommend import recommend
    from scpress.tables import results

    device = resolve_device(arguments.device)
    found = recommend(
        read_counts(arguments.counts),
        read_result(arguments.normalized, results.NORMALIZED),
        [load_model(path, device=device) for path in arguments.model_file],
        options,
    )
    write_h5ad(found, arguments.output)
