"""`scpress receptors`: the codes and groups of the cells' receptor sequences."""

import argparse
from pathlib import Path

from scpress.config.receptors import ReceptorsOptions
from scpress.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--counts", type=Path, required=True, help="counts.h5ad, for its cells")
    parser.add_argument(
        "--receptors",
        metavar="NAME=PATH",
        nargs="+",
        required=True,
        help="10x contig annotations (CSV) or AIRR rearrangements (TSV), plain or gzipped; a "
        "barcode of the table is the cell NAME_barcode, so NAME is the sample; a name may be "
        "given several tables",
    )
    parser.add_argument("--output", type=Path, required=True, help="receptors.h5ad to write")
    parser.add_argument(
        "--sequences", type=Path, required=True, help="receptor_sequences.tsv to write"
    )


def run(arguments: argparse.Namespace, options: ReceptorsOptions) -> None:
    """Read the tables, learn, join, write."""
    import logging

    from scpress.io.files import save_table, write_together
    from scpress.io.h5ad import save_h5ad
    from scpress.io.results import read_counts
    from scpress.receptors.contigs import read_contigs
    from scpress.steps.receptors import receptors

    log = logging.getLogger("scpress")
    files: dict[str, list] = {}
    for name, path in _named(arguments.receptors):
        contigs = read_contigs(path)
        files.setdefault(name, []).append(contigs)
        dropped = "".join(f", {n} {why}" for why, n in contigs.dropped.items())
        log.info(
            "receptors: %s: %d chains of %d rows%s.",
            path.name,
            len(contigs.chains),
            contigs.n_rows,
            dropped,
        )
    result, sequences = receptors(read_counts(arguments.counts).obs_names, files, options)
    write_together(
        (arguments.sequences, lambda path: save_table(sequences, path)),
        (arguments.output, lambda path: save_h5ad(result, path)),
    )


def _named(words: list[str]) -> list[tuple[str, Path]]:
    for number, word in enumerate(words):
        name, _, path = word.partition("=")
        if not name or not path:
            raise InputError(f"--receptors takes NAME=PATH; found {word!r}.")
        if word in words[:number]:
            raise InputError(f"--receptors has {word!r} twice; give every table once.")
    return [(name, Path(path)) for name, _, path in (word.partition("=") for word in words)]
