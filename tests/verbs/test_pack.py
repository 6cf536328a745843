"""`pack`: what it says, and that an archive is whole or not there."""

import json
import subprocess
import sys

import anndata as ad
import numpy as np
import pytest
from verbs.commands import Case, files_under, must, of_run, require_one_line, run

from scpress.archive.codec import CountsCodec
from scpress.archive.reader import Archive

PACKING = of_run("pack", "@counts.h5ad")


def test_the_counts_come_back_and_the_bytes_are_told(run_folder, tmp_path, capsys):
    output, summary = tmp_path / "counts.scp", tmp_path / "archive.json"
    must([*PACKING(run_folder, tmp_path), "--summary", summary], output)
    with Archive(output) as archive:
        assert (archive[:] != ad.read_h5ad(run_folder / "counts.h5ad").X).nnz == 0
    told = json.loads(summary.read_text())
    assert told["archive_bytes"] == output.stat().st_size == sum(told["sections"].values())
    assert told["input_bytes"] == (run_folder / "counts.h5ad").stat().st_size
    assert (told["n_cells"], told["n_genes"]) == archive.shape
    assert "read back and compared" in capsys.readouterr().err


def test_the_same_counts_are_the_same_bytes(run_folder, tmp_path):
    for name in ("a.scp", "b.scp"):
        must(PACKING(run_folder, tmp_path), tmp_path / name)
    assert (tmp_path / "a.scp").read_bytes() == (tmp_path / "b.scp").read_bytes()


def test_bytes_of_a_folder_are_those_of_its_files(run_folder, tmp_path):
    must(["unpack", packed(run_folder, tmp_path)], tmp_path / "mtx")
    must(["pack", tmp_path / "mtx", "--summary", tmp_path / "a.json"], tmp_path / "b.scp")
    told = json.loads((tmp_path / "a.json").read_text())
    sizes = [path.stat().st_size for path in (tmp_path / "mtx").iterdir()]
    assert told["input_bytes"] == sum(sizes)


def packed(run_folder, folder):
    must(PACKING(run_folder, folder), folder / "counts.scp")
    return folder / "counts.scp"


def test_a_latent_may_be_given_and_must_be_of_these_cells(
    run_folder, tmp_path, capsys, monkeypatch
):

    seen = []
    real = CountsCodec.fit.__func__
    monkeypatch.setattr(
        CountsCodec,
        "fit",
        classmethod(lambda cls, *a, **k: seen.append(k["latent"]) or real(cls, *a, **k)),
    )
    words = [*PACKING(run_folder, tmp_path), "--latent", run_folder / "latent.h5ad"]
    must(words, tmp_path / "a.scp")
    (latent,) = seen
    assert (latent == ad.read_h5ad(run_folder / "latent.h5ad").obsm["X_pca"]).all()
    other = ad.read_h5ad(run_folder / "counts.h5ad")[::2].copy()
    other.write_h5ad(tmp_path / "half.h5ad")
    words[1] = tmp_path / "half.h5ad"
    capsys.readouterr()
    assert run([*words, "--output", tmp_path / "b.scp"]) == 2
    require_one_line("pack", capsys.readouterr().err, "not the same ones in the same order")


@pytest.mark.parametrize(
    "case",
    [
        Case("missing", of_run("pack", "nothing.h5ad"), ("no such file: 'nothing.h5ad'",)),
        Case("layer", of_run("pack", "@counts.h5ad", "--layer", "b"), ("no counts at 'b'",)),
        Case("layers", of_run("pack", "@counts.h5ad", "--layers", "b"), ("no 'b' to carry",)),
        Case("model", of_run("pack", "@model.safetensors"), ("not known from its name",)),
        Case(
            "latent",
            of_run("pack", "@counts.h5ad", "--latent", "@counts.h5ad"),
            ("latent|lacks|model",),
        ),
    ],
    ids=lambda case: case.name,
)
def test_bad_input_is_one_line(require_refused, case):
    require_refused(case)


def test_the_input_is_not_overwritten(tmp_path, capsys):
    path = tmp_path / "a.h5ad"
    ad.AnnData(np.array([[1.0, 2.0]])).write_h5ad(path)
    before = path.read_bytes()
    assert run(["pack", path, "--output", path]) == 2
    require_one_line("pack", capsys.readouterr().err, "is the input, too")
    assert path.read_bytes() == before


def test_values_that_are_no_counts_are_refused(tmp_path, capsys):
    adata = ad.AnnData(np.array([[0.5, 1.0]]))
    adata.layers["counts"] = np.array([[1.0, 2.0]])
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert run(["pack", tmp_path / "a.h5ad", "--output", tmp_path / "a.scp"]) == 2
    require_one_line("pack", capsys.readouterr().err, "found 0.5", "Point `layer`")
    assert files_under(tmp_path) == ["a.h5ad"]
    must(["pack", tmp_path / "a.h5ad", "--layer", "counts"], tmp_path / "a.scp")


def test_a_full_disk_is_one_line(require_full_disk_refused):
    require_full_disk_refused(PACKING)


@pytest.mark.slow
def test_a_kill_between_the_outputs_leaves_no_archive(require_pair_repaired, run_folder, tmp_path):
    # The process that is killed must have nothing else to rename: numba keeps what it compiled.
    words = [*PACKING(run_folder, tmp_path), "--output", tmp_path / "first.scp"]
    subprocess.run([sys.executable, "-m", "scpress", *map(str, words)], check=True)
    (tmp_path / "first.scp").unlink()
    require_pair_repaired(PACKING, {"--summary": "archive.json", "--output": "counts.scp"})
