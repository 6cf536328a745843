"""`scpress report`: one self-contained page and its key numbers."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scpress.config.options import ReportOptions
from scpress.errors import InputError, require_format

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--input", type=Path, required=True, help="scpress.h5ad")
    for name, text in (
        ("samples-qc", "qc.h5ad of every sample"),
        ("histories", "models/MODEL/SPLIT/SEED/history.tsv, the path names model and seed"),
        ("evaluations", "evaluation.json of every model"),
        ("compressions", "compression.json of every model"),
    ):
        parser.add_argument(f"--{name}", type=Path, nargs="*", default=[], help=text)
    parser.add_argument("--markers", type=Path, help="markers.tsv")
    parser.add_argument("--subtype-markers", type=Path, help="subtype_markers.tsv")
    parser.add_argument("--output", type=Path, required=True, help="report.html to write")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json to write")


def run(arguments: argparse.Namespace, options: ReportOptions) -> None:
    """Read, build, write."""
    from scpress import slots
    from scpress.io.files import atomic_path, read_json, write_json
    from scpress.io.h5ad import read_h5ad
    from scpress.report.inputs import ReportInputs
    from scpress.report.page import build_report
    from scpress.tables.compression import Compression
    from scpress.tables.evaluation import Evaluation

    cells = read_h5ad(arguments.input, backed=True)
    require_format(
        int(cells.uns.get(slots.RECORD.name, {}).get("format_version", 1)),
        oldest=1,
        newest=slots.FORMAT_VERSION,
        what=f"'{arguments.input}'",
    )
    inputs = ReportInputs(
        cells,
        _by_sample(arguments.samples_qc),
        {_model_and_seed(path): _read_table(path) for path in arguments.histories},
        [Evaluation.from_plain(read_json(path), f"'{path}'") for path in arguments.evaluations],
        [Compression.from_plain(read_json(path), f"'{path}'") for path in arguments.compressions],
        arguments.markers and _read_markers(arguments.markers),
        arguments.subtype_markers and _read_markers(arguments.subtype_markers),
    )
    page, metrics = build_report(inputs, options)
    with atomic_path(arguments.output) as temporary:
        temporary.write_text(page, encoding="utf-8")
    write_json(metrics, arguments.metrics)


def _by_sample(paths: list[Path]) -> "dict[str, AnnData]":
    """Sample -> its qc, named as the file says, or else as its folder is."""
    from scpress import slots
    from scpress.io.h5ad import read_h5ad

    samples = {}
    for path in paths:
        qc = read_h5ad(path)
        name = qc.uns.get(slots.RECORD.name, {}).get("sample", path.parent.name)
        samples[str(name)] = qc
    return samples


def _model_and_seed(path: Path) -> tuple[str, str]:
    parts = path.absolute().parts
    if len(parts) < 5:
        raise InputError(
            f"a history must lie in models/MODEL/SPLIT/SEED/history.tsv; found '{path}'."
        )
    return parts[-4], parts[-2]


def _read_table(path: Path) -> "pd.DataFrame":
    import pandas as pd

    from scpress.io.files import require_file

    require_file(path)
    try:
        # "NA" may be a name; only an empty field is a missing one.
        names = dict.fromkeys(("group", "gene", "gene_symbol"), str)
        return pd.read_csv(path, sep="\t", dtype=names, keep_default_na=False, na_values=[""])
    except pd.errors.EmptyDataError:
        return pd.DataFrame()


def _read_markers(path: Path) -> "pd.DataFrame":
    from scpress.cells.markers import MARKER_COLUMNS

    table = _read_table(path)
    lacking = [name for name in MARKER_COLUMNS if name not in table]
    if lacking:
        found = ", ".join(map(str, table.columns)) or "nothing"
        raise InputError(
            f"the marker table '{path}' lacks {', '.join(lacking)}; it has {found}. scpress 0.1.0 "
            "wrote other columns: run `scpress annotate` or `subtype` again."
        )
    return table
