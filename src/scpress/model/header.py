"""What the header and the tensors of a model file must be, and the digest over both."""

import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import torch
from torch import Tensor

from scpress.config.fields import has_type
from scpress.config.options import TrainOptions
from scpress.counts.digests import digest_of
from scpress.errors import InputError
from scpress.model.axes import LATER_FIELDS, ModelConfig
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.network import CountAutoencoder
from scpress.tables.training import TrainingRecord

# The first version with a digest of the whole file.
DIGEST_SINCE = 2
_HEADER_TYPES = {
    "config": dict[str, Any],
    "genes": list[str],
    "symbols": list[str],
    "genes_digest": str,
    "median_library_size": float,
    "batch_sizes": list[int],
    "record": dict[str, Any],
}


def canonical(value: Any, *, allow_nan: bool = True) -> str:
    """JSON that is the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=allow_nan)


def file_digest(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Digest of all that is in a file: the header but for the digest, and every tensor."""
    names = sorted(tensors)
    rest = {key: value for key, value in header.items() if key != "digest"}
    text = np.frombuffer(canonical([rest, names]).encode(), dtype=np.uint8)
    return digest_of(text, *(tensors[name].numpy() for name in names))


def damaged(path: Path, reason: str) -> InputError:
    """Make the error of a damaged file."""
    return InputError(f"'{path}' is damaged: {reason}. Copy it again from where it is whole.")


def require_header(header: Mapping[str, Any], path: Path) -> None:
    """Check that a header has all its keys, each of its type."""
    for key, hint in _HEADER_TYPES.items():
        if key not in header:
            raise damaged(path, f"its header lacks {key!r}")
        if not has_type(header[key], hint):
            raise damaged(path, f"{key!r} in its header is {header[key]!r:.60}")
    median, n_symbols = header["median_library_size"], len(header["symbols"])
    if not 0 < median <= sys.float_info.max:
        raise damaged(path, f"'median_library_size' in its header is {median!r:.60}")
    if n_symbols != len(header["genes"]):
        raise damaged(path, f"it has {len(header['genes'])} genes and {n_symbols} symbols")


def config_of(header: Mapping[str, Any], path: Path) -> ModelConfig:
    """The axes in a header, each of its type and of the values that a training can have."""
    given, hints = LATER_FIELDS | header["config"], get_type_hints(ModelConfig)
    for item in fields(ModelConfig):
        if item.name not in given:
            raise damaged(path, f"the configuration in its header lacks {item.name!r}")
        value = given[item.name]
        given[item.name] = tuple(value) if isinstance(value, list) else value
        if not has_type(given[item.name], hints[item.name]):
            raise damaged(path, f"{item.name!r} in its header is {value!r:.60}")
    unknown = sorted(given.keys() - hints.keys())
    if unknown:
        raise damaged(path, f"the configuration in its header has an unknown {unknown[0]!r}")
    config = ModelConfig(**given)
    options = {item.name for item in fields(TrainOptions)}
    try:
        # An empty tuple of hidden layers is what pca has, though nobody may ask for it.
        TrainOptions(**{k: v for k, v in given.items() if k in options and v != ()})
    except InputError as error:
        raise damaged(path, f"in its header {error}") from error
    if config.likelihood not in LIKELIHOODS:  # one of DCA's names, which resolve before
        raise damaged(path, f"'likelihood' in its header is {config.likelihood!r}")
    if config.n_genes != len(header["genes"]):
        raise damaged(path, f"it is of {config.n_genes} genes and lists {len(header['genes'])}")
    if config.batches and config.batch_key is None:
        raise damaged(path, f"it has {len(config.batches)} batches of no column")
    # Without batches the only one is of all cells.
    if len(header["batch_sizes"]) not in (0, max(1, len(config.batches))):
        raise damaged(
            path, f"it has {len(config.batches)} batches and sizes of {len(header['batch_sizes'])}"
        )
    return config


def require_tensors(tensors: Mapping[str, Tensor], config: ModelConfig, path: Path) -> None:
    """Check names, shapes, types and finite values without making room for a network."""
    try:
        with torch.device("meta"):
            network = CountAutoencoder(config)
    except (RuntimeError, TypeError) as error:  # a width that no machine has room for
        raise damaged(path, "no network has the sizes in its header") from error
    wanted = {f"network.{k}": (tuple(v.shape), v.dtype) for k, v in network.state_dict().items()}
    cells = tensors.get("validation_cells")
    wanted["validation_cells"] = (() if cells is None else (cells.numel(),), torch.int64)
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            raise damaged(path, f"the tensor {name!r} is missing")
        if name not in wanted:
            raise damaged(path, f"the tensor {name!r} is of no part of its network")
        found = (tuple(tensors[name].shape), tensors[name].dtype)
        if found != wanted[name]:
            raise damaged(
                path,
                f"the tensor {name!r} has shape {list(found[0])} and type {found[1]}; "
                f"its network has {list(wanted[name][0])} and {wanted[name][1]}",
            )
        if not torch.isfinite(tensors[name]).all():
            raise damaged(path, f"the tensor {name!r} has values that are not finite")


def record_of(header: Mapping[str, Any], path: Path) -> TrainingRecord:
    """Read the record of the training from a header."""
    where = f"the record in '{path}'"
    try:
        record = TrainingRecord.from_plain(header["record"], where)
    except (TypeError, AttributeError) as error:  # a list or a word where a table should be
        raise damaged(path, f"its record is of another shape ({error})") from error
    for item in fields(TrainingRecord):
        value = getattr(record, item.name)
        if not has_type(value, get_type_hints(TrainingRecord)[item.name]):
            raise damaged(path, f"{item.name!r} in its record is {value!r:.60}")
    return record
