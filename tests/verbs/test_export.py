"""`export`: a new directory, whole or not there; an old one is never touched."""

import pytest
from verbs.commands import DATA, MODEL, Case, files_under, of_run, require_one_line, run

EXPORTING = of_run("export", *DATA, *MODEL[:2])


@pytest.fixture
def fake_export(monkeypatch):
    """Makes the step write two files, and fail in between where it is given an error."""

    def install(error=None):
        def export(counts, normalized, model, directory):
            directory.mkdir()
            (directory / "adata.h5ad").write_text(f"{counts.n_obs} cells")
            if error is not None:
                raise error
            (directory / "model.pt").write_text(f"{len(model.genes)} genes")

        monkeypatch.setattr("scpress.steps.export.export", export)

    return install


def test_the_directory_is_what_the_step_filled(run_folder, tmp_path, fake_export):
    fake_export()
    assert run([*EXPORTING(run_folder, tmp_path), "--output", tmp_path / "new" / "scvi"]) == 0
    assert files_under(tmp_path) == ["new/scvi/adata.h5ad", "new/scvi/model.pt"]
    assert (tmp_path / "new/scvi/adata.h5ad").read_text() == "180 cells"
    assert (tmp_path / "new/scvi/model.pt").read_text() == "100 genes"


@pytest.mark.parametrize("kind", ["file", "empty directory", "directory"])
def test_nothing_is_overwritten(run_folder, tmp_path, capsys, fake_export, kind):
    fake_export()
    old = tmp_path / "scvi"
    if kind == "file":
        old.write_text("old")
    else:
        old.mkdir()
    if kind == "directory":
        (old / "model.pt").write_text("old")
    given = files_under(tmp_path)
    assert run([*EXPORTING(run_folder, tmp_path), "--output", old]) == 2
    require_one_line("export", capsys.readouterr().err, "scvi' exists; name a new directory")
    assert files_under(tmp_path) == given
    assert all((tmp_path / name).read_text() == "old" for name in given)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device"), "cannot write '.*scvi': No space left"),
        (RuntimeError("PytorchStreamWriter failed writing file"), "cannot write.*disk full"),
        (RuntimeError("Can't write data (file write failed)"), "cannot write.*disk full"),
        (RuntimeError("enforce fail . unexpected pos 358 vs 352"), "cannot write.*disk full"),
        (RuntimeError("basic_ios::clear: iostream error"), "cannot write.*disk full"),
    ],
)
def test_a_full_disk_leaves_no_half_directory(
    run_folder, tmp_path, capsys, fake_export, error, says
):
    fake_export(error)
    assert run([*EXPORTING(run_folder, tmp_path), "--output", tmp_path / "scvi"]) == 2
    require_one_line("export", capsys.readouterr().err, says)
    assert list(tmp_path.iterdir()) == []


def test_another_error_is_not_called_a_full_disk(run_folder, tmp_path, fake_export):
    fake_export(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        run([*EXPORTING(run_folder, tmp_path), "--output", tmp_path / "scvi"])
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_scvi_cannot_be_is_one_line(require_refused):
    require_refused(Case("pca", EXPORTING, ("scvi-tools' SCVI",)))
