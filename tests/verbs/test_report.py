"""`report`: whose names its samples, models and seeds get, and files that are missing."""

import json
from dataclasses import fields

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from verbs.commands import DATA, must, of_run, require_one_line, run

from scpress.io.h5ad import read_h5ad, write_h5ad
from scpress.tables.training import HistoryRow

LOSSES = [item.name for item in fields(HistoryRow) if item.type is not int]


@pytest.fixture
def cells(run_folder, tmp_path):
    """The joined file of the run."""
    words = of_run("assemble", *DATA, "--latents", "@latent.h5ad", "--clusters", "@clusters.h5ad")
    must(words(run_folder, tmp_path), tmp_path / "scpress.h5ad")
    return tmp_path / "scpress.h5ad"


def reporting(cells, folder, *words):
    """Exit code of `report` with its page and metrics in a new folder."""
    paths = ["--output", folder / "out/report.html", "--metrics", folder / "out/metrics.json"]
    return run(["report", "--input", cells, *paths, *words])


def test_a_sample_is_named_as_its_file_says_or_else_as_its_folder_is(cells, run_folder, tmp_path):
    nameless = read_h5ad(run_folder / "s2_qc.h5ad")
    del nameless.uns["scpress"]["sample"]
    paths = [tmp_path / "samples" / name / "qc.h5ad" for name in ("wrong", "lane2")]
    for path, marks in zip(paths, (read_h5ad(run_folder / "s1_qc.h5ad"), nameless), strict=True):
        path.parent.mkdir(parents=True)
        write_h5ad(marks, path)
    assert reporting(cells, tmp_path, "--samples-qc", *paths) == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert set(metrics["samples"]) == {"s1", "lane2"}


def test_a_history_is_of_the_model_and_seed_its_path_names(cells, tmp_path):
    history = pd.DataFrame({name: [9.0, 8.0] for name in LOSSES})
    history["step"] = history["cells_seen"] = [50, 100]
    path = tmp_path / "models" / "mymodel" / "mysplit" / "41" / "history.tsv"
    path.parent.mkdir(parents=True)
    history.to_csv(path, sep="\t", index=False)
    assert reporting(cells, tmp_path, "--histories", path) == 0
    page = (tmp_path / "out/report.html").read_text()
    assert "mymodel" in page
    assert "seed 41" in page
    assert "mysplit" not in page


def test_a_short_path_of_a_history_is_refused(cells, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir("/")
    assert reporting(cells, tmp_path, "--histories", "history.tsv") == 2
    says = "a history must lie in models/MODEL/SPLIT/SEED/history.tsv; found 'history.tsv'"
    require_one_line("report", capsys.readouterr().err, says)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        ("--markers", "markers.tsv"),
        ("--subtype-markers", "subtype_markers.tsv"),
        ("--evaluations", "evaluation.json"),
        ("--compressions", "compression.json"),
        ("--choice", "choice.json"),
        ("--learning-curve", "learning_curve.json"),
        ("--false-signals", "false_signals.json"),
        ("--samples-qc", "qc.h5ad"),
        ("--cohort", "cohort.h5ad"),
    ],
)
def test_a_missing_file_is_one_line_and_leaves_nothing(cells, tmp_path, capsys, flag, name):
    assert reporting(cells, tmp_path, flag, tmp_path / name) == 2
    require_one_line("report", capsys.readouterr().err, f"no such file.*{name}")
    assert not (tmp_path / "out").exists()


def test_donors_are_read_and_asked_for(cells, tmp_path, capsys):
    survival = tmp_path / "survival.json"
    assert reporting(cells, tmp_path, "--survival", survival) == 2
    require_one_line("report", capsys.readouterr().err, "give --cohort, too")
    record = {"donor_key": "donor", "split_by": "", "types": ["all"], "min_type_cells": 1}
    obs = pd.DataFrame({"n_cells": [5, 6], "molecules": [50, 60]}, index=["d1", "d2"])
    donors = ad.AnnData(
        sparse.csr_matrix(np.ones((2, 3), dtype=np.int64)),
        obs=obs,
        obsm={"type_cells": pd.DataFrame({"all": [5, 6]}, index=obs.index)},
        uns={"scpress": {"cohort": record | {"model": ""}}},
    )
    write_h5ad(donors, tmp_path / "cohort.h5ad")
    assert reporting(cells, tmp_path, "--cohort", tmp_path / "cohort.h5ad") == 0
    assert json.loads((tmp_path / "out/metrics.json").read_text())["n_donors"] == 2


def test_a_kill_between_page_and_metrics_leaves_no_page(cells, require_pair_repaired, tmp_path):
    inside = tmp_path / "inputs" / "scpress.h5ad"
    inside.parent.mkdir()
    cells.rename(inside)
    names = {"--metrics": "metrics.json", "--output": "report.html"}
    require_pair_repaired(lambda *_: ["report", "--input", inside], names)
