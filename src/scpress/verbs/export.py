"""`scpress export`: a trained scvi-preset model for scvi-tools."""

import argparse
import os
import shutil
from pathlib import Path

from scpress.errors import InputError

# What h5py and torch, with which scvi-tools writes, make of a full disk.
_FULL_DISK = ("write failed", "failed writing", "unexpected pos", "iostream error")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Paths."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad")
    parser.add_argument("--normalized", type=Path, help="normalized.h5ad")
    parser.add_argument("--model-file", type=Path, required=True, help="model.safetensors")
    parser.add_argument("--output", type=Path, required=True, help="directory to make")


def run(arguments: argparse.Namespace) -> None:
    """Read, export into a temporary directory, rename."""
    from scpress.io.files import raise_unwritable, temporary_path
    from scpress.io.results import read_counts, read_result
    from scpress.model.fitted import load_model
    from scpress.steps.export import export
    from scpress.tables import results

    output: Path = arguments.output
    if output.exists():
        raise InputError(f"'{output}' exists; name a new directory, nothing is overwritten.")
    temporary = temporary_path(output)
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        export(
            read_counts(arguments.counts),
            arguments.normalized and read_result(arguments.normalized, results.NORMALIZED),
            load_model(arguments.model_file),
            temporary,
        )
        os.replace(temporary, output)
    except OSError as error:
        raise_unwritable(error, output)
    except RuntimeError as error:
        if not any(words in str(error) for words in _FULL_DISK):
            raise
        raise InputError(
            f"cannot write '{output}': is the disk full? Free some space or write elsewhere; "
            "nothing half-written was left."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
