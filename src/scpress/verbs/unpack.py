"""`scpress unpack`: an archive becomes a file that others read."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths, and what is done about damage."""
    parser.add_argument("path", type=Path, help="archive (.scp)")
    parser.add_argument(
        "--output", type=Path, required=True, help="file.h5ad, folder.zarr, or a folder for mtx"
    )
    parser.add_argument(
        "--skip-damaged",
        action="store_true",
        help="write the cells that are whole, say which are missing, and end with exit code 4",
    )


def run(arguments: argparse.Namespace) -> None:
    """Decode and write block by block."""
    from scpress.archive.reader import Archive
    from scpress.archive.unpack import unpack

    with Archive(arguments.path, threads=arguments.threads) as archive:
        unpack(archive, arguments.output, skip_damaged=arguments.skip_damaged)
