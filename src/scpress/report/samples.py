"""Samples side by side: what was kept of each, how good its cells are, and what they are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from scpress import slots
from scpress.report import figures
from scpress.report.inputs import ReportInputs
from scpress.report.summary import sample_numbers
from scpress.report.words import share

# Fewer samples are drawn as outlines, which show more; more of them cannot be told apart.
MOST_OUTLINES = 4
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Medians of a sample's kept cells.
_MEDIANS = (
    (slots.LIBRARY_SIZE, "median molecules", "{:,.0f}"),
    (slots.N_GENES, "median genes", "{:,.0f}"),
    (slots.PCT_MT, "median mitochondrial, %", "{:.1f}"),
    (slots.DOUBLET_SCORE, "median doublet score", "{:.2f}"),
)


def samples_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """A row a sample, and a bar a sample of its cell types or clusters; None for one sample."""
    sizes = inputs.sizes(slots.SAMPLE)
    if len(sizes) < 2:
        return None
    by = slots.CELL_TYPE if len(inputs.sizes(slots.CELL_TYPE)) > 1 else slots.LEIDEN
    sample, group = inputs.column(slots.SAMPLE), inputs.column(by)
    figure = None
    if sample is not None and group is not None and len(inputs.sizes(by)) > 1:
        table = pd.crosstab(sample, group)
        table = table.loc[in_sheet_order(inputs, table.index)]
        table.columns = table.columns.astype(str)
        colours = figures.colours_of(list(inputs.sizes(by)))
        figure = figures.composition(table, colours=colours, of="% of the sample's cells")
    return {
        "n_samples": len(sizes),
        "table": _side_by_side(inputs),
        "composition": figure,
        "of": "cell types" if by is slots.CELL_TYPE else "clusters",
    }


def in_sheet_order(inputs: ReportInputs, samples: Iterable[str]) -> list[str]:
    """The samples as the sheet has them, where it is known, so that s2 comes before s10."""
    place = {name: number for number, name in enumerate(inputs.samples_qc)}
    return sorted(samples, key=lambda name: place.get(name, len(place)))


def _side_by_side(inputs: ReportInputs) -> dict[str, Any] | None:
    if not inputs.samples_qc:
        return None
    shown = [one for one in _MEDIANS if _is_measured(inputs, one[0])]
    rows = []
    for name, qc in inputs.samples_qc.items():
        numbers, kept = sample_numbers(qc.obs), qc.obs[qc.obs[slots.PASS_QC.name].to_numpy()]
        medians = [
            text.format(kept[slot.name].median())
            if slot.name in kept and kept[slot.name].notna().any()
            else "-"
            for slot, _, text in shown
        ]
        kept_share = share(numbers["n_kept"], numbers["n_cells"], 1)
        rows.append([name, f"{numbers['n_kept']:,}", kept_share, *medians])
    return {"header": ["sample", "cells kept", "of all", *(s[1] for s in shown)], "rows": rows}


def _is_measured(inputs: ReportInputs, slot: slots.Slot) -> bool:
    tables = [qc.obs for qc in inputs.samples_qc.values()]
    return any(slot.name in obs and obs[slot.name].notna().any() for obs in tables)


def side_by_side(
    values: Mapping[str, np.ndarray],
    *,
    title: str,
    limits: Sequence[float] = (),
    log_axis: bool = False,
) -> figures.Figure | None:
    """A bar a sample: the middle half of its cells, its median, and whiskers to the middle 90 %."""
    finite = {name: v[np.isfinite(v) & ((v > 0) | (not log_axis))] for name, v in values.items()}
    finite = {name: v for name, v in finite.items() if len(v)}
    if not finite:
        return None
    low, first, middle, third, high = np.array(
        [np.quantile(v, _QUANTILES) for v in finite.values()]
    ).T
    trace = {
        "type": "box",
        "orientation": "h",
        "y": [figures.safe(name) for name in finite],
        "lowerfence": figures.rounded(low, 4),
        "q1": figures.rounded(first, 4),
        "median": figures.rounded(middle, 4),
        "q3": figures.rounded(third, 4),
        "upperfence": figures.rounded(high, 4),
        "line": {"width": 1.2, "color": figures.PALETTE[0]},
        "fillcolor": figures.transparent(figures.PALETTE[0], 0.25),
        "showlegend": False,
    }
    span = [limit for limit in limits if low.min() / 2 <= limit <= high.max() * 2]
    layout = figures.layout(
        height=90 + 20 * len(finite),
        title={"text": title, "font": {"size": 13}, "x": 0.02, "y": 0.97},
        showlegend=False,
        shapes=[figures.vertical_line(limit) for limit in span],
    )
    layout["yaxis"] |= {"autorange": "reversed", "type": "category"}
    if log_axis:
        layout["xaxis"] |= {"type": "log"} | figures.log_ticks(low.min() / 1.2, high.max() * 1.2)
    return {"data": [trace], "layout": layout}
