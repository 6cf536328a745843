"""What the page says and draws of who lives longer."""

import dataclasses

import numpy as np
import pytest

from scpress.report.survival import describe_survival, life_curves, survival_section
from scpress.tables.survival import Hazard


def test_the_verdict_is_no_more_than_the_interval_allows(donors):
    found = donors["survival"]
    number = "concordance 0.70 (0.55 to 0.85; 12 donors, 8 events), where chance has 0.5."
    assert describe_survival(found) == (
        f"Counts tell which donors live longer, on donors held out: {number}"
    )
    none = dataclasses.replace(found, concordance_low=0.5)
    assert describe_survival(none).startswith("Nothing was found that tells from counts which")
    assert survival_section(None) is None


def test_curves_are_stairs_with_their_intervals(donors):
    found = donors["survival"]
    section = survival_section(found)
    band, line, strokes = section["figure"]["data"][:3]
    low = found.curves[0]
    assert line["x"] == [0.0, *low.time, max(*low.time, *low.censored)]
    assert line["y"] == pytest.approx([1.0, *low.alive, low.alive[-1]], abs=1e-4)
    assert line["text"][0] == "6 donors until here"
    # Of a donor last seen alive, the stroke is on the line.
    assert strokes["x"] == list(low.censored)
    at = [np.append(1.0, low.alive)[np.sum(np.array(low.time) <= t)] for t in low.censored]
    assert strokes["y"] == pytest.approx(at, abs=1e-4)
    # Each value stays until the next death.
    assert band["x"][:3] == [0.0, low.time[0], low.time[0]]
    assert band["y"][:3] == pytest.approx([1.0, 1.0, low.low[0]], abs=1e-4)
    # Who is last seen when another dies has outlived that.
    tied = dataclasses.replace(low, censored=low.time[:1])
    strokes = life_curves([tied], x="days")["data"][2]
    assert strokes["y"] == pytest.approx([low.alive[0]], abs=1e-4)
    n = len(band["y"]) // 2
    assert np.all(np.array(band["y"][:n]) <= np.array(band["y"][n:][::-1]))
    rows = section["table"]["rows"]
    assert [row[:3] for row in rows] == [["lower risk", "6", "4"], ["higher risk", "6", "4"]]
    dead = [t for t, alive in zip(low.time, low.alive, strict=True) if alive <= 0.5]
    assert rows[0][3] == f"{dead[0]:g}"


def test_hazards_are_ratios_and_endless_ones_end(donors):
    (trace,) = survival_section(donors["survival"])["hazards"]["data"]
    assert trace["x"] == pytest.approx([np.exp(0.7)], abs=1e-3)
    endless = Hazard(name="half", log_ratio=40.0, error=1e6, p_value=1.0)
    section = survival_section(dataclasses.replace(donors["survival"], hazards=(endless,)))
    assert np.isfinite(section["hazards"]["data"][0]["error_x"]["array"]).all()
    none = dataclasses.replace(donors["survival"], hazards=())
    assert survival_section(none)["hazards"] is None
    alive = dataclasses.replace(donors["survival"].curves[0], time=(), alive=(), n_at_risk=())
    alive = dataclasses.replace(alive, low=(), high=())
    section = survival_section(dataclasses.replace(donors["survival"], curves=(alive,)))
    assert section["table"]["rows"][0][3] == "not reached"
