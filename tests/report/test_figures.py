"""Figures hold the data they are given."""

import numpy as np
import pytest

from scpress.report import figures


def test_histogram_holds_all_cells_and_its_limits():
    values = np.array([1.0, 10, 10, 100, np.nan])
    drawn = figures.histogram(
        {"s": values}, title="t", colours={}, limits=[20.0, 1e9], log_axis=True
    )
    assert sum(drawn["data"][0]["y"]) == pytest.approx(100)
    assert [shape["x0"] for shape in drawn["layout"]["shapes"]] == pytest.approx([20])
    assert figures.histogram({"s": np.array([np.nan])}, title="t", colours={}) is None
    constant = figures.histogram({"s": np.ones(5)}, title="t", colours={})
    assert sum(constant["data"][0]["y"]) == pytest.approx(100)


def test_a_code_is_drawn_over_the_bytes_it_costs(full):
    one = full.compressions[0]
    drawn = figures.rate_distortion(
        [*one.precision, *one.curve], key="deviance_explained", title="t"
    )
    by_name = {trace["name"]: trace for trace in drawn["data"]}
    assert set(by_name) == {"model", "PCA"}
    bought = sorted(one.curve, key=lambda code: code.total_bytes)
    assert by_name["PCA"]["x"] == [round(code.bytes_per_cell, 2) for code in bought]
    assert by_name["PCA"]["y"] == [round(code.deviance_explained, 4) for code in bought]
    colours = figures.code_colours([*one.rivals])
    assert colours["PCA"] == figures.RIVALS["PCA"]
    assert colours["m"] == figures.PALETTE[0]
