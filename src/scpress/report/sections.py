"""What each section of the page shows: tables as lists of rows, figures as plotly's JSON."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from scpress import slots
from scpress.report import figures
from scpress.report.agreement import delivered_agreement, describe_delivered, describe_seeds
from scpress.report.inputs import ReportInputs
from scpress.report.overfitting import describe_overfitting
from scpress.report.reference import describe_reference
from scpress.report.samples import MOST_OUTLINES, side_by_side
from scpress.report.seeds import subtype_seeds, unsure_subtypes
from scpress.report.summary import sample_numbers, summarize
from scpress.report.words import count, genes_of, share
from scpress.tables.evaluation import SCORES
from scpress.tables.records import plain
from scpress.tables.training import TrainingRecord, Verdict

Section = dict[str, Any]
# Metrics of a cell that are drawn, whether on a logarithmic axis, and the names of their limits.
QC_METRICS = (
    (slots.LIBRARY_SIZE, "Molecules per cell", True, ("min_counts", "max_counts", "mad_counts")),
    (slots.N_GENES, "Genes per cell", True, ("min_genes", "max_genes", "mad_genes")),
    (slots.PCT_MT, "Mitochondrial molecules, %", False, ("max_pct_mt", "mad_pct_mt")),
    (slots.PCT_RIBO, "Ribosomal molecules, %", False, ("max_pct_ribo",)),
    (slots.DOUBLET_SCORE, "Doublet score", False, ("doublet", "max_doublet_score")),
)
# One agreement with labels a model: that of clusters whose resolution the labels did not choose.
_SHOWN = tuple(name for name in SCORES if name not in ("ari_best", "nmi_best", "nmi_chosen"))


def qc_section(inputs: ReportInputs) -> Section | None:
    """Distributions of the metrics with their thresholds, and the rejected cells by reason."""
    samples = inputs.samples_qc
    if not samples:
        return None
    found = [_limits(qc.uns) for qc in samples.values()]
    colours = inputs.sample_colours()
    drawn, constant = [], []
    for slot, title, log_axis, limit_names in QC_METRICS:
        values = {
            name: qc.obs[slot.name].to_numpy(dtype=float)
            for name, qc in samples.items()
            if slot.name in qc.obs
        }
        everything = np.concatenate(list(values.values())) if values else np.zeros(0)
        if len(everything) and (everything == everything[0]).all():
            constant.append(f"{title}: {everything[0]:g} in every cell.")
            continue
        limits = sorted(
            {v for one in found for key, v in one.items() if key.startswith(limit_names)}
        )
        if len(values) > MOST_OUTLINES:
            figure = side_by_side(values, title=title, limits=limits, log_axis=log_axis)
        else:
            figure = figures.histogram(
                values, title=title, colours=colours, limits=limits, log_axis=log_axis
            )
        if figure is not None:
            drawn.append(figure)
    numbers = {name: sample_numbers(qc.obs) for name, qc in samples.items()}
    reasons = sorted({reason for one in numbers.values() for reason in one["reasons"]})
    records = inputs.sample_records()
    rows = [
        [
            name,
            str(records[name].get("source", "")),
            _whole(records[name].get("n_genes")),
            _whole(records[name].get("n_molecules")),
            f"{one['n_cells']:,}",
            f"{one['n_kept']:,}",
            share(one["n_kept"], one["n_cells"], 1),
            *(f"{one['reasons'].get(reason, 0):,}" for reason in reasons),
        ]
        for name, one in numbers.items()
    ]
    header = ["sample", "read from", "genes", "molecules", "cells", "kept", "kept, %"]
    header += [reason.replace("_", " ") for reason in reasons]
    return {
        "figures": drawn,
        "constant": constant,
        "table": {"header": header, "rows": rows},
        "n_samples": len(samples),
        "legend": 1 < len(samples) <= MOST_OUTLINES,
        "names": [(name, colours[name]) for name in samples],
        "has_limits": any(figure["layout"].get("shapes") for figure in drawn),
        "notes": _step_notes(inputs, records),
    }


def _step_notes(inputs: ReportInputs, records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What ingest, qc, merge and normalize had to say, the samples' lines under their names."""
    notes = []
    for name, record in records.items():
        notes += [f"{name}: {one}" for one in record.get("messages", [])]
    return notes + [str(message) for message in plain(inputs.record.get("messages", []))]


def _whole(value: Any) -> str:
    return "" if value is None else f"{value:,}"


def _limits(uns: Any) -> dict[str, float]:
    """Read the limits of a sample by the names of their reasons, as qc recorded them."""
    record = plain(dict(uns)).get(slots.RECORD.name, {})
    return {name: float(limit) for name, limit in record.get("limits", {}).items()}


