"""The headline of the report in words, and the numbers of it for machines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from scpress import slots
from scpress.report.agreement import delivered_agreement
from scpress.report.donors import donor_sentences
from scpress.report.false_signals import warn_of_false_signals
from scpress.report.inputs import ReportInputs
from scpress.report.scores import score_sentences
from scpress.report.seeds import unsure_subtypes
from scpress.report.words import count, join, share
from scpress.tables.records import plain
from scpress.tables.training import TrainingRecord

# What a cell failed, by the start of the option's name.
_FAILURES = {
    "min_counts": "too few molecules",
    "max_counts": "too many molecules",
    "mad_counts": "an unusual number of molecules",
    "min_genes": "too few genes",
    "max_genes": "too many genes",
    "mad_genes": "an unusual number of genes",
    "max_pct_mt": "too many mitochondrial molecules",
    "mad_pct_mt": "too many mitochondrial molecules for this sample",
    "max_pct_ribo": "too many ribosomal molecules",
    "doublet": "signs of a doublet",
    "empty": "no molecules",
    "filter_column": "been marked in the input",
}
# Part of the cells without a type from which on the page warns of the panel.
_MOST_UNASSIGNED = 0.5
_COMPRESSION_PARTS = ("nominal", "stored", "with_decoder", "distortion")


def collect_metrics(inputs: ReportInputs) -> dict[str, Any]:
    """Collect the key numbers of a run, JSON-able; what was not done is null."""
    cells = inputs.cells
    types = inputs.sizes(slots.CELL_TYPE)
    n_unassigned = types.pop(slots.UNASSIGNED, 0)
    confidence = inputs.column(slots.CELL_TYPE_CONFIDENCE)
    cluster = plain(inputs.record.get("cluster", {}))
    subtype = plain(inputs.record.get("subtype", {}))
    split = subtype.get("groups", {}).get("n_subtypes", [])
    return {
        "n_cells": cells.n_obs,
        "n_genes": cells.n_vars,
        "n_modelled_genes": int(cells.var[slots.HIGHLY_VARIABLE.name].sum())
        if slots.HIGHLY_VARIABLE.name in cells.var
        else None,
        "samples": {name: sample_numbers(qc.obs) for name, qc in inputs.samples_qc.items()},
        "n_samples": len(inputs.sizes(slots.SAMPLE)) or None,
        "median_library_size": _median(inputs, slots.LIBRARY_SIZE),
        "median_n_genes": _median(inputs, slots.N_GENES),
        "primary_model": inputs.primary or None,
        "n_clusters": len(inputs.sizes(slots.LEIDEN)) or None,
        "resolution": _finite(cluster.get("chosen_resolution")),
        "cell_types": types or None,
        "n_unassigned": n_unassigned if types or n_unassigned else None,
        "median_confidence": None if confidence is None else _finite(confidence.median()),
        "cluster_label_ari": delivered_agreement(inputs).get("ari_chosen"),
        "n_subtypes": sum(n for n in split if n > 1) if subtype else None,
        "unsure_subtypes": unsure_subtypes(inputs),
        "median_neighbor_agreement": _median(inputs, slots.NEIGHBOR_AGREEMENT),
        "models": {
            name: {
                "verdict": record.verdict and record.verdict.as_plain(),
                "held_out": record.held_out and record.held_out.as_plain(),
                "seed": record.seed,
                "device": record.device,
            }
            for name, record in inputs.models.items()
        },
        "evaluations": [one.as_plain() for one in inputs.evaluations],
        "choice": inputs.choice and inputs.choice.as_plain(),
        "genes": inputs.genes and inputs.genes.as_plain(),
        "likelihoods": [one.as_plain() for one in inputs.likelihoods],
        "learning_curve": inputs.learning_curve and inputs.learning_curve.as_plain(),
        "false_signals": inputs.false_signals and inputs.false_signals.as_plain(),
        "searches": [one.as_plain() for one in inputs.searches],
        "n_donors": None if inputs.cohort is None else inputs.cohort.n_obs,
        "donor_subtypes": inputs.donor_subtypes and inputs.donor_subtypes.as_plain(),
        "biomarkers": inputs.biomarkers and inputs.biomarkers.as_plain(),
        "classification": inputs.classification and inputs.classification.as_plain(),
        "survival": inputs.survival and inputs.survival.as_plain(),
        "archive": inputs.archive and inputs.archive.as_plain(),
        "compressions": [
            {"model": one.model, "seed": one.seed}
            | {part: getattr(one, part).as_plain() for part in _COMPRESSION_PARTS}
            for one in inputs.compressions
        ],
    }


def sample_numbers(obs: pd.DataFrame) -> dict[str, Any]:
    """How many cells of a sample there were, were kept, and failed for each reason.

    A cell that fails for two reasons counts for both.
    """
    kept = int(obs[slots.PASS_QC.name].sum()) if slots.PASS_QC.name in obs else len(obs)
    reasons: dict[str, int] = {}
    if slots.QC_REASON.name in obs:
        for joined, count in obs[slots.QC_REASON.name].astype(str).value_counts().items():
            for reason in str(joined).split(";"):
                if reason not in ("", "nan"):
                    reasons[reason] = reasons.get(reason, 0) + int(count)
    return {"n_cells": len(obs), "n_kept": kept, "reasons": dict(sorted(reasons.items()))}


def write_headline(inputs: ReportInputs, metrics: dict[str, Any]) -> list[str]:
    """Sentences that say what was found, in the order a reader asks."""
    *warnings, scores = score_sentences(inputs) or [""]
    warnings += [_fit_warning(inputs), _panel_warning(inputs, metrics)]
    warnings.append(warn_of_false_signals(inputs.false_signals))
    sentences = [*warnings, _cells_sentence(metrics), _model_sentence(inputs), scores]
    sentences += [_cluster_sentence(inputs, metrics), _markers_sentence(inputs, metrics)]
    if metrics["cell_types"] is not None or metrics["n_unassigned"]:
        sentences.append(_types_sentence(inputs, metrics))
    if metrics["n_subtypes"] is not None:
        n = metrics["n_subtypes"]
        sentences.append(_subtypes_sentence(inputs, n) if n else _no_subtypes_sentence(inputs))
    sentences += donor_sentences(inputs)
    sentences.append(_compression_sentence(inputs))
    return [sentence for sentence in sentences if sentence]


def _cells_sentence(metrics: dict[str, Any]) -> str:
    before = sum(sample["n_cells"] for sample in metrics["samples"].values())
    samples = metrics["n_samples"]
    text = f"{count(metrics['n_cells'], 'cell')} and {count(metrics['n_genes'], 'gene')}"
    text += f" of {count(samples, 'sample')}" if samples else ""
    if before > metrics["n_cells"]:
        lost = before - metrics["n_cells"]
        text += (
            f" passed quality control; {lost:,} of {before:,} cells ({share(lost, before)}) did not"
        )
        text += _failures(metrics)
    else:
        text += " were analysed"
    if metrics["median_library_size"]:
        text += f". The median cell has {metrics['median_library_size']:,.0f} molecules"
        if metrics["median_n_genes"]:
            text += f" of {count(round(metrics['median_n_genes']), 'gene')}"
    return text + "."


def _failures(metrics: dict[str, Any]) -> str:
    """Why cells were lost, the most frequent reason first."""
    reasons: dict[str, int] = {}
    for sample in metrics["samples"].values():
        for name, n in sample["reasons"].items():
            said = _FAILURES.get(name, name.replace("_", " "))
            reasons[said] = reasons.get(said, 0) + n
    most = sorted(reasons.items(), key=lambda item: -item[1])
    lost = sum(one["n_cells"] - one["n_kept"] for one in metrics["samples"].values())
    several = "; some for two reasons" if sum(reasons.values()) > lost else ""
    named = join([f"{n:,} had {said}" for said, n in most])
    return f" ({named}{several})" if most else ""


def _fit_warning(inputs: ReportInputs) -> str:
    """What to think of all that follows where the fit failed and was kept."""
    record = inputs.models.get(inputs.primary, TrainingRecord())
    verdict = record.verdict
    if verdict is None or verdict.status == "ok":
        return ""
    return (
        f"Beware: the fit of {inputs.primary} failed and was kept, as allow_failed_fit says: it "
        f"predicts held-out cells with {verdict.score:,.1f} nats per cell, no better than gene "
        f"means alone ({verdict.gene_mean_nll:,.1f}). Its latent says little of the cells, and "
        "clusters and all that is made from them may be nothing."
    )


def _model_sentence(inputs: ReportInputs) -> str:
    primary = inputs.primary
    if not primary:
        return ""
    record = inputs.models.get(primary, TrainingRecord())
    verdict = record.verdict
    text = f"Clusters are made from model {primary}"
    if verdict is not None and verdict.status == "ok":
        text += (
            f", whose fit is {verdict.status}: it explains held-out cells with "
            f"{verdict.score:,.1f} nats per cell where gene means alone need "
            f"{verdict.gene_mean_nll:,.1f}"
        )
    text += f" (trained on {record.device})" if record.device else ""
    return text + "."


def _cluster_sentence(inputs: ReportInputs, metrics: dict[str, Any]) -> str:
    n, resolution = metrics["n_clusters"], metrics["resolution"]
    if n is None:
        return ""
    if n == 1 and resolution is not None:
        return f"All cells are one cluster at the given Leiden resolution {resolution:g}."
    if n == 1:
        return "All cells are one cluster: no finer clustering came back when cells were left out."
    record = plain(inputs.record.get("cluster", {}))
    unconfirmed = list(map(str, record.get("unconfirmed", [])))
    text = f"There are {count(n, 'cluster')}"
    text += f", at Leiden resolution {resolution:g}" if resolution is not None else ""
    agreement = metrics["cluster_label_ari"]
    text += f"; their ARI with the known labels is {agreement:.3f}" if agreement is not None else ""
    if unconfirmed:
        which = f"cluster{'s' if len(unconfirmed) > 1 else ''} {join(unconfirmed)}"
        text += f". Take {which} with care: not every seed of the model finds "
        text += "them again" if len(unconfirmed) > 1 else "it again"
    elif record.get("n_seeds", 1) > 1:
        text += f". Each of {record['n_seeds']} seeds of the model finds "
        text += "both again" if n == 2 else "all of them again"
    return text + "."


def _markers_sentence(inputs: ReportInputs, metrics: dict[str, Any]) -> str:
    """That clusters have no markers; nothing where they have some."""
    clusters = list(inputs.sizes(slots.LEIDEN))
    if inputs.markers is None or len(clusters) < 2:
        return ""
    without = [name for name in clusters if name not in set(inputs.markers["group"].astype(str))]
    if not without:
        return ""
    if len(without) == len(clusters):
        return "No gene marks any cluster: none is clearly higher in one than in all other cells."
    which = f"cluster{'s' if len(without) > 1 else ''} {join(without)}"
    return f"No gene marks {which}: take {'them' if len(without) > 1 else 'it'} with care."


def _types_sentence(inputs: ReportInputs, metrics: dict[str, Any]) -> str:
    types = metrics["cell_types"] or {}
    top = sorted(types.items(), key=lambda item: -item[1])
    named = ", ".join(f"{name} ({share(n, metrics['n_cells'])})" for name, n in top[:4])
    more = f" and {len(top) - 4} more" if len(top) > 4 else ""
    record = plain(inputs.record.get("annotate", {}))
    given = record.get("panel") is None and not record.get("reference")
    verb = f"{'was' if len(types) == 1 else 'were'} {'given' if given else 'named'}"
    text = f"{count(len(types), 'cell type')} {verb}: {named}{more}" if types else "No type fits"
    if not metrics["n_unassigned"]:
        return f"{text}; every cell has one."
    unassigned = share(metrics["n_unassigned"], metrics["n_cells"])
    return f"{text}; {unassigned} of the cells are unassigned."


def _panel_warning(inputs: ReportInputs, metrics: dict[str, Any]) -> str:
    """What to think of it where most cells have no type."""
    panel = plain(inputs.record.get("annotate", {})).get("panel")
    n = metrics["n_unassigned"] or 0
    if panel is None or n <= _MOST_UNASSIGNED * metrics["n_cells"]:
        return ""
    return (
        f"Beware: {share(n, metrics['n_cells'])} of the cells have no type of the panel of marker "
        f"genes that was used, {panel}, so it hardly knows this tissue. Give a table of markers "
        "for it as `annotate: panel:`."
    )


def _subtypes_sentence(inputs: ReportInputs, n: int) -> str:
    text = f"{count(n, 'subtype')} came back under subsampling with markers of their own"
    unsure = unsure_subtypes(inputs)
    return text + (f"; not every seed's latent has {', '.join(unsure)}." if unsure else ".")


def _no_subtypes_sentence(inputs: ReportInputs) -> str:
    groups = plain(inputs.record.get("subtype", {})).get("groups", {}).get("group", [])
    if set(groups) <= {slots.UNASSIGNED}:
        return "Subtypes were not looked for: no cell has a type, and clusters were not given."
    return (
        "No supported subtypes: nothing finer came back under subsampling with markers of its own."
    )


def _compression_sentence(inputs: ReportInputs) -> str:
    own = [one for one in inputs.compressions if one.model == inputs.primary]
    if not own:
        return ""
    stored, full = own[0].stored, own[0].with_decoder
    text = (
        f"As stored, the latent is {stored.ratio:.1f} times smaller than the counts it stands "
        "for; with the decoder counted"
    )
    even = full.break_even_cells
    if full.ratio >= 1:
        text += f", {full.ratio:.1f} times"
    elif even is None:
        text += " it is larger, whatever the number of cells"
    else:
        text += f" it is larger at this number of cells, and smaller from {even:,} cells on"
    return text + ". It is lossy: the counts are kept, too."


def summarize(values: Sequence[float | None]) -> tuple[float, float, float] | None:
    """Mean, smallest and largest of the finite values."""
    finite = [float(v) for v in values if v is not None and np.isfinite(v)]
    return (float(np.mean(finite)), min(finite), max(finite)) if finite else None


def _median(inputs: ReportInputs, slot: slots.Slot) -> float | None:
    column = inputs.column(slot)
    return None if column is None else _finite(column.median())


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
