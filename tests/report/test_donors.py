"""Donors on the page: shown as far as there are tables of them."""

import html
import re

import anndata as ad
import numpy as np
import pytest

from scpress.config.options import ReportOptions
from scpress.report.donors import donor_sentences, donors_section
from scpress.report.inputs import ReportInputs
from scpress.report.page import build_report

PARTS = {
    "Genes that differ": ("biomarkers", "biomarker_genes"),
    "Can donors be told apart?": ("classification", "weights"),
    "Who lives longer?": ("survival",),
    "Can responses to drugs be told?": ("drug_response",),
    "Do donors respond alike?": ("perturbation",),
}


def section_of(page):
    return page.split('<section id="donors">')[1].split("</section>")[0]


@pytest.fixture
def bare(with_donors):
    """Without donors."""
    return ReportInputs(with_donors.cells)


def test_without_donors_the_page_does_not_speak_of_them(bare):
    page, metrics = build_report(bare, ReportOptions())
    assert 'id="donors"' not in page
    assert metrics["n_donors"] is metrics["classification"] is None
    assert donor_sentences(bare) == []


@pytest.mark.parametrize("shown", [(), *((one,) for one in PARTS), tuple(PARTS)])
def test_parts_appear_by_the_tables_there_are(bare, donors, shown):
    bare.cohort = donors["cohort"]
    for name in shown:
        for key in PARTS[name]:
            setattr(bare, key, donors[key])
    page, metrics = build_report(bare, ReportOptions())
    text = section_of(page)
    assert [one for one in PARTS if f"<h3>{one}</h3>" in text] == list(shown)
    assert "Map of donors" in text
    assert metrics["n_donors"] == 12
    # What is said there stands at the top of the page, too.
    said = [html.escape(one, quote=False) for one in donor_sentences(bare)]
    assert len(said) == 1 + len(shown)
    top = re.sub("<[^>]*>", "", page.split('<section id="summary"')[1].split("</section>")[0])
    assert all(one.replace("'", "&#39;") in top for one in said)


def test_names_of_donors_stay_text(with_donors):
    page, _ = build_report(with_donors, ReportOptions())
    text = section_of(page)
    assert "case <b>" not in text
    assert "<script>alert" not in text
    assert "case &lt;b&gt;" in text


def test_the_map_has_every_donor_in_its_colour_and_shape(with_donors):
    section = donors_section(with_donors)
    assert section["colour"] == "condition"
    assert section["shapes"] == ["b1 circle", "b2 square"]
    assert [one["layout"]["title"]["text"] for one in section["maps"]] == [
        "by their cell types",
        "by their counts",
    ]
    for one in section["maps"]:
        assert [trace["name"] for trace in one["data"]] == ["case &lt;b&gt;", "control"]
        assert [len(trace["x"]) for trace in one["data"]] == [6, 6]
    cohort = with_donors.cohort
    batches = cohort.obs["batch"][cohort.obs["condition"] == "control"]
    shapes = section["maps"][0]["data"][1]["marker"]["symbol"]
    assert shapes == batches.map({"b1": "circle", "b2": "square"}).tolist()


def test_components_are_those_of_scikit_learn(with_donors):
    from sklearn.decomposition import PCA

    cohort = with_donors.cohort
    cells = cohort.obsm["type_cells"].to_numpy() + 0.5
    logs = np.log(cells) - np.log(cells).mean(axis=1, keepdims=True)
    known = PCA(2).fit(logs)
    figure = donors_section(with_donors)["maps"][0]
    found = np.concatenate([trace["x"] for trace in figure["data"]])
    is_case = (cohort.obs["condition"] != "control").to_numpy()
    order = np.concatenate([np.flatnonzero(is_case), np.flatnonzero(~is_case)])
    wanted = known.transform(logs)[order, 0]
    np.testing.assert_allclose(np.abs(found), np.abs(wanted), atol=1e-3)
    assert figure["layout"]["xaxis"]["title"]["text"] == "component 1 (100%)"


def test_bars_of_one_condition_stand_together_and_many_have_no_names(with_donors, donors):
    bars = donors_section(with_donors)["composition"]
    names = bars["data"][0]["y"]
    assert [one.endswith("(control)") for one in names] == [False] * 6 + [True] * 6
    assert sum(sum(trace["customdata"]) for trace in bars["data"]) == 240
    cohort = donors["cohort"]
    with_donors.cohort = ad.concat([cohort] * 4, index_unique="-", uns_merge="same")
    layout = donors_section(with_donors)["composition"]["layout"]
    assert not layout["yaxis"]["showticklabels"]
    assert layout["height"] < 700


def test_a_column_of_one_value_is_no_colour_and_two_donors_have_no_map(with_donors, donors):
    cohort = donors["cohort"][:2].copy()
    cohort.obs = cohort.obs.assign(condition="a", batch="b1", age=[1.25, np.nan])
    with_donors.cohort = cohort
    with_donors.classification = with_donors.biomarkers = with_donors.survival = None
    section = donors_section(with_donors)
    assert (section["colour"], section["maps"], section["shapes"]) == (None, [], [])
    assert section["said"].startswith("Cells are of 2 donors. Donors are compared")
    column = section["table"]["header"].index("age")
    assert [row[column] for row in section["table"]["rows"]] == ["1.25", "-"]
