"""`scpress verify`: whether an archive is whole, and what was packed."""

import argparse
from pathlib import Path

from scpress.config.archive import InputOptions
from scpress.config.flags import add_flags, options_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths, and what the input is."""
    parser.add_argument("path", type=Path, help="archive (.scp)")
    parser.add_argument("--against", type=Path, help="what was packed, to compare with")
    add_flags(parser.add_argument_group("input"), InputOptions)


def run(arguments: argparse.Namespace) -> None:
    """Check every section, decode every chunk, compare."""
    from scpress.archive.reader import Archive

    with Archive(arguments.path, threads=arguments.threads) as archive:
        archive.require_whole()
        print(
            f"'{arguments.path}' is whole: {archive.n_obs:,} cells x {archive.n_vars:,} genes, "
            f"{archive.header.nnz:,} nonzeros, {archive.header.sum:,} molecules."
        )
        if arguments.against is not None:
            from scpress.archive.writer import compare_with_file

            given = options_from(arguments, InputOptions)
            compare_with_file(archive, arguments.against, given)
            print(f"It holds what '{arguments.against}' does.")
