"""Groups that donors fall into, on the page: kept or not, and what goes with them."""

from typing import Any

import numpy as np

from scpress.report import figures
from scpress.report.survival import life_curves
from scpress.report.words import sentence
from scpress.tables.donor_subtypes import DonorSubtypes, SubtypeSurvival, TriedView

_LISTED = 30


def donor_subtypes_section(found: DonorSubtypes | None) -> dict[str, Any] | None:
    """What was tried in each view of the donors, and the groups that were kept."""
    if found is None:
        return None
    rows = [
        [
            view.name,
            f"{view.n_features:,}",
            f"{view.n_groups:,}" if view.n_groups else "-",
            f"{view.adjusted_p:.3f}",
            _agreement(view.donors_stability),
            _agreement(view.cells_stability),
            "yes" if view.is_supported else "no",
            view.reason,
        ]
        for view in found.views
    ]
    header = ["view", "features", "groups tried", "adjusted p", "ARI without some donors"]
    header += ["ARI of cells drawn anew", "kept", "reason"]
    kept = next((view for view in found.views if view.name == found.view), None)
    return {
        "said": sentence(found.verdict),
        "table": {"header": header, "rows": rows},
        "map": _map(found, kept) if kept else None,
        "associations": _associations(found),
        "survival": _survival(found.survival) if found.survival else None,
    }


def _agreement(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _map(found: DonorSubtypes, view: TriedView) -> figures.Figure:
    """The first two components of the view that was kept, coloured by subtype."""
    subtype = np.array(found.donor_subtype)
    x, y = np.array(view.x), np.array(view.y)
    levels = sorted(set(found.donor_subtype))
    texts = [
        f"{figures.safe(donor)}, confidence {value:.2f}"
        for donor, value in zip(found.donor, found.confidence or (), strict=True)
    ]
    colours = figures.colours_of(levels)
    traces = []
    for level in levels:
        rows = np.flatnonzero(subtype == level)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": figures.safe(level),
                "x": figures.rounded(x[rows], 4),
                "y": figures.rounded(y[rows], 4),
                "marker": {"size": 9, "color": colours[level]},
                "text": [texts[row] for row in rows],
                "hovertemplate": "%{text}<extra>%{fullData.name}</extra>",
            }
        )
    layout = figures.layout(height=340, x="component 1", y="component 2")
    return {"data": traces, "layout": layout}


def _associations(found: DonorSubtypes) -> dict[str, Any] | None:
    first = sorted(found.associations, key=lambda one: (one.fdr, one.p_value))[:_LISTED]
    rows = [
        [
            one.of,
            one.column,
            one.test,
            f"{one.n_donors:,}",
            f"{one.effect:.2f}",
            f"{one.p_value:.2g}",
            f"{one.fdr:.2g}",
        ]
        for one in first
    ]
    header = ["of", "goes with", "test", "donors", "effect", "p", "FDR"]
    return {"header": header, "rows": rows} if rows else None


def _survival(found: SubtypeSurvival) -> dict[str, Any]:
    return {
        "said": f"Subtypes and {found.time_key}: log-rank p {found.log_rank_p:.2g}, "
        f"{found.n_events:,} events of {found.n_donors:,} donors.",
        "figure": life_curves(found.curves, x=found.time_key),
    }
