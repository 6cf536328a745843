"""Donors on the page: a map of them, what they are made of, and what was found of them."""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scpress import slots
from scpress.donors.features import log_counts, log_ratios
from scpress.report import figures
from scpress.report.biomarkers import biomarkers_section, describe_biomarkers
from scpress.report.classification import classification_section, describe_classification
from scpress.report.donor_subtypes import donor_subtypes_section
from scpress.report.inputs import ReportInputs
from scpress.report.response import (
    describe_drug_response,
    describe_perturbation,
    drug_response_section,
    perturbation_section,
)
from scpress.report.survival import describe_survival, survival_section
from scpress.report.words import count, join, sentence, share
from scpress.tables.cohort import MOLECULES, N_CELLS, TYPE_CELLS, CohortRecord, latent_of

# Genes of a map of counts, those that vary most.
_MAP_GENES = 1000
_MOST_COLUMNS = 6
_MOST_COLOURS = 20
_SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up")
# More bars than these have no names beside them.
_MOST_NAMES = 30
_BATCH = "batch"


def donors_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """Maps, composition and table of the donors, and each comparison; None without donors."""
    if inputs.cohort is None:
        return None
    cohort, record = inputs.cohort, inputs.cohort_record
    key = _colour_key(inputs)
    named = _batches(cohort.obs, key)
    return {
        "said": describe_donors(inputs),
        "left_out": list(record.left_out),
        "table": _table(cohort, record),
        "maps": _maps(cohort, record, key, named),
        "colour": key,
        "shapes": [f"{one} {symbol.replace('-', ' ')}" for one, symbol in named.items()],
        "composition": _composition(inputs, key) if len(record.types) > 1 else None,
        "subtypes": donor_subtypes_section(inputs.donor_subtypes),
        "biomarkers": biomarkers_section(inputs.biomarkers, inputs.biomarker_genes),
        "classification": classification_section(inputs.classification, inputs.weights),
        "survival": survival_section(inputs.survival),
        "drug_response": drug_response_section(inputs.drug_response),
        "perturbation": perturbation_section(inputs.perturbation),
    }


def donor_sentences(inputs: ReportInputs) -> list[str]:
    """What the top of the page says of donors; nothing without them."""
    if inputs.cohort is None:
        return []
    found = [describe_donors(inputs)]
    if inputs.donor_subtypes is not None:
        found.append(sentence(inputs.donor_subtypes.verdict))
    if inputs.biomarkers is not None:
        found.append(describe_biomarkers(inputs.biomarkers))
    if inputs.classification is not None:
        found += describe_classification(inputs.classification)
    if inputs.survival is not None:
        found.append(describe_survival(inputs.survival))
    if inputs.drug_response is not None:
        found += describe_drug_response(inputs.drug_response)
    if inputs.perturbation is not None:
        found.append(describe_perturbation(inputs.perturbation))
    return found


def describe_donors(inputs: ReportInputs) -> str:
    """How many donors there are, and of which condition."""
    assert inputs.cohort is not None
    cohort, record = inputs.cohort, inputs.cohort_record
    unit = "donor" if not record.split_by else "unit"
    text = f"Cells are of {count(cohort.n_obs, unit)}"
    text += f", each donor divided by {record.split_by}" if record.split_by else ""
    key = _colour_key(inputs)
    if key is not None:
        sizes = cohort.obs[key].astype(str).value_counts().sort_index()
        text += f": {join([f'{n:,} of {key} {name}' for name, n in sizes.items()])}"
    return text + ". Donors are compared, not cells: cells of one donor are no replicates."


def _colour_key(inputs: ReportInputs) -> str | None:
    """The column that donors are compared by, or else the one that would be."""
    assert inputs.cohort is not None
    asked = [one.condition_key for one in (inputs.classification, inputs.biomarkers) if one]
    for key in [*asked, "condition", _BATCH]:
        if key in inputs.cohort.obs:
            n = inputs.cohort.obs[key].astype(str).nunique()
            if 1 < n <= _MOST_COLOURS:
                return key
    return None


def _batches(obs: pd.DataFrame, key: str | None) -> dict[str, str]:
    """Batch -> the shape of its donors, where they can be told apart by shape."""
    if _BATCH not in obs or key == _BATCH:
        return {}
    names = sorted(set(obs[_BATCH].astype(str)))
    return dict(zip(names, _SYMBOLS, strict=False)) if 1 < len(names) <= len(_SYMBOLS) else {}


