"""Effects side by side, each with its interval, and the line of no effect."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scpress.report import figures


@dataclass(frozen=True)
class Effect:
    """One row; `group` is what is coloured alike, `text` stands where the mouse is."""

    name: str
    value: float
    low: float
    high: float
    text: str
    group: str = ""


def forest_plot(
    effects: Sequence[Effect],
    *,
    x: str,
    none_at: float,
    colours: Mapping[str, str],
    log_axis: bool = False,
) -> figures.Figure:
    """Draw a row an effect, the first on top; a legend where there are several groups."""
    traces = []
    groups = list(dict.fromkeys(one.group for one in effects))
    for group in groups:
        rows = [number for number, one in enumerate(effects) if one.group == group]
        own = [effects[number] for number in rows]
        colour = colours.get(group, figures.PALETTE[0])
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": figures.safe(group),
                "x": figures.rounded([one.value for one in own], 4),
                "y": rows,
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": figures.rounded([one.high - one.value for one in own], 4),
                    "arrayminus": figures.rounded([one.value - one.low for one in own], 4),
                    "color": colour,
                    "thickness": 1.4,
                    "width": 3,
                },
                "marker": {"size": 8, "symbol": "square", "color": colour},
                "text": [figures.safe(one.text) for one in own],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    layout = figures.layout(height=90 + 21 * len(effects), x=x, showlegend=len(groups) > 1)
    line = figures.vertical_line(none_at)
    layout["shapes"] = [line | {"line": {"color": figures.GREY, "width": 1.2, "dash": "dash"}}]
    layout["yaxis"] |= {
        "tickvals": list(range(len(effects))),
        "ticktext": [figures.safe(one.name) for one in effects],
        "range": [len(effects) - 0.4, -0.6],
        "showgrid": False,
    }
    if log_axis:
        ends = [none_at, *(end for one in effects for end in (one.low, one.high))]
        low, high = min(ends) / 1.2, max(ends) * 1.2
        layout["xaxis"] |= {"type": "log", "range": [math.log10(low), math.log10(high)]}
        layout["xaxis"] |= figures.log_ticks(low, high)
    return {"data": traces, "layout": layout}
