"""`scpress pack`: counts become an archive that gives them back exactly."""

import argparse
from pathlib import Path

from scpress.config.flags import add_flags, options_from
from scpress.config.options import InputOptions, PackOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths, and what the input is."""
    parser.add_argument("path", type=Path, help="counts, in any format that ingest reads")
    parser.add_argument("--output", type=Path, required=True, help="archive to write (.scp)")
    add_flags(parser.add_argument_group("input"), InputOptions)


def run(arguments: argparse.Namespace, options: PackOptions) -> None:
    """Read and code the counts block by block, then read them back."""
    import logging

    from scpress.archive.source import open_source
    from scpress.archive.writer import write_archive

    source = open_source(arguments.path, options_from(arguments, InputOptions), options.layers)
    log = logging.getLogger("scpress")
    for message in source.messages:
        log.info(message)
    header = write_archive(arguments.output, source, seed=options.seed, threads=arguments.threads)
    n_bytes = arguments.output.stat().st_size
    log.info(
        f"{header.n_obs:,} cells x {header.n_vars:,} genes in {n_bytes:,} bytes, "
        f"{n_bytes / max(1, header.n_obs):,.1f} a cell; read back and compared"
    )
