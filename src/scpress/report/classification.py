"""How well donors held out were told apart, on the page: curves, calibration and a verdict."""

from typing import Any

import pandas as pd

from scpress.report import figures
from scpress.report.words import count, join, share
from scpress.tables.classification import Classification, View

# The view of what is known of donors without their counts.
_COVARIATES = "covariates"
_MOST_P = 0.05
_LISTED = 20


def classification_section(
    found: Classification | None, weights: pd.DataFrame | None
) -> dict[str, Any] | None:
    """The views side by side, and figures of the best."""
    if found is None:
        return None
    best = _best(found)
    several = len(found.levels) > 2
    chance = f"{found.majority_accuracy:.2f}"
    rows = [
        [
            view.name,
            f"{view.n_features:,}",
            _with_range(view.auc, view.auc_low, view.auc_high, best=view is best),
            f"{view.p_value:.3f}",
            f"{view.permuted_auc:.2f}",
            _with_range(view.accuracy, view.accuracy_low, view.accuracy_high),
            _with_range(
                view.balanced_accuracy, view.balanced_accuracy_low, view.balanced_accuracy_high
            ),
            f"{view.brier:.3f}",
        ]
        for view in found.views
    ]
    balanced = f"{1 / len(found.levels):.2f}"
    brier = f"{found.views[0].base_brier:.3f}" if found.views else "-"
    rows.append(["majority alone", "0", "0.50", "-", "-", chance, balanced, brier])
    header = ["told by", "features", "AUC", "p", "AUC of permuted labels", "accuracy"]
    header += ["balanced accuracy", "Brier score"]
    return {
        "said": describe_classification(found),
        "table": {"header": header, "rows": rows},
        "held_out": found.held_out,
        "n_folds": found.n_folds,
        "n_permutations": found.n_permutations,
        "case": found.levels[1],
        "several": several,
        "best": best.name if best else None,
        "conditions": _conditions(best) if best and several else None,
        "roc": _roc(found, best) if best else None,
        "calibration": _calibration(found, best) if best else None,
        "weights": _weights(weights, best) if best and weights is not None else None,
    }


def describe_classification(found: Classification) -> list[str]:
    """Whether donors are told apart, and whether covariates alone would do."""
    best = _best(found)
    of = f"{found.condition_key} {join(list(found.levels))}"
    n = count(len(found.unit), "donor")
    if best is None:
        return [f"Whether donors of {of} can be told apart was not tried: there were no features."]
    interval = f"AUC {best.auc:.2f} ({best.auc_low:.2f} to {best.auc_high:.2f})"
    if best.auc_low <= 0.5 or best.p_value > _MOST_P:
        return [
            f"Nothing was found that tells donors of {of} apart: the best on donors held out, "
            f"{best.name}, has {interval}, p {best.p_value:.2g}, where chance has 0.5. With {n}, "
            "differences within that interval are not excluded."
        ]
    said = [
        f"Donors of {of} are told apart on donors held out: {best.name} has {interval}, p "
        f"{best.p_value:.2g}, and is right for {share(best.accuracy, 1)} of {n}, where the most "
        f"frequent condition would be for {share(found.majority_accuracy, 1)}."
    ]
    known = next((one for one in found.views if one.name == _COVARIATES), None)
    if known is not None and known.auc_low > 0.5 and known.auc >= best.auc_low:
        said.append(
            f"Beware: covariates alone tell donors of {of} apart as well (AUC {known.auc:.2f}, "
            f"{known.auc_low:.2f} to {known.auc_high:.2f}): what their counts tell may be no more."
        )
    return said


def _best(found: Classification) -> View | None:
    views = [one for one in found.views if one.name != _COVARIATES]
    return max(views, key=lambda one: one.auc) if views else None


def _with_range(value: float, low: float, high: float, *, best: bool = False) -> dict[str, Any]:
    return {"text": f"{value:.2f}", "range": f"{low:.2f} to {high:.2f}", "best": best}


