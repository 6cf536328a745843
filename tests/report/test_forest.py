"""Effects with their intervals."""

import numpy as np
import pytest

from scpress.report.forest import Effect, forest_plot

EFFECTS = [
    Effect("a <b>", 1.0, 0.5, 2.5, "a", "one"),
    Effect("b", -1.0, -2.0, -0.5, "b", "two"),
    Effect("c", 0.5, 0.2, 0.6, "c", "one"),
]


def test_each_effect_has_a_row_and_its_interval():
    figure = forest_plot(EFFECTS, x="change", none_at=0.0, colours={"two": "#123456"})
    one, two = figure["data"]
    assert (one["x"], one["y"]) == ([1.0, 0.5], [0, 2])
    assert one["error_x"]["array"] == pytest.approx([1.5, 0.1])
    assert one["error_x"]["arrayminus"] == pytest.approx([0.5, 0.3])
    assert two["marker"]["color"] == "#123456"
    layout = figure["layout"]
    assert layout["showlegend"]
    assert layout["yaxis"]["ticktext"] == ["a &lt;b&gt;", "b", "c"]
    # The first is on top.
    assert layout["yaxis"]["range"][0] > layout["yaxis"]["range"][1]
    assert layout["shapes"][0]["x0"] == 0.0


def test_ratios_have_a_logarithmic_axis_that_holds_no_effect():
    figure = forest_plot(
        [Effect("a", 4.0, 2.0, 8.0, "a")], x="ratio", none_at=1.0, colours={}, log_axis=True
    )
    axis = figure["layout"]["xaxis"]
    low, high = 10 ** np.array(axis["range"])
    assert low < 1 < 8 < high
    assert 1.0 in axis["tickvals"]
    assert not figure["layout"]["showlegend"]
