"""The figures of the page, as plotly's JSON: data in, a dictionary of traces and layout out."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from scpress.report.words import share
from scpress.tables.compression import GENE_MEAN, NMF, PCA, Code, LossyCode

Figure = dict[str, Any]

# Distinct on white and for the common kinds of colour blindness as far as 20 colours can be.
PALETTE = (
    *("#3b76af", "#ef8536", "#4f9d4e", "#c53a32", "#8d6ab8", "#84584e", "#d57dbe"),
    *("#b9a12b", "#58bbcc", "#7f9bd1", "#f0b87c", "#a6d692", "#ee9e9b", "#c2b3d9"),
    *("#bf9f98", "#1f4e79", "#8a5a00", "#2f5d34", "#7a1f1a", "#4b2e6f"),
)
GREY = "#b8bcc2"
INK, LINE = "#2b3440", "#e4e7eb"
FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif"
# Names of "no answer" are drawn in grey, whatever the column.
NO_ANSWER = ("unassigned", "nan", "unknown")
# Codes that are compared with.
RIVALS = {PCA: "#8a94a3", NMF: "#5b6573", GENE_MEAN: "#c4a484"}


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """Category -> colour."""
    named = [name for name in names if name.lower() not in NO_ANSWER]
    colours = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(named)}
    return {name: colours.get(name, GREY) for name in names}


def safe(text: Any) -> str:
    """Escape a user's string for plotly, whose labels take a few HTML tags."""
    return html.escape(str(text), quote=False)


def layout(*, height: int = 320, x: str = "", y: str = "", **more: Any) -> dict[str, Any]:
    """Make the layout all figures share."""
    axis = {"gridcolor": LINE, "zeroline": False, "linecolor": "#c9ced6", "automargin": True}
    return {
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 28, "b": 44},
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": PALETTE,
        "hoverlabel": {"font": {"family": FONT, "size": 12}},
        "xaxis": axis | {"title": {"text": x}},
        "yaxis": axis | {"title": {"text": y}},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    } | more


def histogram(
    values: Mapping[str, np.ndarray],
    *,
    title: str,
    colours: Mapping[str, str],
    limits: Sequence[float] = (),
    log_axis: bool = False,
) -> Figure | None:
    """Distributions of one metric, one outline per group; limits as dashed lines.

    Binned here, so that the page does not grow with the number of cells.
    """
    finite = {name: v[np.isfinite(v)].astype(float) for name, v in values.items()}
    if log_axis:
        finite = {name: np.log10(v[v > 0]) for name, v in finite.items()}
        limits = [float(np.log10(limit)) for limit in limits if limit > 0]
    finite = {name: v for name, v in finite.items() if len(v)}
    if not finite:
        return None
    everything = np.concatenate(list(finite.values()))
    low, high = float(everything.min()), float(everything.max())
    # A limit far outside would squeeze the distribution; it is then named in the table only.
    span = max(high - low, 1e-9)
    limits = [limit for limit in limits if low - span / 4 <= limit <= high + span / 4]
    edges = np.linspace(min([low, *limits]), max([high, *limits]) + span * 1e-6 + 1e-12, 51)
    centers = (edges[:-1] + edges[1:]) / 2
    traces = []
    for name, one in finite.items():
        part = np.histogram(one, bins=edges)[0] / len(one) * 100
        colour = colours.get(name, PALETTE[0])
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": safe(name),
                "x": rounded(10**centers if log_axis else centers, 4),
                "y": rounded(part, 3),
                "line": {"shape": "hvh", "width": 1.5, "color": colour},
                "fill": "tozeroy",
                "fillcolor": transparent(colour, 0.35 if len(finite) == 1 else 0.10),
                "hovertemplate": "%{x:,.4~g}: %{y:.1f} % of cells<extra>%{fullData.name}</extra>",
            }
        )
    lines = [10**limit if log_axis else limit for limit in limits]
    figure_layout = layout(
        height=230,
        y="% of cells",
        title={"text": title, "font": {"size": 13}, "x": 0.02, "y": 0.97},
        showlegend=False,
        shapes=[vertical_line(at) for at in lines],
    )
    if log_axis:
        figure_layout["xaxis"] |= {"type": "log"} | log_ticks(10 ** edges[0], 10 ** edges[-1])
    return {"data": traces, "layout": figure_layout}


