"""`scpress report`: one self-contained page and its key numbers."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scpress.config.options import ReportOptions
from scpress.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--input", type=Path, required=True, help="scpress.h5ad")
    for name, text in (
        ("samples-qc", "qc.h5ad of every sample"),
        ("histories", "models/MODEL/SPLIT/SEED/history.tsv, the path names model and seed"),
        ("evaluations", "evaluation.json of every model"),
        ("compressions", "compression.json of every model"),
        ("likelihoods", "likelihood.json of every model that has one"),
        ("searches", "search.json of every model that has one"),
    ):
        parser.add_argument(f"--{name}", type=Path, nargs="*", default=[], help=text)
    parser.add_argument("--choice", type=Path, help="choice.json")
    parser.add_argument("--learning-curve", type=Path, help="learning_curve.json")
    parser.add_argument("--false-signals", type=Path, help="false_signals.json")
    parser.add_argument("--programs", type=Path, help="programs.h5ad")
    parser.add_argument("--program-genes", type=Path, help="programs.tsv, with --programs")
    parser.add_argument("--anomaly", type=Path, help="anomaly.h5ad")
    parser.add_argument("--genes", type=Path, help="genes.json")
    parser.add_argument("--archive", type=Path, help="archive.json of `pack`")
    parser.add_argument("--markers", type=Path, help="markers.tsv")
    parser.add_argument("--subtype-markers", type=Path, help="subtype_markers.tsv")
    for name, text in (
        ("cohort", "cohort.h5ad"),
        ("donor-subtypes", "donor_subtypes.json"),
        ("biomarkers", "biomarkers.json"),
        ("biomarker-genes", "biomarkers.tsv"),
        ("classification", "classification.json"),
        ("weights", "classification.tsv"),
        ("survival", "survival.json"),
        ("drug-response", "drug_response.json"),
        ("perturbation", "perturbation.json"),
    ):
        parser.add_argument(f"--{name}", type=Path, help=f"{text} of donors")
    parser.add_argument("--output", type=Path, required=True, help="report.html to write")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json to write")


def run(arguments: argparse.Namespace, options: ReportOptions) -> None:
    """Read, build, write."""
    from scpress.io.files import save_json, write_together
    from scpress.io.results import read_record, read_result
    from scpress.io.rows import read_rows
    from scpress.report.inputs import ReportInputs
    from scpress.report.page import build_report
    from scpress.tables.archive import PackedBytes
    from scpress.tables.classification import Classification, Weight
    from scpress.tables.cohort import COHORT, Biomarker, Biomarkers
    from scpress.tables.compression import Compression
    from scpress.tables.donor_subtypes import DonorSubtypes
    from scpress.tables.evaluation import Evaluation
    from scpress.tables.false_signals import FalseSignals
    from scpress.tables.genes import GenesChoice
    from scpress.tables.learning_curve import LearningCurve
    from scpress.tables.likelihood import LikelihoodChoice
    from scpress.tables.markers import Marker
    from scpress.tables.programs import ProgramGene
    from scpress.tables.response import DrugResponse, Perturbation
    from scpress.tables.results import ANOMALY, FINAL, PROGRAMS
    from scpress.tables.scores import Choice
    from scpress.tables.search import Search
    from scpress.tables.survival import Survival
    from scpress.tables.training import HistoryRow

    if (arguments.programs is None) != (arguments.program_genes is None):
        raise InputError("programs are a file and a table; give --programs and --program-genes.")
    compared = ["donor_subtypes", "biomarkers", "classification", "survival"]
    compared += ["drug_response", "perturbation"]
    if arguments.cohort is None and any(getattr(arguments, name) for name in compared):
        raise InputError("what was compared are donors: give --cohort, too.")
    inputs = ReportInputs(
        read_result(arguments.input, FINAL, backed=True),
        _by_sample(arguments.samples_qc),
        {_model_and_seed(path): read_rows(path, HistoryRow) for path in arguments.histories},
        [read_record(path, Evaluation) for path in arguments.evaluations],
        [read_record(path, Compression) for path in arguments.compressions],
        arguments.markers and read_rows(arguments.markers, Marker),
        arguments.subtype_markers and read_rows(arguments.subtype_markers, Marker),
        arguments.archive and read_record(arguments.archive, PackedBytes),
        arguments.choice and read_record(arguments.choice, Choice),
        [read_record(path, LikelihoodChoice) for path in arguments.likelihoods],
        learning_curve=arguments.learning_curve
        and read_record(arguments.learning_curve, LearningCurve),
        false_signals=arguments.false_signals
        and read_record(arguments.false_signals, FalseSignals),
        genes=arguments.genes and read_record(arguments.genes, GenesChoice),
        searches=[read_record(path, Search) for path in arguments.searches],
        programs=arguments.programs and read_result(arguments.programs, PROGRAMS),
        program_genes=arguments.program_genes and read_rows(arguments.program_genes, ProgramGene),
        anomaly=arguments.anomaly and read_result(arguments.anomaly, ANOMALY),
        cohort=arguments.cohort and read_result(arguments.cohort, COHORT),
        donor_subtypes=arguments.donor_subtypes
        and read_record(arguments.donor_subtypes, DonorSubtypes),
        biomarkers=arguments.biomarkers and read_record(arguments.biomarkers, Biomarkers),
        biomarker_genes=arguments.biomarker_genes
        and read_rows(arguments.biomarker_genes, Biomarker),
        classification=arguments.classification
        and read_record(arguments.classification, Classification),
        weights=arguments.weights and read_rows(arguments.weights, Weight),
        survival=arguments.survival and read_record(arguments.survival, Survival),
        drug_response=arguments.drug_response
        and read_record(arguments.drug_response, DrugResponse),
        perturbation=arguments.perturbation and read_record(arguments.perturbation, Perturbation),
        path=str(arguments.input),
    )
    page, metrics = build_report(inputs, options)
    write_together(
        (arguments.metrics, lambda path: save_json(metrics, path)),
        (arguments.output, lambda path: path.write_text(page, encoding="utf-8")),
    )


def _by_sample(paths: list[Path]) -> "dict[str, AnnData]":
    """Sample -> its qc, named as the file says, or else as its folder is."""
    from scpress import slots
    from scpress.io.results import read_result
    from scpress.tables.results import QC

    samples = {}
    for path in paths:
        qc = read_result(path, QC)
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
