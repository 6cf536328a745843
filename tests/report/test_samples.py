"""Samples side by side against the cells of each."""

import numpy as np
import pandas as pd
import pytest

from scpress.report.clusters import clusters_section
from scpress.report.figures import composition, safe
from scpress.report.samples import samples_section, side_by_side


def test_every_sample_has_a_row_and_a_bar(full):
    section = samples_section(full)
    assert section["n_samples"] == 2
    for row in section["table"]["rows"]:
        qc = full.samples_qc[row[0]].obs
        kept = qc[qc["pass_qc"]]
        assert row[1:3] == [f"{len(kept):,}", f"{len(kept) / len(qc):.1%}"]
        assert row[3] == f"{kept['library_size'].median():,.0f}"
    obs = full.cells.obs
    for trace in section["composition"]["data"]:
        for name, part in zip(trace["y"], trace["x"], strict=True):
            of_sample = obs["cell_type"][obs["sample"].map(lambda s: s == "s2") == (name == "s2")]
            own = of_sample.map(
                lambda t, shown=trace["name"]: (
                    t.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") == shown
                )
            )
            assert part == pytest.approx(100 * own.astype(float).mean(), abs=0.01)


def test_samples_are_in_the_order_of_the_sheet_everywhere(full):
    full.samples_qc = dict(reversed(full.samples_qc.items()))
    section = samples_section(full)
    first, second = (row[0] for row in section["table"]["rows"])
    assert first == "s2"
    for trace in section["composition"]["data"]:
        assert trace["y"] == ["s2", safe(second)]
    bars = clusters_section(full)["by_sample"]["data"]
    assert [trace["name"] for trace in bars] == ["s2", safe(second)]
    # A page of the last file alone knows no sheet.
    full.samples_qc = {}
    assert samples_section(full)["composition"]["data"][0]["y"] == [safe(second), "s2"]


def test_what_was_measured_of_no_sample_has_no_column(full):
    assert "median doublet score" not in samples_section(full)["table"]["header"]
    full.samples_qc["s2"].obs["doublet_score"] = 0.25
    section = samples_section(full)
    column = section["table"]["header"].index("median doublet score")
    assert {row[0]: row[column] for row in section["table"]["rows"]}["s2"] == "0.25"


def test_one_sample_has_nothing_beside_it(full):
    full.cells.obs["sample"] = pd.Categorical(["s2"] * full.cells.n_obs)
    assert samples_section(full) is None


def test_where_no_cell_has_a_type_samples_have_clusters(full):
    full.cells.obs["cell_type"] = pd.Categorical(["unassigned"] * full.cells.n_obs)
    section = samples_section(full)
    assert section["of"] == "clusters"
    assert {one["name"] for one in section["composition"]["data"]} == set(full.cells.obs["leiden"])


def test_bars_add_up_and_boxes_are_the_quantiles():
    table = pd.DataFrame({"a": [1, 3], "b": [3, 0]}, index=["s", "t"])
    bars = composition(table, colours={"a": "#000000", "b": "#111111"}, of="%")["data"]
    assert [one["x"] for one in bars] == [[25.0, 100.0], [75.0, 0.0]]
    values = np.arange(1.0, 102)
    box = side_by_side({"s": values, "none": np.array([np.nan])}, title="t", limits=[50.0, 1e9])
    (trace,) = box["data"]
    assert trace["y"] == ["s"]
    found = [trace[key][0] for key in ("lowerfence", "q1", "median", "q3", "upperfence")]
    assert found == [6.0, 26.0, 51.0, 76.0, 96.0]
    assert [shape["x0"] for shape in box["layout"]["shapes"]] == [50.0]
    assert side_by_side({"s": np.zeros(3)}, title="t", log_axis=True) is None
