"""`scpress ingest`: a raw file of one sample becomes checked counts."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scpress.config.fields import require_name
from scpress.config.options import IngestOptions
from scpress.errors import InputError

if TYPE_CHECKING:
    import anndata as ad

    from scpress.counts.raw import RawCounts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths and the sample."""
    parser.add_argument("path", type=Path, help="raw counts: a file, or a 10x or zarr folder")
    parser.add_argument("--sample", required=True, help="name of the sample")
    parser.add_argument(
        "--metadata",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="columns of the sample sheet, kept in obs [none]",
    )
    parser.add_argument("--output", type=Path, required=True, help="counts.h5ad to write")


def run(arguments: argparse.Namespace, options: IngestOptions) -> None:
    """Read, check and write the counts block by block."""
    import numpy as np

    from scpress.io.formats import open_raw
    from scpress.io.h5ad import write_h5ad_streamed
    from scpress.steps.ingest import (
        describe_sample,
        iter_counts,
        record_taken,
        tell_messages,
        with_counts,
    )

    sample, metadata = arguments.sample, read_metadata(arguments.metadata)

    def write(raw: "RawCounts") -> "ad.AnnData":
        rest, kept = describe_sample(raw, sample=sample, metadata=metadata, options=options)
        counts = record_taken(iter_counts(raw, kept, sample=sample), rest)
        write_h5ad_streamed(arguments.output, rest, {"X": counts}, dtypes={"X": np.int32})
        return rest

    raw = open_raw(arguments.path, options)
    tell_messages(with_counts(raw, write, sample=sample, options=options))


def read_metadata(words: list[str]) -> dict[str, str]:
    """Split KEY=VALUE words.

    Raises
    ------
    InputError
        A word without `=`, a key that no h5ad file can hold, or a key twice.
    """
    metadata: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InputError(f"metadata must be written KEY=VALUE; found {word!r}.")
        require_name(key, "a column of metadata")
        if key in metadata:
            raise InputError(f"metadata names {key!r} twice: {metadata[key]!r} and {value!r}.")
        metadata[key] = value
    return metadata
