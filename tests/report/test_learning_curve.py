"""What the page says of more cells."""

import dataclasses
from types import SimpleNamespace

import pytest

from scpress.config.options import ReportOptions
from scpress.report.learning_curve import describe_curve, learning_curve_section
from scpress.report.page import build_report
from scpress.tables.learning_curve import CurvePoint, LearningCurve, Outlook

CURVE = LearningCurve(
    model="m",
    seed=0,
    n_cells=1000,
    n_folds=2,
    repeats=3,
    n_scored=250,
    points=(
        CurvePoint(n_cells=250, loss=9.0, difference=6.0, error=1.25),
        CurvePoint(n_cells=500, loss=5.0, difference=2.0, error=0.5),
        CurvePoint(n_cells=1000, loss=3.0, difference=0.0, error=0.0),
    ),
)


def with_outlook(gain, low, high, over_gene_means=50.0):
    outlook = Outlook(gain=gain, low=low, high=high, exponent=0.5, over_gene_means=over_gene_means)
    return dataclasses.replace(CURVE, outlook=outlook)


HELPS = "More cells would help: twice the cells (2,000) would bring about 5.0 nats per cell"


@pytest.mark.parametrize(
    ("curve", "text"),
    [
        (with_outlook(5, 2, 8), f"{HELPS} (2.0 to 8.0), 10% of what m gains over gene means."),
        (with_outlook(5, 2, 8, -1.0), f"{HELPS} (2.0 to 8.0)."),
        (
            with_outlook(1, -2, 5),
            "What twice the cells (2,000) would bring cannot be told: by the curve 1.0 nats per "
            "cell, and anything from -2.0 to 5.0 is possible.",
        ),
        (
            with_outlook(0.2, -2, 0.5),
            "More cells would bring next to nothing: twice the cells (2,000) at most 0.5 nats per "
            "cell, 1% of what m gains over gene means.",
        ),
        (
            with_outlook(-2, -3, -1),
            "More cells would bring next to nothing: twice the cells (2,000) at most 0.0 nats per "
            "cell, 0% of what m gains over gene means.",
        ),
        (
            CURVE,
            "What more cells would bring cannot be told: 1,000 cells are too few for a curve.",
        ),
    ],
)
def test_the_verdict_is_no_more_than_the_interval_allows(curve, text):
    assert describe_curve(curve) == text


def test_the_figure_shows_what_was_measured_and_the_interval():
    section = learning_curve_section(SimpleNamespace(learning_curve=with_outlook(5, 2, 8)))
    assert section["table"]["rows"] == [
        ["250", {"text": "6.00", "range": "± 1.25", "best": False}],
        ["500", {"text": "2.00", "range": "± 0.50", "best": False}],
        ["1,000", "all"],
    ]
    assert section["n_runs"] == 6
    measured, ahead = section["figure"]["data"]
    assert (measured["x"], measured["y"]) == ([250, 500, 1000], [6, 2, 0])
    # Twice the cells: 5 below that of all; from 2 to 8.
    assert (ahead["x"], ahead["y"]) == ([2000], [-5])
    assert (ahead["error_y"]["array"], ahead["error_y"]["arrayminus"]) == ([3], [3])
    assert learning_curve_section(SimpleNamespace(learning_curve=CURVE))["figure"] is None
    assert learning_curve_section(SimpleNamespace(learning_curve=None)) is None


def test_the_page_says_it_beside_the_training(full):
    full.learning_curve = with_outlook(5, 2, 8)
    page, metrics = build_report(full, ReportOptions())
    training = page.split('<section id="training">')[1].split("</section>")[0]
    assert HELPS in training
    assert "6 times for each size" in training
    assert metrics["learning_curve"]["outlook"]["gain"] == 5
    full.learning_curve = None
    page, metrics = build_report(full, ReportOptions())
    assert "Would more cells help?" not in page
    assert metrics["learning_curve"] is None
