"""Whether counts of donors tell who lives longer, on the page."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from scpress.report import figures
from scpress.report.forest import Effect, forest_plot
from scpress.report.words import count
from scpress.tables.survival import Curve, Survival

_Z = 1.959964
_MOST_P = 0.05


def survival_section(found: Survival | None) -> dict[str, Any] | None:
    """Curves of the halves of predicted risk, and the hazards of that risk."""
    if found is None:
        return None
    rows = [
        [
            one.name,
            f"{one.n_donors:,}",
            f"{one.n_events:,}",
            _median(one),
        ]
        for one in found.curves
    ]
    header = [
        "half of the donors",
        "donors",
        f"events ({found.event_key})",
        "half of them live until",
    ]
    return {
        "said": describe_survival(found),
        "time_key": found.time_key,
        "event_key": found.event_key,
        "n_folds": found.n_folds,
        "log_rank": f"{found.log_rank_p:.2g}",
        "permuted": f"{found.permuted:.2f}",
        "table": {"header": header, "rows": rows},
        "figure": life_curves(found.curves, x=found.time_key),
        "hazards": _hazards(found) if found.hazards else None,
    }


def describe_survival(found: Survival) -> str:
    """Whether donors held out are ordered by their hazard, in one sentence."""
    interval = f"{found.concordance_low:.2f} to {found.concordance_high:.2f}"
    of = f"{count(found.n_donors, 'donor')}, {count(found.n_events, 'event')}"
    number = f"concordance {found.concordance:.2f} ({interval}; {of}), where chance has 0.5"
    if found.concordance_low <= 0.5:
        return (
            f"Nothing was found that tells from counts which donors live longer: on donors held "
            f"out {number}."
        )
    return f"Counts tell which donors live longer, on donors held out: {number}."


def _median(curve: Curve) -> str:
    """The first time from which on no more than half are alive."""
    dead = [at for at, alive in zip(curve.time, curve.alive, strict=True) if alive <= 0.5]
    return f"{dead[0]:,.4g}" if dead else "not reached"


def life_curves(curves: Sequence[Curve], *, x: str) -> figures.Figure:
    """Stairs with their intervals; short strokes are donors last seen alive."""
    traces: list[dict[str, Any]] = []
    colours = figures.colours_of([one.name for one in curves])
    last = max([0.0, *(at for one in curves for at in (*one.time, *one.censored))])
    for curve in curves:
        colour = colours[curve.name]
        end = max([0.0, *curve.time, *curve.censored])
        time = [0.0, *curve.time, end]
        alive, low, high = (
            [1.0, *values, values[-1] if values else 1.0]
            for values in (curve.alive, curve.low, curve.high)
        )
        band = _stairs(time, low), _stairs(time, high)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": figures.rounded([*band[0][0], *reversed(band[1][0])], 5),
                "y": figures.rounded([*band[0][1], *reversed(band[1][1])], 4),
                "fill": "toself",
                "fillcolor": figures.transparent(colour, 0.15),
                "line": {"width": 0},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
        at_risk = [curve.n_donors, *curve.n_at_risk, *curve.n_at_risk[-1:]] if curve.time else []
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": figures.safe(curve.name),
                "x": figures.rounded(time, 5),
                "y": figures.rounded(alive, 4),
                "text": [f"{n:,} donors until here" for n in at_risk],
                "line": {"color": colour, "width": 1.8, "shape": "hv"},
                "hovertemplate": "%{x:,.6~g}: %{y:.0%} alive, %{text}"
                "<extra>%{fullData.name}</extra>",
            }
        )
        place = np.searchsorted(curve.time, curve.censored, side="right")
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": figures.rounded(curve.censored, 5),
                "y": figures.rounded(np.array([1.0, *curve.alive])[place], 4),
                "marker": {
                    "symbol": "line-ns",
                    "size": 7,
                    "color": colour,
                    "line": {"width": 1, "color": colour},
                },
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    layout = figures.layout(height=360, x=figures.safe(x), y="part that is alive")
    layout["yaxis"] |= {"range": [-0.02, 1.04]}
    layout["xaxis"] |= {"range": [-0.02 * last, 1.02 * last]}
    return {"data": traces, "layout": layout}


def _stairs(time: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    """The corners of a line that keeps each value until the next time."""
    x, y = [time[0]], [values[0]]
    for (_, before), (at, value) in pairwise(zip(time, values, strict=True)):
        x += [at, at]
        y += [before, value]
    return x, y


def _hazards(found: Survival) -> figures.Figure:
    effects = []
    for one in found.hazards:
        # A hazard that is infinitely larger has no end on a page.
        value, low, high = (
            float(np.exp(np.clip(one.log_ratio + side * _Z * one.error, -12, 12)))
            for side in (0, -1, 1)
        )
        text = f"{one.name}: {value:.3g} ({low:.3g} to {high:.3g}), p {one.p_value:.2g}"
        effects.append(Effect(name=one.name, value=value, low=low, high=high, text=text))
    return forest_plot(
        effects, x="hazard ratio of the predicted risk", none_at=1.0, colours={}, log_axis=True
    )
