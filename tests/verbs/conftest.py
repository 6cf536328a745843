"""A small run of every verb's files, and what all verbs must do with bad input and a full disk."""

import errno
import subprocess
import sys

import numpy as np
import pytest
from verbs.commands import files_under, limited, must, require_one_line, run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory, pbmc):
    """A whole small run of two samples; files are copied or read, never changed."""
    folder = tmp_path_factory.mktemp("run")
    detected = np.asarray((pbmc.X > 0).sum(axis=0)).ravel()
    genes = np.sort(np.argsort(-detected, kind="stable")[:150])
    for sample, rows in (("s1", slice(0, 90)), ("s2", slice(90, 180))):
        part = pbmc[rows, genes].copy()
        part.write_h5ad(folder / f"{sample}_raw.h5ad")
        counts, marks = folder / f"{sample}.h5ad", folder / f"{sample}_qc.h5ad"
        label = ["--label-key", "bulk_labels"]
        must(["ingest", folder / f"{sample}_raw.h5ad", "--sample", sample, *label], counts)
        must(["qc", "--counts", counts, "--min-genes", "1", "--no-doublets"], marks)
    both = [folder / name for name in ("s1.h5ad", "s2.h5ad")]
    marks = [folder / name for name in ("s1_qc.h5ad", "s2_qc.h5ad")]
    must(["merge", "--counts", *both, "--qc", *marks], folder / "counts.h5ad")
    # Fewer genes are modelled than there are, as in every real run.
    few = ["--n-top-genes", "100"]
    must(["normalize", "--counts", folder / "counts.h5ad", *few], folder / "normalized.h5ad")
    data = ["--counts", folder / "counts.h5ad", "--normalized", folder / "normalized.h5ad"]
    model = ["--preset", "pca", "--n-latent", "5", "--batch-key", "null"]
    history = ["--history", folder / "history.tsv"]
    must(["train", *data, *model, *history, "--model", "pca"], folder / "model.safetensors")
    file = ["--model-file", folder / "model.safetensors", "--model", "pca"]
    must(["embed", *data, *file], folder / "latent.h5ad")
    options = ["--resolutions", "0.5", "--n-subsamples", "2", "--no-umap"]
    latent = ["--latent", folder / "latent.h5ad", "--model", "pca"]
    must(["cluster", *latent, *options], folder / "clusters.h5ad")
    return folder


@pytest.fixture
def require_refused(run_folder, tmp_path, capsys, monkeypatch):
    """Check that a case ends with one line and exit code 2, and leaves nothing."""

    def require(case):
        monkeypatch.chdir(tmp_path)
        words = case.words(run_folder, tmp_path)
        given, in_run = files_under(tmp_path), files_under(run_folder)
        output = ["--output", tmp_path / "out" / "made"]
        if words[0] == "train":
            output += ["--history", tmp_path / "out" / "history.tsv"]
        capsys.readouterr()
        assert run([*words, *output]) == 2
        require_one_line(words[0], capsys.readouterr().err, *case.says)
        assert files_under(tmp_path) == given
        assert files_under(run_folder) == in_run

    return require


@pytest.fixture
def require_full_disk_refused(run_folder, tmp_path, capsys):
    """Check that a command without `--output` leaves an old file whole where the disk is full."""

    def require(command):
        made = tmp_path / "made"
        words = [*command(run_folder, tmp_path), "--output", made]
        verb = words[0]
        if verb == "train":
            words += ["--history", tmp_path / "history.tsv"]
        assert run(words) == 0
        given, size = files_under(tmp_path), made.stat().st_size
        for limit in (0, 1000, size // 2, size - 1):
            if limit >= size:
                continue
            made.write_text("old")
            capsys.readouterr()
            assert limited(words, limit) == 2
            require_one_line(
                verb, capsys.readouterr().err, "cannot write '.*made': File too large", "Free some"
            )
            assert made.read_text() == "old"
            assert files_under(tmp_path) == given

    return require


@pytest.fixture
def require_pair_repaired(run_folder, tmp_path):
    """Check that a kill between the outputs of a verb leaves no result, and a rerun the same ones.

    `names` are its outputs by their flags, the one that is taken for the result last.
    """

    def require(command, names):
        words = command(run_folder, tmp_path)
        words += [word for flag, name in names.items() for word in (flag, tmp_path / name)]
        assert run(words) == 0
        paths = [tmp_path / name for name in names.values()]
        whole = [path.read_bytes() for path in paths]
        for path in paths:
            path.write_text("of another run")
        # The first that takes its place is the last thing the process does.
        ends = "import os, sys; r = os.replace; "
        ends += "os.replace = lambda a, b: (r(a, b), os.kill(os.getpid(), 9)); "
        ends += "from scpress import cli; cli.main(sys.argv[1:])"
        killed = subprocess.run([sys.executable, "-c", ends, *map(str, words)], check=False)
        assert killed.returncode == -9
        assert [path.exists() for path in paths] == [True, False]
        assert paths[0].read_bytes() == whole[0]
        assert run(words) == 0
        assert [path.read_bytes() for path in paths] == whole
        assert sorted(path for path in tmp_path.iterdir() if path.is_file()) == sorted(paths)

    return require


@pytest.fixture
def require_unreadable_refused(run_folder, tmp_path, capsys, monkeypatch):
    """Check that a file whose permissions forbid reading is called that, and not damaged."""

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    def require(writing):
        words = [*writing(run_folder, tmp_path), "--output", tmp_path / "made"]
        monkeypatch.setattr("h5py.File", refuse)  # root may read everything
        assert run(words) == 2
        says = r"cannot read '.*\.h5ad': Permission denied. Check its permissions"
        require_one_line(words[0], capsys.readouterr().err, says)
        assert files_under(tmp_path) == []

    return require
