from dataclasses import replace

from scpress.config.options import ReportOptions
from scpress.report.genes import genes_section
from scpress.report.page import build_report
from scpress.tables.genes import GenesCandidate, GenesChoice

FEW = GenesCandidate(
    n_genes=2000, flavor="deviance", share=0.5, loss=5.0, difference=0.1, error=0.25
)
ALL = GenesCandidate(
    n_genes=4000, flavor="seurat_v3", share=1.0, loss=4.9, difference=0.0, error=0.0
)
CHOICE = GenesChoice(
    model="m",
    seed=0,
    n_cells=900,
    n_all=4000,
    n_folds=2,
    chosen=2000,
    flavor="deviance",
    max_genes=4000,
    candidates=(FEW, ALL),
    left_out=(),
)


def test_the_fewest_genes_within_an_error_are_named_beside_the_best():
    section = genes_section(CHOICE)
    assert section["text"].startswith(
        "Modelled are 2,000 genes of the ranking deviance: the fewest within one standard error"
    )
    assert "Left out" not in section["text"]
    assert section["table"]["rows"] == [
        [
            "2,000 genes (chosen)",
            "deviance",
            "50%",
            {"text": "0.10", "range": "± 0.25", "best": False},
        ],
        ["all 4,000 genes", "-", "100%", "best"],
    ]
    assert genes_section(None) is None


def test_that_nothing_smaller_is_as_good_is_said_and_what_was_not_tried():
    whole = replace(CHOICE, chosen=4000, flavor="seurat_v3", max_genes=5000, left_out=(8000,))
    text = genes_section(whole)["text"]
    assert text.startswith("Modelled are all 4,000 genes: no smaller number that was tried")
    alone = replace(whole, candidates=(ALL,))
    assert ": the fewest that were tried predict held-out" in genes_section(alone)["text"]
    assert text.endswith("Left out, as more than max_genes (5,000): 8,000 genes.")


def test_the_page_shows_them_and_the_numbers_have_them(full, unlinked):
    full.genes = CHOICE
    page, metrics = build_report(full, ReportOptions())
    assert "Modelled are 2,000 genes of the ranking deviance" in unlinked(page)
    assert metrics["genes"]["chosen"] == 2000
