"""`scpress reference`: names of the cells of a run from labelled ones, or a CellTypist model."""

import argparse
from pathlib import Path

from scpress.config.transfer import ReferenceOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument(
        "--reference",
        type=Path,
        required=True,
        help="labelled cells, raw counts of any format of `ingest`; or a CellTypist model (.pkl)",
    )
    parser.add_argument(
        "--model-file", type=Path, help="model.safetensors; not for a CellTypist model"
    )
    parser.add_argument("--output", type=Path, required=True, help="reference.h5ad to write")


def run(arguments: argparse.Namespace, options: ReferenceOptions) -> None:
    """Read, name, write."""
    from scpress.config.options import IngestOptions
    from scpress.errors import InputError
    from scpress.io.celltypist import read_celltypist
    from scpress.io.formats import open_raw
    from scpress.io.h5ad import write_h5ad
    from scpress.io.results import read_counts, read_result
    from scpress.model.fitted import load_model
    from scpress.steps.ingest import ingest_raw
    from scpress.steps.reference import reference, reference_by_model
    from scpress.tables import results

    path = arguments.reference
    counts = read_counts(arguments.counts)
    if path.suffix == ".pkl":
        write_h5ad(
            reference_by_model(counts, read_celltypist(path), source=path.name), arguments.output
        )
        return
    if arguments.model_file is None:
        raise InputError("labelled cells are compared in a model's latent; give --model-file.")
    named = reference(
        counts,
        read_result(arguments.normalized, results.NORMALIZED),
        ingest_raw(open_raw(path, IngestOptions()), sample="reference"),
        load_model(arguments.model_file),
        options,
        source=path.name,
    )
    write_h5ad(named, arguments.output)
