"""`scpress false_signals`: what the same steps find in counts without structure."""

import argparse
from pathlib import Path

from scpress.config.flags import add_training_flags, checkpoints_folder
from scpress.config.options import FalseSignalsOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb, and the options of the steps that it repeats."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--clusters", type=Path, required=True, help="clusters.h5ad")
    parser.add_argument("--subtypes", type=Path, required=True, help="subtypes.h5ad")
    parser.add_argument(
        "--model-files",
        type=Path,
        nargs="+",
        required=True,
        help="model.safetensors of the clusters' model, which may be among others",
    )
    parser.add_argument("--models", nargs="+", required=True, help="their names, in that order")
    for verb in ("cluster", "subtype"):
        parser.add_argument(
            f"--{verb}-options", default="{}", help=f"options of `{verb}` as JSON [its defaults]"
        )
    parser.add_argument(
        "--max-fdr", type=float, default=0.05, help="largest adjusted p-value of a marker [0.05]"
    )
    add_training_flags(parser)
    parser.add_argument("--output", type=Path, required=True, help="false_signals.json to write")


def run(arguments: argparse.Namespace, options: FalseSignalsOptions) -> None:
    """Read, run the steps on copies without structure, write."""
    from scpress.config.flags import options_from_json
    from scpress.config.options import ClusterOptions, SubtypeOptions
    from scpress.io.files import write_json
    from scpress.io.results import read_counts, read_result
    from scpress.model.fitted import file_of_model, load_model, trained_options
    from scpress.steps.false_signals import Steps, false_signals
    from scpress.tables import results
    from scpress.training.checkpoints import Checkpoints

    steps = Steps(
        options_from_json(arguments.cluster_options, ClusterOptions),
        options_from_json(arguments.subtype_options, SubtypeOptions),
        arguments.max_fdr,
    )
    clusters = read_result(arguments.clusters, results.CLUSTERS)
    name = str(clusters.uns["scpress"]["cluster"]["model"])
    path = file_of_model(name, arguments.models, arguments.model_files)
    training, seed = trained_options(path)
    checkpoints = Checkpoints(checkpoints_folder(arguments), minutes=training.checkpoint_minutes)
    found = false_signals(
        read_counts(arguments.counts),
        read_result(arguments.normalized, results.NORMALIZED),
        clusters,
        read_result(arguments.subtypes, results.SUBTYPES),
        load_model(path),
        training,
        options,
        steps,
        seed=seed,
        device=arguments.device,
        checkpoint=checkpoints.next,
    )
    write_json(found.as_plain(), arguments.output)
    checkpoints.remove()