def runs_section(inputs: ReportInputs) -> Section:
    """Tell what was run: one row per model, its options, versions and device."""
    rows: list[list[str]] = []
    details: list[tuple[str, list[tuple[str, str]]]] = []
    versions: dict[str, str] = {}
    for name, record in inputs.models.items():
        options, held_out, verdict = record.options, record.held_out, record.verdict
        rows.append(
            [
                name + (" (primary)" if name == inputs.primary else ""),
                options.get("preset", ""),
                options.get("engine", ""),
                str(options.get("likelihood", "") if held_out is None else held_out.likelihood),
                _shape_text(inputs, name),
                _seeds_text(inputs, name, record.seed),
                record.device_name or record.device or "",
                "" if record.threads is None else str(record.threads),
                "" if verdict is None else verdict.status,
            ]
        )
        details.append((name, sorted((key, _text(value)) for key, value in options.items())))
        versions |= record.versions
    header = [
        "model",
        "preset",
        "engine",
        "likelihood",
        "dimensions",
        "seeds",
        "device",
        "threads",
        "fit",
    ]
    return {
        "table": {"header": header, "rows": rows},
        "details": details,
        "versions": sorted(versions.items()),
    }


def _seeds_text(inputs: ReportInputs, name: str, used: Any) -> str:
    """All seeds of a model, the one whose latent is in the file first."""
    others = sorted({seed for model, seed in inputs.histories if model == name} - {str(used)})
    return ", ".join(([] if used is None else [str(used)]) + others)


def _shape_text(inputs: ReportInputs, name: str) -> str:
    key = slots.LATENT.of(name)
    return str(inputs.cells.obsm[key].shape[1]) if key in inputs.cells.obsm else ""


def training_section(inputs: ReportInputs) -> Section | None:
    """Loss curves, one figure per model."""
    by_model: dict[str, dict[str, pd.DataFrame]] = {}
    for (model, seed), history in sorted(inputs.histories.items()):
        if len(history) and "step" in history:
            by_model.setdefault(model, {})[seed] = history
    names = [name for name in inputs.models if name in by_model]
    names += [name for name in by_model if name not in names]
    shown: list[dict[str, Any]] = []
    for name in names:
        histories = by_model[name]
        if max(len(history) for history in histories.values()) < 2:
            shown.append({"model": name, "figure": None})
            continue
        record = inputs.models.get(name, TrainingRecord())
        verdict = record.verdict
        gene_mean = None if verdict is None else verdict.gene_mean_nll
        figure = figures.training_curves(histories, gene_mean=gene_mean)
        text = _verdict_text(verdict)
        if verdict is not None and str(record.seed) in histories:
            text += " " + describe_overfitting(histories[str(record.seed)], verdict)
        shown.append({"model": name, "figure": figure, "text": text})
    return {"models": shown} if shown else None


