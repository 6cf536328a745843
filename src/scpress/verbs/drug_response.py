"""`scpress drug_response`: predict responses to drugs of lines, drugs or both held out."""

import argparse
from pathlib import Path

from scpress.config.response import DrugResponseOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument(
        "--expression",
        type=Path,
        required=True,
        help="h5ad of lines or donors x genes, counts or log values, or cohort.h5ad",
    )
    parser.add_argument("--output", type=Path, required=True, help="drug_response.json to write")
    parser.add_argument("--scores", type=Path, required=True, help="table of drugs to write")


def run(arguments: argparse.Namespace, options: DrugResponseOptions) -> None:
    """Read, predict, write."""
    from scpress.io.files import save_json, save_table, write_together
    from scpress.io.responses import read_drug_features, read_responses
    from scpress.io.results import read_result
    from scpress.steps.drug_response import drug_response
    from scpress.tables.cohort import COHORT

    responses, features = (
        read(Path(path), options) if path else None
        for read, path in (
            (read_responses, options.responses),
            (read_drug_features, options.drug_features),
        )
    )
    expression = read_result(arguments.expression, COHORT)
    scores, record = drug_response(expression, responses, options, drug_features=features)
    write_together(
        (arguments.scores, lambda path: save_table(scores, path)),
        (arguments.output, lambda path: save_json(record.as_plain(), path)),
    )
