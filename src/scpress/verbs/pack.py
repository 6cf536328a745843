"""`scpress pack`: counts become an archive that gives them back exactly."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scpress.config.archive import InputOptions, PackOptions
from scpress.config.flags import add_flags, options_from
from scpress.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from scpress.archive.reader import Archive
    from scpress.tables.archive import PackedBytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths, and what the input is."""
    parser.add_argument("path", type=Path, help="counts, in any format that ingest reads")
    parser.add_argument("--output", type=Path, required=True, help="archive to write (.scp)")
    parser.add_argument("--summary", type=Path, help="JSON of its bytes to write")
    parser.add_argument("--latent", type=Path, help="latent.h5ad of these cells, to code with")
    add_flags(parser.add_argument_group("input"), InputOptions)


def run(arguments: argparse.Namespace, options: PackOptions) -> None:
    """Read and code the counts block by block, read them back, write the table of bytes."""
    import logging

    from scpress.archive.reader import Archive
    from scpress.archive.source import open_source
    from scpress.archive.writer import save_archive
    from scpress.io.files import save_json, write_together
    from scpress.tables.archive import PackedBytes

    places = [path.resolve() for path in (arguments.path, arguments.output)]
    if places[0] == places[1]:
        raise InputError(f"'{arguments.output}' is the input, too; name another output.")
    log = logging.getLogger("scpress")
    source = open_source(arguments.path, options_from(arguments, InputOptions), options.layers)
    latent = _read_latent(arguments.latent, source.rest.obs_names)
    for message in source.messages:
        log.info(message)
    made: list[PackedBytes] = []

    def write(path: Path) -> None:
        save_archive(path, source, latent=latent, seed=options.seed, threads=arguments.threads)
        with Archive(path) as archive:
            made.append(_measure(archive, arguments.path))

    if arguments.summary is None:
        write_together((arguments.output, write))
    else:
        write_together(
            (arguments.summary, lambda path: save_json(made[0].as_plain(), path)),
            (arguments.output, write),
        )
    packed = made[0]
    log.info(
        f"{packed.n_cells:,} cells x {packed.n_genes:,} genes in {packed.archive_bytes:,} bytes, "
        f"{packed.archive_bytes / max(1, packed.n_cells):,.1f} a cell, "
        f"{packed.input_bytes / packed.archive_bytes:.2f} times fewer than the input; "
        "read back and compared"
    )


def _measure(archive: "Archive", given: Path) -> "PackedBytes":
    from scpress.tables.archive import PackedBytes

    files = [path for path in given.rglob("*") if path.is_file()] if given.is_dir() else [given]
    found, head = archive.describe(), archive.header
    return PackedBytes(
        n_cells=head.n_obs,
        n_genes=head.n_vars,
        n_nonzeros=head.nnz,
        input_bytes=sum(path.stat().st_size for path in files),
        archive_bytes=found["file_bytes"],
        sections=found["sections"],
        rung=str(head.codec.get("chosen", "")),
    )


def _read_latent(path: Path | None, cells: "pd.Index") -> "np.ndarray | None":
    """[cells, n_latent] The latent of a file that `embed` wrote, of these cells."""
    if path is None:
        return None
    import numpy as np

    from scpress import slots
    from scpress.io.results import read_result
    from scpress.tables.results import LATENT

    latent = read_result(path, LATENT)
    names = [name for name in latent.obsm if name.startswith("X_") and not name.endswith("_sd")]
    if len(names) != 1:
        raise InputError(
            f"'{path}' must hold the latent of one model in obsm; it has "
            f"{', '.join(names) or 'none'}. Give a file that `scpress embed` wrote."
        )
    slots.require_same_cells(cells, latent.obs_names, f"'{path}'")
    return np.asarray(latent.obsm[names[0]])
