"""What the page says of signals where there is nothing."""

import dataclasses
from types import SimpleNamespace

import pytest

from scpress.config.options import ReportOptions
from scpress.report.false_signals import (
    describe_correlations,
    describe_signals,
    false_signals_section,
    warn_of_false_signals,
)
from scpress.report.page import build_report
from scpress.tables.false_signals import FalseSignals, Signals

DATA = Signals(
    n_clusters=9,
    n_markers=2398,
    n_subtypes=4,
    n_cut=21,
    n_cut_markers=3752,
    gain=151.84,
    raw_pairs=0.018,
    denoised_pairs=0.26,
)
NOTHING = Signals(
    n_clusters=1,
    n_markers=0,
    n_subtypes=0,
    n_cut=27,
    n_cut_markers=1354,
    gain=-8.9,
    raw_pairs=0.000002,
    denoised_pairs=0.33,
)
FOUND = FalseSignals(
    model="m",
    seed=0,
    n_cells=972,
    n_genes=2000,
    n_strata=1,
    max_fdr=0.05,
    resolution=2.0,
    n_pair_genes=1000,
    min_correlation=0.3,
    data=DATA,
    copies=(NOTHING,),
)
SOME = dataclasses.replace(
    FOUND,
    copies=(
        NOTHING,
        dataclasses.replace(NOTHING, n_clusters=3, n_markers=1200),
        dataclasses.replace(NOTHING, n_subtypes=2, n_cut=5),
    ),
)


def test_that_nothing_is_found_speaks_for_the_data():
    assert describe_signals(FOUND) == (
        "In counts without structure the same steps find no clusters, no markers and no subtypes: "
        "those of the data are not made by the steps."
    )
    assert warn_of_false_signals(FOUND) == warn_of_false_signals(None) == ""


def test_what_is_found_in_any_copy_is_a_warning():
    assert describe_signals(SOME) == (
        "Beware: counts without structure have signals, too: the same steps find up to so many "
        "clusters (3), markers (1,200) and subtypes (2) there. As many of the data's may be made "
        "by the steps."
    )
    assert warn_of_false_signals(SOME) == describe_signals(SOME)


@pytest.mark.parametrize(
    ("raw", "denoised", "says"),
    [
        (
            0.000002,
            0.33,
            "Denoising makes correlations that are not there: without structure 33.0% of the pairs "
            "of genes are correlated after denoising and <0.1% before, in the data 26.0% and 1.8%. "
            "Denoised values are for looking at; no test here reads them.",
        ),
        (
            0.0,
            0.005,
            "Denoising makes no correlations to speak of: without structure 0.5% of the pairs of "
            "genes are correlated after denoising and 0.0% before, in the data 26.0% and 1.8%.",
        ),
    ],
)
def test_correlations_are_compared_before_and_after_denoising(raw, denoised, says):
    copy = dataclasses.replace(NOTHING, raw_pairs=raw, denoised_pairs=denoised)
    assert describe_correlations(dataclasses.replace(FOUND, copies=(copy,))) == says


def test_each_row_has_the_data_and_all_copies():
    section = false_signals_section(SimpleNamespace(false_signals=SOME))
    rows = {row[0]: row[1:3] for row in section["table"]["rows"]}
    assert rows == {
        "clusters": ["9", "1 to 3"],
        "markers of these clusters": ["2,398", "0 to 1,200"],
        "subtypes": ["4", "0 to 2"],
        "gain of m": ["151.8", "-8.9"],
        "raw correlations": ["1.8%", "<0.1%"],
        "denoised correlations": ["26.0%", "33.0%"],
        "clusters if cut": ["21", "5 to 27"],
        "markers of the cut": ["3,752", "1,354"],
    }
    # Every number says what it is.
    assert all(len(row[3]) > 20 for row in section["table"]["rows"])
    assert section["n_copies"] == 3
    assert false_signals_section(SimpleNamespace(false_signals=None)) is None


def test_the_page_shows_it_and_warns_first(full):
    full.false_signals = SOME
    page, metrics = build_report(full, ReportOptions())
    assert '<section id="false-signals">' in page
    assert "3 copies of the counts" in page
    summary = page.split('<section id="summary"')[1].split("</section>")[0]
    assert summary.index("Beware: counts without structure") < summary.index("quality control")
    assert metrics["false_signals"]["copies"][1]["n_clusters"] == 3
    full.false_signals = None
    page, metrics = build_report(full, ReportOptions())
    assert "false-signals" not in page
    assert metrics["false_signals"] is None