def log_ticks(low: float, high: float) -> dict[str, Any]:
    """Ticks at 1, 2, 5 of every decade in a range, or at its decades where there are many."""
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    steps = (1, 2, 5) if np.log10(high / low) < 2.5 else (1,)
    values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    shown = [value for value in values if low <= value <= high]
    return {"tickvals": shown, "ticktext": [f"{value:,.6g}" for value in shown]} if shown else {}


def vertical_line(at: float) -> dict[str, Any]:
    """Make a dashed line over the whole height."""
    return {
        "type": "line",
        "x0": at,
        "x1": at,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "line": {"color": "#c53a32", "width": 1.5, "dash": "dash"},
    }


def training_curves(histories: Mapping[str, pd.DataFrame], *, gene_mean: float | None) -> Figure:
    """Losses of one model over the steps, one pair of lines per seed."""
    traces = []
    for number, (seed, history) in enumerate(histories.items()):
        colour = PALETTE[number % len(PALETTE)]
        for name, key, dash in (
            ("training", "train_loss", "dot"),
            ("held-out cells", "validation_loss", "solid"),
        ):
            if key not in history:
                continue
            shown = history.iloc[:: max(1, len(history) // 600)]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines" if len(history) > 1 else "markers",
                    "name": f"{name}, seed {safe(seed)}",
                    "x": shown["step"].tolist(),
                    "y": rounded(shown[key].to_numpy(dtype=float), 6),
                    "line": {"color": colour, "dash": dash, "width": 1.6},
                    "hovertemplate": "step %{x}: %{y:.2f}<extra>%{fullData.name}</extra>",
                }
            )
    figure_layout = layout(height=300, x="optimizer step", y="loss, nats per cell")
    if gene_mean is not None and np.isfinite(gene_mean):
        figure_layout["shapes"] = [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": gene_mean,
                "y1": gene_mean,
                "line": {"color": GREY, "width": 1.5, "dash": "dash"},
            }
        ]
        figure_layout["annotations"] = [
            {
                "xref": "paper",
                "x": 0.995,
                "xanchor": "right",
                "y": gene_mean,
                "yanchor": "bottom",
                "text": "gene means alone",
                "showarrow": False,
                "font": {"size": 11, "color": "#6b7480"},
            }
        ]
    return {"data": traces, "layout": figure_layout}


def stability_curve(table: pd.DataFrame, *, chosen: float, threshold: float | None) -> Figure:
    """Agreement under subsampling over resolutions, the chosen one marked."""
    high = (table["ari_high"] - table["ari_mean"]).clip(lower=0)
    low = (table["ari_mean"] - table["ari_low"]).clip(lower=0)
    is_chosen = np.isclose(table["resolution"], chosen)
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": table["resolution"].tolist(),
        "y": rounded(table["ari_mean"].to_numpy(), 4),
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": rounded(high.to_numpy(), 4),
            "arrayminus": rounded(low.to_numpy(), 4),
            "color": "#8a94a3",
            "thickness": 1.2,
        },
        "line": {"color": PALETTE[0], "width": 1.6},
        "marker": {
            "size": [13 if one else 7 for one in is_chosen],
            "color": [PALETTE[1] if one else PALETTE[0] for one in is_chosen],
        },
        "text": [f"{int(n)} cluster{'s' if n != 1 else ''}" for n in table["n_clusters"]],
        "hovertemplate": "resolution %{x}: %{text}, ARI %{y:.2f}<extra></extra>",
    }
    notes = [
        {
            "x": float(resolution),
            "y": float(mean),
            "text": str(int(count)),
            "showarrow": False,
            "yshift": 14,
            "xshift": 9,
            "font": {"size": 11, "color": "#6b7480"},
        }
        for resolution, mean, count in zip(
            table["resolution"], table["ari_mean"], table["n_clusters"], strict=True
        )
    ]
    figure_layout = layout(
        height=300, x="Leiden resolution", y="ARI under subsampling", annotations=notes
    )
    figure_layout["yaxis"]["range"] = [min(0.0, float(table["ari_low"].min()) - 0.05), 1.1]
    if threshold is not None:
        line = vertical_line(0) | {"xref": "paper", "x0": 0, "x1": 1, "yref": "y"}
        line |= {"y0": threshold, "y1": threshold}
        figure_layout["shapes"] = [line | {"line": {"color": GREY, "width": 1.2, "dash": "dash"}}]
    return {"data": [trace], "layout": figure_layout}


