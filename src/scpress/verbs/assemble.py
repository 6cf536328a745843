"""`scpress assemble`: one AnnData file with everything, written in blocks."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scpress.config.options import AssembleOptions
from scpress.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

    from scpress.model.fitted import TrainedModel

_OF_DONORS = (
    *("cohort", "donor_subtypes", "biomarkers", "classification", "survival"),
    *("drug_response", "perturbation"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, required=True, help="normalized.h5ad")
    parser.add_argument(
        "--latents", type=Path, nargs="+", required=True, help="latent.h5ad of every model"
    )
    parser.add_argument("--clusters", type=Path, required=True, help="clusters.h5ad")
    parser.add_argument("--annotation", type=Path, help="annotation.h5ad")
    parser.add_argument("--subtypes", type=Path, help="subtypes.h5ad")
    parser.add_argument("--programs", type=Path, help="programs.h5ad")
    for name in _OF_DONORS:
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=Path,
            help=f"{name}{'.h5ad' if name == 'cohort' else '.json'} of donors, for uns['scpress']",
        )
    parser.add_argument(
        "--model-file",
        type=Path,
        nargs="+",
        help="model.safetensors of all seeds of the primary model, others too, to denoise with",
    )
    parser.add_argument("--output", type=Path, required=True, help="scpress.h5ad to write")


def run(arguments: argparse.Namespace, options: AssembleOptions) -> None:
    """Read, join, write block by block."""
    import numpy as np

    from scpress import slots
    from scpress.io.h5ad import write_h5ad_streamed
    from scpress.io.results import read_counts, read_result
    from scpress.steps.assemble import assemble_frame, count_blocks, log_blocks
    from scpress.tables import results

    if options.denoised_layer and arguments.model_file is None:
        raise InputError("denoised_layer needs a model; give --model-file of the primary one.")
    counts = read_counts(arguments.counts)
    normalized = read_result(arguments.normalized, results.NORMALIZED)
    frame = assemble_frame(
        counts,
        normalized,
        _by_model(arguments.latents),
        read_result(arguments.clusters, results.CLUSTERS),
        arguments.annotation and read_result(arguments.annotation, results.ANNOTATION),
        arguments.subtypes and read_result(arguments.subtypes, results.SUBTYPES),
        options,
        arguments.programs and read_result(arguments.programs, results.PROGRAMS),
        _donors(arguments),
    )
    counts_key = f"layers/{slots.COUNTS.name}"
    matrices = {"X": log_blocks(counts, normalized), counts_key: count_blocks(counts)}
    dtypes = {"X": np.float32, counts_key: np.int32}
    if options.denoised_layer:
        from scpress.steps.denoise import denoised_blocks

        key = f"layers/{slots.DENOISED.name}"
        matrices[key] = denoised_blocks(counts, normalized, _primary(arguments.model_file, frame))
        dtypes[key] = np.float32
    write_h5ad_streamed(arguments.output, frame, matrices, dtypes=dtypes)


def _donors(arguments: argparse.Namespace) -> dict[str, Any]:
    """What each verb of donors says, as far as it is given."""
    from scpress.io.results import read_record, read_result
    from scpress.tables.classification import Classification
    from scpress.tables.cohort import COHORT, Biomarkers, cohort_record
    from scpress.tables.donor_subtypes import DonorSubtypes
    from scpress.tables.records import Record
    from scpress.tables.response import DrugResponse, Perturbation
    from scpress.tables.survival import Survival

    kinds: dict[str, type[Record]] = {
        "donor_subtypes": DonorSubtypes,
        "biomarkers": Biomarkers,
        "classification": Classification,
        "survival": Survival,
        "drug_response": DrugResponse,
        "perturbation": Perturbation,
    }
    found = {}
    if arguments.cohort:
        found["cohort"] = cohort_record(read_result(arguments.cohort, COHORT)).as_plain()
    for name, kind in kinds.items():
        path = getattr(arguments, name)
        if path:
            found[name] = read_record(path, kind).as_plain()
    return found


def _primary(paths: list[Path], frame: "AnnData") -> "list[TrainedModel]":
    """All seeds of the model whose latent was clustered; a single one needs no name."""
    from scpress import slots
    from scpress.model.fitted import load_model

    models = [load_model(path) for path in paths]
    if len(models) == 1:
        return models
    name = frame.uns[slots.RECORD.name]["cluster"]["model"]
    found = [one for one in models if one.record.model == str(name)]
    if not found:
        raise InputError(f"none of the model files is of {str(name)!r}. Give one of each seed.")
    return found


def _by_model(paths: list[Path]) -> "dict[str, AnnData]":
    """Model -> its latent; the file says the name."""
    from scpress import slots
    from scpress.io.results import read_result
    from scpress.tables.results import LATENT

    latents: dict[str, AnnData] = {}
    for path in paths:
        latent = read_result(path, LATENT)
        name = latent.uns.get(slots.RECORD.name, {}).get("model")
        if not name:
            raise InputError(f"'{path}' does not say its model; write it with `scpress embed`.")
        if name in latents:
            raise InputError(f"two latents are of model {name!r}; the second is '{path}'.")
        latents[name] = latent
    return latents
