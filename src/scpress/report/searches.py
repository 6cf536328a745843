"""What held-out molecules said of the settings of a model: a sentence, a table, a scree."""

import json
from typing import Any

from scpress.report import figures
from scpress.tables.search import Search, Trial


def search_section(found: Search) -> dict[str, Any]:
    """One search that has come to its end."""
    rungs = [f"up to {steps:,} steps" for steps in found.steps]
    header = ["settings", *rungs, "above the best of its last rung, nats per cell", ""]
    rows = [
        [
            _name(trial),
            *(f"{loss:.2f}" for loss in trial.losses),
            *[""] * (len(rungs) - len(trial.losses)),
            _difference(trial),
            "chosen" if number == found.chosen else "",
        ]
        for number, trial in enumerate(found.trials)
    ]
    return {
        "model": found.model,
        "text": describe_search(found),
        "table": {"header": header, "rows": rows},
        "scree": scree_figure(found) if found.singular_values else None,
    }


def describe_search(found: Search) -> str:
    """What was chosen, by how much, and how many dimensions stand out."""
    if found.chosen is None:
        return f"The search for the settings of {found.model} has not come to its end."
    chosen, own = found.trials[found.chosen], found.trials[found.preferred[0]]
    last = [one for one in found.trials if len(one.losses) == len(found.steps)]
    order = sorted(last, key=lambda one: one.difference or 0.0)
    best = order[0]
    if len(found.preferred) > 1:
        text = (
            f"The latent of {found.model} has {chosen.settings['n_latent']} dimensions, the "
            "smallest size within one standard error of the best on molecules that were held out"
        )
    else:
        text = f"Of {len(found.trials)} settings of {found.model} {_name(chosen)}"
        if chosen is best:
            text += " predicts molecules that were held out best"
        else:
            text += " stays: no other predicts held-out molecules better by more than its error"
    gaps = []
    if chosen is not best:
        gaps.append(f"{_name(best)} is better by {_gap(chosen)}")
    elif len(found.preferred) == 1:
        if own is not best and own in last:
            gaps.append(f"{_name(own)} is worse by {_gap(own)}")
        if len(order) > 1 and order[1] is not own:
            second = order[1]
            gaps.append(f"{_name(second)}, the next, by {_gap(second)}")
    text += "".join(f"; {gap}" for gap in gaps) + "."
    if found.guess is not None:
        text += f" {found.guess} dimensions of the counts stand out of their noise."
    return text


def _name(trial: Trial) -> str:
    said = [f"{key} {json.dumps(value)}" for key, value in trial.settings.items()]
    return ", ".join(said).replace('"', "") or "the model as it is"


def _gap(trial: Trial) -> str:
    return f"{trial.difference:.2f} ± {trial.error:.2f} nats per cell"


def _difference(trial: Trial) -> Any:
    if trial.difference is None:
        return "its training failed"
    if not trial.difference:
        return "best"
    return {"text": f"{trial.difference:.2f}", "range": f"± {trial.error:.2f}", "best": False}


def scree_figure(found: Search) -> dict[str, Any]:
    """The largest singular values, and the threshold above which they are more than noise."""
    values = list(found.singular_values)
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": list(range(1, len(values) + 1)),
        "y": figures.rounded(values, 2),
        "marker": {"size": 6, "color": figures.PALETTE[0]},
        "hovertemplate": "dimension %{x}: %{y:.1f}<extra></extra>",
    }
    drawn = figures.layout(height=240, x="dimension", y="singular value")
    line = figures.vertical_line(0) | {"xref": "paper", "x0": 0, "x1": 1, "yref": "y"}
    drawn["shapes"] = [line | {"y0": found.threshold, "y1": found.threshold}]
    return {"data": [trace], "layout": drawn}
