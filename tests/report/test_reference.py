"""What the page says of labelled cells is what their record has."""

from dataclasses import replace

from tables.test_transfer import REFERENCE

from scpress.config.options import ReportOptions
from scpress.report.page import build_report
from scpress.report.reference import describe_reference
from scpress.tables.transfer import ReferenceRecord


def test_the_numbers_are_told():
    found = describe_reference(REFERENCE.as_plain(), 200)
    said = " ".join(found["said"])
    assert "96.0% of the labelled cells are named rightly, at a mean confidence of 0.95" in said
    assert "4 cells (2.0%) are unlike all" in said
    assert "held out 4.0% would be called so" in said
    assert "3 genes were on one side only" in said
    assert "not given: mast" in said
    assert found["types"]["rows"] == [
        ["B", "20", "90.0%", "10.0%"],
        ["T", "30", "100.0%", "0.0%"],
    ]
    assert found["agreement"]["rows"] == [["B", "B cell", "90%"]]
    assert (found["agreement"]["ari"], found["agreement"]["n_cells"]) == ("0.80", "50")


def test_a_model_of_genes_has_no_labelled_cells_and_nothing_has_no_panel():
    bare = ReferenceRecord(source="m.pkl", n_missing_genes=0)
    found = describe_reference(bare.as_plain(), 200)
    assert found["said"] == [found["said"][0]]
    assert "not calibrated here" in found["said"][0]
    assert found["types"] is None
    assert found["agreement"] is None
    assert describe_reference({}, 200) is None
    alone = describe_reference(replace(REFERENCE, agreement=None).as_plain(), 200)
    assert alone["agreement"] is None


def test_the_page_has_them_and_says_that_cells_were_named(full):
    record = full.cells.uns["scpress"]["annotate"]
    record.pop("panel", None)
    record["reference"] = REFERENCE.as_plain()
    page, _ = build_report(full, ReportOptions())
    # Words of the glossary are marked, so that sentences have tags in them.
    assert "Named by atlas.h5ad." in page
    assert "96.0% of the labelled cells" in page
    assert "the agreement is 0.80" in page