def composition(table: pd.DataFrame, *, colours: Mapping[str, str], of: str) -> Figure:
    """Share of the columns in each row, stacked bars."""
    part = table.div(table.sum(axis=1), axis=0) * 100
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": safe(name),
            "y": [safe(row) for row in table.index],
            "x": rounded(part[name].to_numpy(), 2),
            "marker": {"color": colours[str(name)]},
            "customdata": table[name].tolist(),
            "hovertemplate": "%{customdata} cells, %{x:.1f} %<extra>%{fullData.name}</extra>",
        }
        for name in table.columns
    ]
    # Names stand above the bars, some to a line.
    above = 22 * (1 + len(table.columns) // 4)
    figure_layout = layout(height=90 + above + 22 * len(table), x=of)
    figure_layout |= {"barmode": "stack"}
    figure_layout["margin"] |= {"t": 20 + above}
    figure_layout["legend"] |= {"traceorder": "normal"}
    figure_layout["yaxis"] |= {"autorange": "reversed", "type": "category"}
    return {"data": traces, "layout": figure_layout}


def dot_plot(
    mean: np.ndarray, fraction: np.ndarray, *, groups: Sequence[str], genes: Sequence[str]
) -> Figure:
    """Draw groups x genes: colour is the mean relative to the gene's highest, size the fraction."""
    top = mean.max(axis=0)
    relative = mean / np.where(top > 0, top, 1)
    rows, columns = np.indices(mean.shape)
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": columns.ravel().tolist(),
        "y": rows.ravel().tolist(),
        "marker": {
            "size": rounded(2 + 14 * np.sqrt(fraction.ravel()), 1),
            "color": rounded(relative.ravel(), 3),
            "cmin": 0,
            "cmax": 1,
            "colorscale": [[0, "#eef2f6"], [0.5, "#7fb0c9"], [1, "#12466b"]],
            "line": {"width": 0.5, "color": "#9aa5b1"},
            "colorbar": {
                "title": {"text": "mean,<br>of max", "font": {"size": 11}},
                "thickness": 10,
                "len": 0.8,
                "outlinewidth": 0,
            },
        },
        "text": [
            f"{safe(genes[c])} in {safe(groups[r])}<br>mean log-value {mean[r, c]:.2f}<br>"
            f"in {share(fraction[r, c], 1)} of cells"
            for r, c in zip(rows.ravel().tolist(), columns.ravel().tolist(), strict=True)
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }
    # The bar of colours needs some height, however few the groups.
    figure_layout = layout(height=130 + 24 * max(len(groups), 5))
    figure_layout["xaxis"] |= {
        "tickvals": list(range(len(genes))),
        "ticktext": [safe(gene) for gene in genes],
        "tickangle": -60,
        "tickfont": {"size": 10},
        "range": [-0.7, len(genes) - 0.3],
        "showgrid": False,
    }
    figure_layout["yaxis"] |= {
        "tickvals": list(range(len(groups))),
        "ticktext": [safe(group) for group in groups],
        "range": [len(groups) - 0.4, -0.6],
    }
    # Names of genes cannot be read when they stand closer than this.
    return {"data": [trace], "layout": figure_layout, "min_width": 200 + 15 * len(genes)}


def rate_distortion(points: Sequence[Code], *, key: str, title: str) -> Figure:
    """Draw what codes keep over the bytes they cost; one line per code."""
    traces = []
    for name, colour in code_colours(points).items():
        own = [p for p in points if p.code == name and getattr(p, key) is not None]
        own.sort(key=lambda point: point.total_bytes)
        if not own:
            continue
        is_rival = name in RIVALS
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if is_rival and len(own) > 1 else "markers",
                "name": safe(name),
                "x": rounded([point.bytes_per_cell for point in own], 2),
                "y": rounded([getattr(point, key) for point in own], 4),
                "text": [f"{p.n_latent} dimensions, {safe(p.precision)}" for p in own],
                "line": {"color": colour},
                "marker": {
                    "size": 7 if is_rival else 11,
                    "symbol": "circle" if is_rival else "diamond",
                    "color": colour,
                },
                "hovertemplate": "%{text}<br>%{x:,.0f} bytes per cell: %{y:.3f}"
                "<extra>%{fullData.name}</extra>",
            }
        )
    figure_layout = layout(
        height=320, x="bytes per cell, decoder included", y=title, showlegend=False
    )
    costs = [point.bytes_per_cell for point in points]
    figure_layout["xaxis"] |= {"type": "log"} | log_ticks(min(costs) / 1.2, max(costs) * 1.2)
    return {"data": traces, "layout": figure_layout}


