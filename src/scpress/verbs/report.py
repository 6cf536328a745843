"""`scpress report`: one self-contained page and its key numbers."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scpress.config.options import ReportOptions
from scpress.errors import InputError

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
    from scpress.io.files import atomic_path, read_json, write_json
    from scpress.io.h5ad import read_h5ad
    from scpress.report.inputs import ReportInputs
    from scpress.report.page import build_report

    inputs = ReportInputs(
        read_h5ad(arguments.input, backed=True),
        _by_sample(arguments.samples_qc),
        {_model_and_seed(path): _read_table(path) for path in arguments.histories},
        [read_json(path) for path in arguments.evaluations],
        [read_json(path) for path in arguments.compressions],
        arguments.markers and _read_table(arguments.markers),
        arguments.subtype_markers and _read_table(arguments.subtype_markers),
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
        names = dict.fromkeys(("cluster", "subtype", "group", "gene", "gene_symbol"), str)
        return pd.read_csv(path, sep="\t", dtype=names, keep_default_na=False, na_values=[""])
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
