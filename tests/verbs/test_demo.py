"""`demo`: the counts in a file, or the command that installs what is missing."""

import anndata as ad
from verbs.commands import COUNTS, files_under, require_one_line, run, sheet

from scpress.counts import demo


def test_verb_writes_the_counts_and_says_what_they_are(tmp_path, monkeypatch, capsys):
    counts = sheet(COUNTS)
    counts.uns["source"] = "somewhere 1.2"
    monkeypatch.setattr(demo, "demo_counts", lambda: counts)
    assert run(["demo", "--output", tmp_path / "data" / "demo.h5ad"]) == 0
    assert (ad.read_h5ad(tmp_path / "data" / "demo.h5ad").X == COUNTS).all()
    assert capsys.readouterr().err == "scpress demo: 6 cells x 4 genes from somewhere 1.2\n"


def test_a_missing_package_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "DEMO_PACKAGE", "no-package-of-this-name")
    assert run(["demo", "--output", tmp_path / "demo.h5ad"]) == 2
    require_one_line("demo", capsys.readouterr().err, "pip install")
    assert files_under(tmp_path) == []
