"""What more cells would bring: a figure, a table and a verdict."""

from typing import Any

import numpy as np

from scpress.report import figures
from scpress.report.inputs import ReportInputs
from scpress.report.words import share
from scpress.tables.learning_curve import LearningCurve, Outlook

# Of what the model gains over gene means: less is next to nothing.
_SHARE_OF_GAIN = 0.02


def learning_curve_section(inputs: ReportInputs) -> dict[str, Any] | None:
    """The losses by the number of cells, and what twice the cells would bring."""
    curve = inputs.learning_curve
    if curve is None:
        return None
    rows = [
        [f"{point.n_cells:,}", "all" if point is curve.points[-1] else _above(point)]
        for point in curve.points
    ]
    return {
        "model": curve.model,
        "verdict": describe_curve(curve),
        "n_scored": curve.n_scored,
        "n_runs": curve.n_folds * curve.repeats,
        "table": {"header": ["cells", "loss, nats per cell above that of all"], "rows": rows},
        "figure": _figure(curve, curve.outlook) if curve.outlook else None,
    }


def describe_curve(curve: LearningCurve) -> str:
    """What twice the cells would bring, in one sentence."""
    outlook = curve.outlook
    if outlook is None:
        return (
            f"What more cells would bring cannot be told: {curve.n_cells:,} cells are too few for "
            "a curve."
        )
    twice = f"twice the cells ({2 * curve.n_cells:,})"
    interval = f"{outlook.low:.1f} to {outlook.high:.1f}"
    most = max(outlook.high, 0.0)
    if most < _SHARE_OF_GAIN * outlook.over_gene_means:
        return (
            f"More cells would bring next to nothing: {twice} at most {most:.1f} nats per cell"
            f"{_share(most, curve)}."
        )
    if outlook.low <= 0:
        return (
            f"What {twice} would bring cannot be told: by the curve {outlook.gain:.1f} nats per "
            f"cell, and anything from {interval} is possible."
        )
    return (
        f"More cells would help: {twice} would bring about {outlook.gain:.1f} nats per cell "
        f"({interval}){_share(outlook.gain, curve)}."
    )


def _share(part: float, curve: LearningCurve) -> str:
    whole = curve.outlook.over_gene_means if curve.outlook else 0.0
    return (
        f", {share(part, whole)} of what {curve.model} gains over gene means" if whole > 0 else ""
    )


def _above(point: Any) -> dict[str, Any]:
    return {"text": f"{point.difference:.2f}", "range": f"± {point.error:.2f}", "best": False}


def _figure(curve: LearningCurve, outlook: Outlook) -> figures.Figure:
    """Losses above that of all cells, and where twice the cells would be."""
    sizes = [point.n_cells for point in curve.points]
    measured = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "measured",
        "x": sizes,
        "y": figures.rounded([point.difference for point in curve.points], 3),
        "error_y": {
            "type": "data",
            "array": figures.rounded([point.error for point in curve.points], 3),
            "color": "#8a94a3",
            "thickness": 1.2,
        },
        "line": {"color": figures.PALETTE[0], "width": 1.6},
        "marker": {"size": 7},
        "hovertemplate": "%{x:,} cells: %{y:.2f}<extra></extra>",
    }
    ahead = {
        "type": "scatter",
        "mode": "markers",
        "name": "twice the cells, 90 % of what may be",
        "x": [2 * curve.n_cells],
        "y": figures.rounded([-outlook.gain], 3),
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": figures.rounded([max(outlook.gain - outlook.low, 0)], 3),
            "arrayminus": figures.rounded([max(outlook.high - outlook.gain, 0)], 3),
            "color": figures.PALETTE[1],
            "thickness": 1.6,
        },
        "marker": {"size": 9, "symbol": "diamond-open", "color": figures.PALETTE[1]},
        "hovertemplate": "%{x:,} cells: %{y:.2f}<extra></extra>",
    }
    layout = figures.layout(height=260, x="cells", y="loss above that of all, nats per cell")
    ticks = [*sizes, 2 * curve.n_cells]
    layout["xaxis"] |= {
        "type": "log",
        "tickvals": ticks,
        "ticktext": [f"{n:,}" for n in ticks],
        "range": [float(np.log10(sizes[0] / 1.2)), float(np.log10(ticks[-1] * 1.2))],
    }
    return {"data": [measured, ahead], "layout": layout}
