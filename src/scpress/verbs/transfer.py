"""`scpress transfer`: new cells through a saved model, named by the cells it was trained on."""

import argparse
from pathlib import Path

from scpress.config.transfer import TransferOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad of the model")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument("--annotation", type=Path, help="annotation.h5ad; not with --labels-column")
    parser.add_argument("--model-file", type=Path, required=True, help="model.safetensors")
    parser.add_argument("--model", default="model", help="name of the model [model]")
    parser.add_argument("--output", type=Path, required=True, help="transfer.h5ad to write")
    parser.add_argument(
        "--output-model",
        type=Path,
        required=True,
        help="safetensors file to write: the model with the batch of the new cells",
    )


def run(arguments: argparse.Namespace, options: TransferOptions) -> None:
    """Read, transfer, write."""
    from scpress import slots
    from scpress.config.options import IngestOptions
    from scpress.counts.frames import labels_of
    from scpress.errors import InputError
    from scpress.io.files import write_together
    from scpress.io.formats import open_raw
    from scpress.io.h5ad import save_h5ad
    from scpress.io.results import read_counts, read_result
    from scpress.model.fitted import load_model
    from scpress.steps.ingest import ingest_raw
    from scpress.steps.transfer import transfer
    from scpress.tables import results

    if options.query is None:
        raise InputError("there is no query; give the file of the new cells' counts.")
    counts = read_counts(arguments.counts)
    if options.labels_column is not None:
        labels = labels_of(counts.obs, options.labels_column)
    elif arguments.annotation is not None:
        annotation = read_result(arguments.annotation, results.ANNOTATION)
        slots.require_same_cells(counts.obs_names, annotation.obs_names, "annotation")
        labels = labels_of(annotation.obs, slots.CELL_TYPE.name)
    else:
        raise InputError("names need labels; give --labels-column or --annotation.")
    found, model = transfer(
        counts,
        read_result(arguments.normalized, results.NORMALIZED),
        labels,
        ingest_raw(open_raw(Path(options.query), IngestOptions()), sample=options.batch),
        load_model(arguments.model_file),
        options,
        name=arguments.model,
    )
    write_together(
        (arguments.output_model, model.save),
        (arguments.output, lambda path: save_h5ad(found, path)),
    )
