"""`scpress baselines`: gene means, PCA and NMF on molecules that they were not fitted to."""

import argparse
from pathlib import Path

from scpress.config.options import BaselinesOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--folds", type=Path, required=True, help="folds.h5ad of `thin`")
    parser.add_argument("--output", type=Path, required=True, help="baselines.json to write")


def run(arguments: argparse.Namespace, options: BaselinesOptions) -> None:
    """Read, fit without each fold, score, write."""
    from scpress.io.files import write_json
    from scpress.io.results import read_counts, read_result
    from scpress.steps.baselines import score_baselines
    from scpress.tables import results

    scores = score_baselines(
        read_counts(arguments.counts),
        read_result(arguments.normalized, results.NORMALIZED),
        read_result(arguments.folds, results.FOLDS),
        options,
    )
    write_json(scores.as_plain(), arguments.output)