def _verdict_text(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    text = (
        f"Fit: {verdict.status}. Best at step {verdict.best_step:,} of {verdict.n_steps:,}, whose "
        f"weights are used; stopped by {verdict.stopped}."
    )
    if verdict.rollbacks:
        text += f" Rolled back {verdict.rollbacks} times after a loss that was not finite."
    return text


def models_section(inputs: ReportInputs) -> Section | None:
    """Models side by side: held-out scores and agreement with labels, mean and range over seeds."""
    held_out = {name: record.held_out for name, record in inputs.models.items()}
    values: dict[str, dict[str, list[float]]] = {}
    ranges: dict[tuple[str, str], str] = {}
    for evaluation in inputs.evaluations:
        own = values.setdefault(evaluation.model, {})
        for scores in evaluation.seeds.values():
            for metric in _SHOWN:
                if (value := getattr(scores, metric)) is not None:
                    own.setdefault(metric, []).append(value)
        for metric in own:
            ranges[evaluation.model, metric] = describe_seeds(evaluation, metric)
    # The primary model's are those of the clusters that are delivered, as everywhere on the page.
    primary = values.get(inputs.primary, {})
    for metric, value in delivered_agreement(inputs).items():
        if metric in primary:
            primary[metric] = [value]
            of_ari = metric == "ari_chosen"
            ranges[inputs.primary, metric] = describe_delivered(inputs) if of_ari else ""
    metrics = [metric for metric in _SHOWN if any(metric in own for own in values.values())]
    names = list(dict.fromkeys([*held_out, *values]))
    n_labelled = [n for n in names if "ari_chosen" in values.get(n, {})]
    if not metrics and not any(held_out.values()):
        return None
    best = {
        metric: max(
            (s[0] for n in names if (s := summarize(values.get(n, {}).get(metric, [])))),
            default=None,
        )
        for metric in metrics
    }
    rows = []
    for name in names:
        own_scores = held_out.get(name)
        row: list[Any] = [name, "-", "-"]
        if own_scores is not None:
            row[1:] = [_number(own_scores.nll), _number(own_scores.reconstruction_nll)]
        for metric in metrics:
            summary = summarize(values.get(name, {}).get(metric, []))
            if summary is None:
                row.append("-")
                continue
            mean, low, high = summary
            spread = ranges[name, metric]
            if not spread and high - low > 5e-4:
                spread = f"{low:.3f} to {high:.3f}"
            is_best = mean == best[metric] and len(names) > 1
            row.append({"text": f"{mean:.3f}", "range": spread, "best": is_best})
        rows.append(row)
    header = ["model", "held-out NLL", "reconstruction", *map(_METRIC_NAMES.__getitem__, metrics)]
    return {
        "table": {"header": header, "rows": rows},
        "has_scores": bool(metrics),
        "has_delivered": inputs.primary in n_labelled,
        "has_other": bool(set(n_labelled) - {inputs.primary}),
        "messages": sorted({one.message for one in inputs.evaluations}),
        "n_seeds": max((len(v) for own in values.values() for v in own.values()), default=0),
    }


_METRIC_NAMES = {metric: metric.replace("_", " ") for metric in SCORES} | {
    "ari_chosen": "agreement with labels (ARI)",
    "ilisi": "batches mixed: iLISI",
    "kbet": "batches mixed: kBET",
    "silhouette": "silhouette of labels",
    "silhouette_batch": "batches mixed: silhouette",
}


def types_section(inputs: ReportInputs) -> Section | None:
    """Cell types with their size, confidence and clusters."""
    sizes = inputs.sizes(slots.CELL_TYPE)
    if not sizes:
        return None
    types = inputs.column(slots.CELL_TYPE)
    confidence = inputs.column(slots.CELL_TYPE_CONFIDENCE)
    leiden = inputs.column(slots.LEIDEN)
    assert types is not None
    colours = figures.colours_of(list(sizes))
    rows = []
    for name, size in sorted(
        sizes.items(), key=lambda item: (item[0] == slots.UNASSIGNED, -item[1])
    ):
        is_type = (types == name).to_numpy()
        within = leiden[is_type].value_counts() if leiden is not None else pd.Series(dtype=int)
        main = [f"{cluster} ({n:,})" for cluster, n in within.items() if n > 0.02 * size][:6]
        rows.append(
            {
                "name": name,
                "colour": colours[name],
                "size": f"{size:,}",
                "share": share(size, inputs.cells.n_obs, 1),
                "width": round(max(size / inputs.cells.n_obs * 140, 1), 1),
                "confidence": None if confidence is None else float(confidence[is_type].median()),
                "clusters": ", ".join(main),
            }
        )
    record = plain(inputs.record.get("annotate", {}))
    return {
        "rows": rows,
        "method": str(record.get("method", "")),
        "panel": record.get("panel"),
        "reference": describe_reference(record.get("reference"), inputs.cells.n_obs),
        "all_unassigned": set(sizes) == {slots.UNASSIGNED},
    }


def subtypes_section(inputs: ReportInputs) -> Section | None:
    """List the groups that were looked into, what was found, and why not otherwise."""
    record = plain(inputs.record.get("subtype", {}))
    groups = pd.DataFrame(record.get("groups", {}))
    if groups.empty:
        return None
    top = _top_genes(inputs.subtype_markers, 6)
    sizes = inputs.sizes(slots.SUBTYPE)
    in_seeds = subtype_seeds(inputs)
    kept = [
        [name, f"{sizes.get(name, 0):,}", *([in_seeds[name]] if in_seeds else []), ", ".join(genes)]
        for name, genes in top.items()
    ]
    n_supported = int(groups.loc[groups["n_subtypes"] > 1, "n_subtypes"].sum())
    groupby = "cluster" if record.get("groupby") == "leiden" else "cell type"
    header = ["subtype", "cells", *(["seeds whose latent has it"] if in_seeds else []), "markers"]
    rows = [
        [str(group), f"{n_cells:,}", str(n_subtypes), str(reason)]
        for group, n_cells, n_subtypes, reason in zip(
            *(groups[name] for name in ("group", "n_cells", "n_subtypes", "reason")), strict=True
        )
    ]
    return {
        "n_supported": n_supported,
        "said": _subtypes_text(n_supported, groups, groupby),
        "kept": {"header": header, "rows": kept},
        "unsure": unsure_subtypes(inputs),
        "in_seeds": bool(in_seeds),
        "groups": {"header": ["group", "cells", "subtypes", "why"], "rows": rows},
    }


def _subtypes_text(n_supported: int, groups: pd.DataFrame, groupby: str) -> str:
    if n_supported:
        n_groups = int((groups["n_subtypes"] > 1).sum())
        return (
            f"{count(n_supported, 'subtype')} of {count(n_groups, groupby)} came back under "
            "subsampling and have markers of their own, tested on molecules of cells that were "
            "not used to find them."
        )
    if set(groups["group"].astype(str)) <= {slots.UNASSIGNED}:
        return "Nothing was looked into: no cell has a type, and clusters were not given."
    return (
        f"No supported subtypes: nothing finer than the {groupby} came back under subsampling "
        "with markers of its own. That is an answer, not a failure."
    )


def _top_genes(table: pd.DataFrame | None, n_genes: int) -> dict[str, list[str]]:
    """Group -> symbols of its first marker genes."""
    if table is None or table.empty:
        return {}
    grouped = genes_of(table).groupby(table["group"].astype(str), sort=False)
    return {str(group): genes.head(n_genes).tolist() for group, genes in grouped}


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:,.1f}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