def _table(cohort: AnnData, record: CohortRecord) -> dict[str, Any]:
    obs = cohort.obs
    ours = (N_CELLS, MOLECULES, record.donor_key)
    columns = [name for name in obs if name not in ours][:_MOST_COLUMNS]
    rows = [
        [
            str(name),
            f"{row[N_CELLS]:,}",
            f"{row[MOLECULES]:,}",
            *(_text(row[column]) for column in columns),
        ]
        for name, row in obs.iterrows()
    ]
    return {"header": ["donor", "cells", "molecules", *map(str, columns)], "rows": rows}


def _text(value: Any) -> str:
    if isinstance(value, float | np.floating):
        return "-" if np.isnan(value) else f"{value:.5g}"
    return "-" if pd.isna(value) else str(value)


def _maps(
    cohort: AnnData, record: CohortRecord, key: str | None, symbols: dict[str, str]
) -> list[figures.Figure]:
    """Principal components of each view of the donors that three of them have."""
    views = {}
    if len(record.types) > 1:
        views["by their cell types"] = log_ratios(cohort.obsm[TYPE_CELLS].to_numpy())
    logs = log_counts(cohort.X)
    mean = np.asarray(logs.mean(axis=0)).ravel()
    variance = np.asarray(logs.multiply(logs).mean(axis=0)).ravel() - mean**2
    genes = np.sort(np.argsort(-variance, kind="stable")[:_MAP_GENES])
    views["by their counts"] = logs[:, genes].toarray()
    if record.model:
        views[f"by the mean latent of {record.model}"] = cohort.obsm[latent_of(record.model)]
    if cohort.n_obs < 3:
        return []
    return [
        _map(cohort, np.asarray(values, dtype=float), title, key, symbols)
        for title, values in views.items()
        if np.isfinite(values).all()
    ]


def _map(
    cohort: AnnData, values: np.ndarray, title: str, key: str | None, symbols: dict[str, str]
) -> figures.Figure:
    left, size, axes = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    points = np.zeros((len(values), 2))
    points[:, : len(size)] = (left * size)[:, :2]
    # Which side is right means nothing, and is the same on every machine.
    sign = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:2]
    points[:, : len(sign)] *= sign
    explained = [*(size**2 / max(float(np.sum(size**2)), 1e-300)), 0.0][:2]
    names = cohort.obs_names.astype(str).to_numpy()
    groups = cohort.obs[key].astype(str).to_numpy() if key else np.full(len(names), "donors")
    batches = cohort.obs[_BATCH].astype(str).to_numpy() if symbols else None
    levels = sorted(set(groups))
    colours = figures.colours_of(levels)
    traces = []
    for level in levels:
        rows = np.flatnonzero(groups == level)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": figures.safe(level),
                "x": figures.rounded(points[rows, 0], 4),
                "y": figures.rounded(points[rows, 1], 4),
                "marker": {
                    "size": 9,
                    "color": colours[level],
                    "line": {"width": 0.7, "color": "#ffffff"},
                    "symbol": [symbols[batches[one]] for one in rows]
                    if batches is not None
                    else "circle",
                },
                "text": [
                    figures.safe(names[one])
                    + (f", batch {figures.safe(batches[one])}" if batches is not None else "")
                    for one in rows
                ],
                "hovertemplate": "%{text}<extra>%{fullData.name}</extra>",
            }
        )
    layout = figures.layout(
        height=330,
        x=f"component 1 ({share(explained[0], 1)})",
        y=f"component 2 ({share(explained[1], 1)})",
        title={"text": figures.safe(title), "font": {"size": 13}, "x": 0.02, "y": 0.985},
        showlegend=len(levels) > 1,
    )
    layout["margin"] |= {"t": 62}
    return {"data": traces, "layout": layout}


def _composition(inputs: ReportInputs, key: str | None) -> figures.Figure:
    """A bar a donor, those of one condition together."""
    assert inputs.cohort is not None
    cohort = inputs.cohort
    table = cohort.obsm[TYPE_CELLS].copy()
    table.columns = table.columns.astype(str)
    groups = cohort.obs[key].astype(str).to_numpy() if key else np.full(len(table), "")
    names = table.index.astype(str).to_numpy()
    order = np.lexsort([names, groups])
    table = table.iloc[order]
    table.index = [
        f"{n} ({g})" if g else n for n, g in zip(names[order], groups[order], strict=True)
    ]
    known = list(dict.fromkeys([*inputs.sizes(slots.CELL_TYPE), *table.columns]))
    figure = figures.composition(
        table, colours=figures.colours_of(known), of="% of the donor's cells"
    )
    if len(table) > _MOST_NAMES:
        layout = figure["layout"]
        layout["height"] -= (22 - 10) * len(table)
        layout["yaxis"] |= {"showticklabels": False}
        layout |= {"bargap": 0.1}
    return figure
