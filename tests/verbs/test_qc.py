"""`qc`: what the step makes of counts on disk, and a place that cannot be written."""

import pandas as pd
import pytest
from verbs.commands import Case, files_under, of_run, require_one_line, run

from scpress import settings
from scpress.config.options import QcOptions
from scpress.counts.frames import plain_frame
from scpress.io.h5ad import read_h5ad
from scpress.steps.qc import qc

CASES = [
    Case(
        "no_cell_passes",
        of_run("qc", "--counts", "@s1.h5ad", "--min-genes", "5000", "--no-doublets"),
        ("no cell of sample 's1' passes", r"min_genes \(5000\) removes 90", "Loosen"),
    ),
    Case(
        "no_filter_column",
        of_run("qc", "--counts", "@s1.h5ad", "--filter-column", "good"),
        ("filter_column 'good' is not in obs; it has sample, label",),
    ),
    Case(
        "value_out_of_range",
        of_run("qc", "--counts", "@s1.h5ad", "--max-pct-mt", "120"),
        ("max_pct_mt must be at most 100; found 120",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


WRITING = of_run("qc", "--counts", "@s1.h5ad", "--min-genes", "1", "--no-doublets")


def test_a_full_disk_is_one_line_and_leaves_the_old_file(require_full_disk_refused):
    require_full_disk_refused(WRITING)


def test_verb(run_folder, tmp_path, monkeypatch):
    limit = int(read_h5ad(run_folder / "s1_qc.h5ad").obs["n_genes"].median())
    options = QcOptions(min_genes=limit, doublets=False)
    expected = qc(read_h5ad(run_folder / "s1.h5ad"), options)
    assert 0 < expected.obs["pass_qc"].sum() < 90
    monkeypatch.setattr(settings, "chunk_bytes", 20_000)
    words = ["qc", "--counts", run_folder / "s1.h5ad", "--no-doublets"]
    assert run([*words, "--min-genes", limit, "--output", tmp_path / "qc.h5ad"]) == 0
    written = read_h5ad(tmp_path / "qc.h5ad")
    assert written.X is None
    assert written.obs["pass_qc"].dtype == bool
    pd.testing.assert_frame_equal(written.obs, plain_frame(expected.obs))
    pd.testing.assert_frame_equal(written.var, plain_frame(expected.var))
    assert written.uns["scpress"]["sample"] == "s1"


def test_a_place_that_cannot_be_written_is_one_line(run_folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    words = WRITING(run_folder, tmp_path)
    for output, reason in (("file/made", "Not a directory|File exists"), ("folder", "directory")):
        assert run([*words, "--output", tmp_path / output]) == 2
        require_one_line("qc", capsys.readouterr().err, f"cannot write '.*{output}': .*({reason})")
        assert files_under(tmp_path) == ["file"]
