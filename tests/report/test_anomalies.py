"""The strangest cells are on the map whatever is drawn, with the genes that make them so."""

import re

import numpy as np
import pytest

from scpress.config.options import ReportOptions
from scpress.errors import InputError
from scpress.report.anomalies import anomaly_colours, anomaly_section
from scpress.report.cells import collect_map
from scpress.report.page import build_report


def test_the_strangest_cells_come_with_their_genes(full):
    section = anomaly_section(full, max_cells=1000)
    called, other = section["rows"]
    assert called["cell"] == full.cells.obs_names[7]
    assert called["cluster"] == str(full.cells.obs["leiden"].iloc[7])
    assert called["type"] == str(full.cells.obs["cell_type"].iloc[7])
    # The least expected first; what is less than expected is told apart.
    assert [(one["name"], one["is_more"]) for one in called["genes"]] == [
        ("Sym2", True),
        (full.anomaly.var["gene_symbol"].iloc[0], False),
    ]
    assert (called["is_called"], called["n_genes"], called["fdr"]) == (True, 2, "0.04")
    assert (other["is_called"], other["genes"]) == (False, [])
    assert section["text"].startswith("Called unlike ")
    assert ": 1 of 2 cells; no more than 10% of the called ones" in section["text"]


def test_a_page_that_draws_few_cells_draws_these(full):
    drawn = full.shown_rows(100)
    assert {3, 7} <= set(drawn.tolist())
    assert len(drawn) == len(set(drawn.tolist())) == 100
    section = anomaly_section(full, max_cells=100)
    assert [int(drawn[row["place"]]) for row in section["rows"]] == [7, 3]
    found = collect_map(full, max_cells=100)
    assert [found["names"][row["place"]] for row in section["rows"]] == [
        full.cells.obs_names[7].replace("<", "&lt;").replace(">", "&gt;"),
        full.cells.obs_names[3].replace("<", "&lt;").replace(">", "&gt;"),
    ]
    full.anomaly = None
    assert len(np.intersect1d(full.shown_rows(100), drawn)) >= 98


def test_the_map_can_be_coloured_by_what_a_cell_is_taken_for(full):
    rows = np.array([3, 7, 9])
    found = anomaly_colours(full, rows)
    assert found["anomaly"].tolist() == ["not called", "called", "reference"]
    score = full.anomaly.obs["anomaly_score"].to_numpy()[rows]
    np.testing.assert_allclose(found["anomaly_score"], score)
    names = [one["name"] for one in collect_map(full, max_cells=1000)["colours"]]
    assert names[-2:] == ["anomaly", "anomaly_score"]


def test_without_a_reference_none_can_be_called(full):
    full.anomaly = full.anomaly.copy()
    record = dict(full.anomaly.uns["scpress"]["anomaly"])
    n = full.cells.n_obs
    full.anomaly.uns["scpress"] = {"anomaly": record | {"n_tested": n, "n_reference": n}}
    text = anomaly_section(full, max_cells=1000)["text"]
    assert text.endswith("are ranked among themselves, and none can be called.")


def test_other_cells_are_refused(full):
    full.anomaly = full.anomaly[1:].copy()
    with pytest.raises(InputError, match="and anomaly "):
        anomaly_section(full, max_cells=1000)


def test_the_section_is_there_where_it_was_asked_for(full, unlinked):
    page = unlinked(build_report(full, ReportOptions())[0])
    assert "<h2>The strangest cells</h2>" in page
    assert len(re.findall(r'<a href="#map" data-cell="\d+"', page)) == 2
    full.anomaly = full.programs = None
    page, _ = build_report(full, ReportOptions())
    assert "strangest cells" not in page
    assert "What the dimensions mean" not in page