def lossy_front(codes: Sequence[LossyCode], front: Sequence[LossyCode]) -> Figure:
    """Draw what codes say of unseen molecules over their bytes, and the front of the best."""
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "the best at each size",
            "x": rounded([code.bytes_per_cell for code in front], 2),
            "y": rounded([code.unseen_deviance_explained for code in front], 4),
            "line": {"color": INK, "width": 1.2, "shape": "hv"},
            "hoverinfo": "skip",
        }
    ]
    for name, colour in code_colours(codes).items():
        own = [code for code in codes if code.code == name]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": safe(name),
                "x": rounded([code.bytes_per_cell for code in own], 2),
                "y": rounded([code.unseen_deviance_explained for code in own], 4),
                "text": [
                    f"{code.n_latent} dimensions, {safe(code.precision)}, weights "
                    f"{safe(code.weights_precision)}"
                    for code in own
                ],
                "marker": {
                    "color": colour,
                    "size": [10 if code in front else 6 for code in own],
                    "symbol": "circle" if name in RIVALS else "diamond",
                },
                "hovertemplate": "%{text}<br>%{x:,.1f} bytes per cell: %{y:.3f}"
                "<extra>%{fullData.name}</extra>",
            }
        )
    figure_layout = layout(
        height=380,
        x="bytes per cell, all that decoding needs",
        y="deviance explained, held-out molecules",
        showlegend=False,
    )
    costs = [code.bytes_per_cell for code in codes]
    figure_layout["xaxis"] |= {"type": "log"} | log_ticks(min(costs) / 1.2, max(costs) * 1.2)
    # Codes that are worse than the gene mean may be so by any amount.
    scores = [code.unseen_deviance_explained for code in codes]
    low, high = max(min(scores), -0.02), max(*scores, 0.01)
    figure_layout["yaxis"] |= {"range": [low - 0.05 * (high - low), high + 0.05 * (high - low)]}
    return {"data": traces, "layout": figure_layout}


def code_colours(points: Sequence[Code] | Sequence[LossyCode]) -> dict[str, str]:
    """Code -> colour; rivals are grey."""
    names = list(dict.fromkeys(point.code for point in points))
    models = [name for name in names if name not in RIVALS]
    colours = dict(zip(models, PALETTE * (len(models) // len(PALETTE) + 1), strict=False))
    return {name: colours.get(name, RIVALS.get(name, GREY)) for name in names}


def rounded(values: Any, digits: int) -> list[float | None]:
    """Numbers short enough for a page; what is not finite becomes a gap."""
    array = np.asarray(values, dtype=float)
    return [round(v, digits) if np.isfinite(v) else None for v in array.tolist()]


def transparent(colour: str, alpha: float) -> str:
    """#rrggbb as rgba."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
