"""`annotate`: both files are what the step makes; bad tables and columns are refused."""

import anndata as ad
import pandas as pd
import pytest
from verbs.commands import DATA, Case, mixed, of_run, run

from scpress.config.options import AnnotateOptions
from scpress.counts.frames import plain_frame
from scpress.io.h5ad import read_h5ad
from scpress.io.panel import read_panel
from scpress.steps.annotate import annotate


def with_panel(text):
    """`annotate` with a marker table of this text."""

    def command(run_folder, folder):
        (folder / "panel.tsv").write_text(text)
        data = of_run("annotate", *DATA, "--clusters", "@clusters.h5ad")(run_folder, folder)
        markers = folder / "out/markers.tsv"
        return [*data, "--markers", markers, "--panel", folder / "panel.tsv"]

    return command


CASES = [
    Case(
        "no_column_of_types",
        lambda run_folder, folder: [
            *of_run("annotate", *DATA, "--clusters", "@clusters.h5ad")(run_folder, folder),
            *("--labels-column", "types", "--markers", folder / "out/markers.tsv"),
        ],
        ("labels_column 'types' is not in obs; found sample", "Name a column"),
    ),
    Case(
        "panel_without_columns",
        with_panel("type,gene\nB,CD79A\n"),
        ("panel.tsv': the marker table has no column 'cell_type'; found type,gene", "by tabs"),
    ),
    Case(
        "empty_panel", with_panel(""), ("panel.tsv' cannot be read as a marker table", "is needed")
    ),
    Case(
        "clusters_of_other_cells",
        mixed(
            "clusters.h5ad", "annotate", *DATA, "--clusters", "@clusters.h5ad", "--markers", "m.tsv"
        ),
        ("90", "180"),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


def annotating(run_folder, folder, *words):
    """`annotate` of the run, its two files in a new folder."""
    data = of_run("annotate", *DATA, "--clusters", "@clusters.h5ad")(run_folder, folder)
    paths = ["--markers", folder / "out/markers.tsv", "--output", folder / "out/annotation.h5ad"]
    return [*data, *paths, *words]


def made_by_the_step(run_folder, panel, options):
    names = ("counts", "normalized", "clusters")
    return annotate(*(read_h5ad(run_folder / f"{name}.h5ad") for name in names), panel, options)


def test_verb_writes_both_files_and_refuses_a_bad_panel(run_folder, tmp_path, capsys):
    panel = tmp_path / "panel.tsv"
    panel.write_text("cell_type\tgene_symbol\nB\tNotAGene\n")
    assert run(annotating(run_folder, tmp_path, "--panel", panel)) == 2
    assert "no gene of the marker table is in the data" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

    assert run(annotating(run_folder, tmp_path)) == 0
    expected, markers = made_by_the_step(run_folder, read_panel(), AnnotateOptions())
    written = ad.read_h5ad(tmp_path / "out/annotation.h5ad")
    pd.testing.assert_frame_equal(plain_frame(written.obs), plain_frame(expected.obs))
    assert len(set(expected.obs["cell_type"])) > 1
    table = pd.read_csv(tmp_path / "out/markers.tsv", sep="\t")
    assert list(table.columns) == list(markers.columns)
    assert len(table) > 0
    assert table["gene"].tolist() == markers["gene"].tolist()


def test_the_users_table_and_the_options_reach_the_step(run_folder, tmp_path):
    panel = tmp_path / "panel.tsv"
    genes = read_h5ad(run_folder / "counts.h5ad").var_names
    rows = "".join(f"type {gene}\t{gene}\n" for gene in genes[:3])
    panel.write_text("cell_type\tgene_symbol\n" + rows)
    flags = ("--panel", panel, "--min-confidence", "0.1", "--n-markers", "2")
    assert run(annotating(run_folder, tmp_path, *flags)) == 0
    options = AnnotateOptions(min_confidence=0.1, n_markers=2)
    expected, markers = made_by_the_step(run_folder, read_panel(panel), options)
    written = ad.read_h5ad(tmp_path / "out/annotation.h5ad")
    pd.testing.assert_frame_equal(plain_frame(written.obs), plain_frame(expected.obs))
    assert len(pd.read_csv(tmp_path / "out/markers.tsv", sep="\t")) == len(markers)


def test_own_labels_need_no_table(run_folder, tmp_path):
    flags = ("--labels-column", "label", "--panel", "no/such/table.tsv")
    assert run(annotating(run_folder, tmp_path, *flags)) == 0
    written = ad.read_h5ad(tmp_path / "out/annotation.h5ad")
    labels = read_h5ad(run_folder / "counts.h5ad").obs["label"]
    assert written.obs["cell_type"].tolist() == labels.tolist()


def test_a_kill_between_annotation_and_markers_leaves_no_annotation(require_pair_repaired):
    command = of_run("annotate", *DATA, "--clusters", "@clusters.h5ad")
    require_pair_repaired(command, {"--markers": "markers.tsv", "--output": "annotation.h5ad"})