def _conditions(view: View) -> dict[str, Any]:
    rows = [[one.condition, _with_range(one.auc, one.auc_low, one.auc_high)] for one in view.curves]
    return {"header": ["condition", "AUC against all others"], "rows": rows}


def _roc(found: Classification, best: View) -> figures.Figure:
    """The curve of every view with the interval of the best; of several conditions the best's."""
    if len(found.levels) > 2:
        lines = [(one.condition, one) for one in best.curves]
        shaded = None
    else:
        lines = [(view.name, view.curves[0]) for view in found.views]
        shaded = best.curves[0]
    colours = figures.colours_of([name for name, _ in lines])
    traces: list[dict[str, Any]] = []
    if shaded is not None:
        others = [0.0, *shaded.others, 1.0]
        below = [0.0, *shaded.low, shaded.low[-1]]
        above = [0.0, *shaded.high, 1.0]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": figures.rounded([*others, *reversed(others)], 4),
                "y": figures.rounded([*below, *reversed(above)], 4),
                "fill": "toself",
                "fillcolor": figures.transparent(colours[best.name], 0.18),
                "line": {"width": 0},
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    for name, curve in lines:
        is_known = name == _COVARIATES
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": figures.safe(name),
                "x": figures.rounded([0.0, *curve.others, 1.0], 4),
                "y": figures.rounded([0.0, *curve.cases, 1.0], 4),
                "line": {
                    "color": figures.GREY if is_known else colours[name],
                    "width": 2 if curve is shaded else 1.5,
                },
                "hovertemplate": "%{y:.0%} of cases where %{x:.0%} of others"
                "<extra>%{fullData.name}</extra>",
            }
        )
    case = "the condition" if len(found.levels) > 2 else found.levels[1]
    layout = figures.layout(
        height=360, x="part of the others called", y=f"part of {figures.safe(case)} called"
    )
    layout["shapes"] = [_diagonal()]
    for axis in ("xaxis", "yaxis"):
        layout[axis] |= {"range": [-0.02, 1.02]}
    return {"data": traces, "layout": layout}


def _calibration(found: Classification, best: View) -> figures.Figure:
    bins = best.calibration
    names = [f"{n} donor{'s' if n != 1 else ''}" for n in bins.n]
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": figures.rounded(bins.predicted, 4),
        "y": figures.rounded(bins.observed, 4),
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": figures.rounded(
                [max(h - o, 0) for h, o in zip(bins.high, bins.observed, strict=True)], 4
            ),
            "arrayminus": figures.rounded(
                [max(o - low, 0) for low, o in zip(bins.low, bins.observed, strict=True)], 4
            ),
            "color": "#8a94a3",
            "thickness": 1.2,
        },
        "line": {"color": figures.PALETTE[0], "width": 1.4},
        "marker": {"size": 8},
        "text": names,
        "hovertemplate": "%{text}: predicted %{x:.0%}, found %{y:.0%}<extra></extra>",
    }
    what = "the predicted condition" if len(found.levels) > 2 else figures.safe(found.levels[1])
    layout = figures.layout(
        height=360, x=f"predicted probability of {what}", y=f"part that is {what}", showlegend=False
    )
    layout["shapes"] = [_diagonal()]
    for axis in ("xaxis", "yaxis"):
        layout[axis] |= {"range": [-0.04, 1.04]}
    return {"data": [trace], "layout": layout}


def _diagonal() -> dict[str, Any]:
    line = figures.vertical_line(0) | {"yref": "y", "x0": 0, "x1": 1, "y0": 0, "y1": 1}
    return line | {"line": {"color": figures.GREY, "width": 1.2, "dash": "dash"}}


def _weights(weights: pd.DataFrame, best: View) -> dict[str, Any] | None:
    own = weights[weights["view"] == best.name].head(_LISTED)
    rows = [
        [
            str(row["feature"]),
            str(row["condition"]),
            f"{row['weight']:+.3f}",
            f"{row['share_of_folds']:.0%}",
        ]
        for row in own.to_dict("records")
    ]
    header = ["feature", "speaks for", "mean weight", "folds with this sign"]
    return {"header": header, "rows": rows} if rows else None
