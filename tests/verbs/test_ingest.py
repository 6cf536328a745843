"""`ingest`: what the step makes, streamed; every bad file, value and name; a full disk."""

import gzip

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from verbs.commands import (
    COUNTS,
    SCPRESS,
    Case,
    cut,
    files_under,
    of_run,
    program,
    require_one_line,
    run,
    sheet,
)

from scpress import settings
from scpress.config.options import IngestOptions
from scpress.counts.frames import plain_frame
from scpress.errors import InputError
from scpress.io.h5ad import read_h5ad
from scpress.steps.ingest import ingest
from scpress.verbs.ingest import read_metadata


def with_value(value):
    """Counts but for one value, of gene G2."""
    X = COUNTS.astype(np.float32)
    X[3, 2] = value
    return sheet(X)


def ingesting(adata, *words):
    """`ingest` of a file with this AnnData."""

    def command(run_folder, folder):
        adata().write_h5ad(folder / "in.h5ad")
        return ["ingest", folder / "in.h5ad", "--sample", "s7", *words]

    return command


def ingesting_bytes(name, content, *words):
    """`ingest` of a file with these bytes."""

    def command(run_folder, folder):
        data = content(run_folder) if callable(content) else content
        (folder / name).write_bytes(data)
        return ["ingest", folder / name, "--sample", "s7", *words]

    return command


def csc_of(adata):
    adata.X = sparse.csc_matrix(adata.X)
    return adata


CASES = [
    Case(
        "normalized",
        ingesting(lambda: with_value(0.37)),
        (r"found 0\.37 in gene 'G2' of sample 's7'", "normalized matrix", "Point `layer`"),
    ),
    Case(
        "log",
        ingesting(lambda: sheet(np.log1p(COUNTS))),
        (r"found (0\.693|1\.0986|1\.386|1\.609)\d* in gene 'G\d' of sample 's7'", "`layer`"),
    ),
    Case(
        "normalized_csc",
        ingesting(lambda: csc_of(with_value(0.5))),
        (r"found 0\.5 in gene 'G2'",),
    ),
    Case(
        "negative",
        ingesting(lambda: with_value(-3)),
        ("found -3 in gene 'G2' of sample 's7'", "scaled matrix"),
    ),
    Case("nan", ingesting(lambda: with_value(np.nan)), ("found nan in gene 'G2'", "missing in it")),
    Case("infinite", ingesting(lambda: with_value(np.inf)), ("found inf in gene 'G2'",)),
    Case(
        "text_in_csv",
        ingesting_bytes("in.csv", b",A,B\nb1,1,2\nb2,x,4\nb3,1,1\n"),
        ("in.csv' cannot be read as csv", "x"),
    ),
    Case("empty_h5ad", ingesting_bytes("in.h5ad", b""), (r"in.h5ad' is empty \(0 bytes\)",)),
    Case("empty_csv", ingesting_bytes("in.csv", b""), (r"in.csv' is empty \(0 bytes\)",)),
    Case(
        "truncated_h5ad",
        ingesting_bytes("in.h5ad", lambda run: cut((run / "s1_raw.h5ad").read_bytes(), 0.5)),
        ("in.h5ad' cannot be read as h5ad", "truncated", "Is the file complete"),
    ),
    Case(
        "truncated_10x",
        ingesting_bytes("in.h5", lambda run: cut((run / "s1_raw.h5ad").read_bytes(), 0.7)),
        ("in.h5' cannot be read as 10x_h5", "Is the file complete"),
    ),
    Case(
        "truncated_gzip",
        ingesting_bytes("in.csv.gz", cut(gzip.compress(b",A,B\nb1,1,2\nb2,3,4\n" * 99), 0.5)),
        ("in.csv.gz' cannot be read as csv", "Is the file complete"),
    ),
    Case(
        "not_hdf5",
        ingesting_bytes("in.h5ad", b"cell,gene,count\n" * 100),
        ("in.h5ad' cannot be read as h5ad",),
    ),
    Case(
        "wrong_path",
        of_run("ingest", "no/such/file.h5ad", "--sample", "s7"),
        ("no such file: 'no/such/file.h5ad'", "Check the path"),
    ),
    Case(
        "unknown_format",
        ingesting_bytes("in.rds", b"RDX3"),
        ("in.rds' is not known from its name", "h5ad, zarr, 10x_h5"),
    ),
    Case(
        "folder_without_matrix",
        lambda run_folder, folder: ["ingest", folder, "--sample", "s7"],
        ("neither a 10x folder", "it holds nothing"),
    ),
    Case(
        "barcode_twice",
        ingesting(lambda: sheet(COUNTS, cells=["a", "b", "c", "b", "d", "e"])),
        ("'b' appears 2 times in sample 's7'", "Ingest them one by one"),
    ),
    Case("one_cell", ingesting(lambda: sheet(COUNTS[:1])), ("sample 's7' has 1 cell;", "larger")),
    Case("no_cell", ingesting(lambda: sheet(COUNTS[:0])), ("sample 's7' has 0 cells;",)),
    Case("one_gene", ingesting(lambda: sheet(COUNTS[:, :1])), ("sample 's7' has 1 gene;",)),
    Case(
        "no_label_column",
        ingesting(lambda: sheet(COUNTS), "--label-key", "celltype"),
        ("label_key 'celltype' is not a column of sample 's7'; it has no columns", "leave it out"),
    ),
    Case(
        "no_layer",
        ingesting(lambda: sheet(COUNTS), "--layer", "counts"),
        ("has no counts at 'counts'; it holds X", "Set `layer`"),
    ),
    Case(
        "metadata_without_value",
        ingesting(lambda: sheet(COUNTS), "--metadata", "donor"),
        ("KEY=VALUE; found 'donor'",),
    ),
]


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


WRITING = of_run("ingest", "@s1_raw.h5ad", "--sample", "s7")


def test_a_full_disk_is_one_line_and_leaves_the_old_file(require_full_disk_refused):
    require_full_disk_refused(WRITING)


def test_verb_and_step_agree(pbmc, tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "chunk_bytes", 10_000)
    pbmc = pbmc.copy()
    pbmc.write_h5ad(tmp_path / "in.h5ad")  # which makes categories of text
    words = ["ingest", tmp_path / "in.h5ad", "--sample", "s", "--label-key", "bulk_labels"]
    words += ["--output", tmp_path / "out.h5ad", "--metadata", "donor=7", "age=54", "dose=0.5"]
    assert run(words) == 0
    written = read_h5ad(tmp_path / "out.h5ad")
    made = ingest(
        pbmc,
        sample="s",
        metadata={"donor": "7", "age": 54, "dose": "0.5"},
        options=IngestOptions(label_key="bulk_labels"),
    )
    pd.testing.assert_frame_equal(written.obs, plain_frame(made.obs))
    pd.testing.assert_frame_equal(written.var, plain_frame(made.var), check_dtype=False)
    assert (written.X != made.X).nnz == 0
    assert written.obs["donor"].dtype == "category"
    assert written.obs["age"].dtype == np.int64
    assert written.obs["dose"].dtype == np.float64
    record = written.uns["scpress"]
    assert (record["n_molecules"], record["source"]) == (made.X.sum(), "in.h5ad (h5ad)")


def test_bad_input_exits_with_2_and_leaves_nothing(tmp_path, capsys):
    adata = sheet(np.array([[1.0, 2], [0, 0.37]]))
    adata.X = sparse.csr_matrix(adata.X)
    adata.layers["counts"] = sparse.csr_matrix([[1, 2], [0, 1]])
    adata.write_h5ad(tmp_path / "in.h5ad")
    out = tmp_path / "out" / "counts.h5ad"
    words = ["ingest", tmp_path / "in.h5ad", "--sample", "s", "--output", out]
    assert run(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "found 0.37 in gene 'G1' of sample 's'" in error
    assert "the file also holds layer 'counts'" in error
    assert list(out.parent.iterdir()) == []
    assert run([*words, "--layer", "counts"]) == 0


def test_damage_inside_the_values_is_one_line(tmp_path, capsys):
    adata = sheet(COUNTS)
    adata.X = sparse.csr_matrix(adata.X)
    adata.write_h5ad(tmp_path / "in.h5ad", compression="gzip")
    with h5py.File(tmp_path / "in.h5ad") as file:
        place = file["X/data"].id.get_chunk_info(0).byte_offset
    data = bytearray((tmp_path / "in.h5ad").read_bytes())
    data[place : place + 6] = b"\0" * 6
    (tmp_path / "in.h5ad").write_bytes(data)
    out = ["--output", tmp_path / "out.h5ad"]
    assert run(["ingest", tmp_path / "in.h5ad", "--sample", "s", *out]) == 2
    assert "X cannot be read (Can't synchronously read data" in capsys.readouterr().err
    assert not (tmp_path / "out.h5ad").exists()


def test_metadata_words():
    assert read_metadata(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for words, match in (
        (["a"], "KEY=VALUE; found 'a'"),
        (["=1"], "KEY=VALUE; found '=1'"),
        (["a=1", "a=2"], "names 'a' twice"),
        (["a/b=1"], "metadata cannot be named 'a/b'"),
        (["_index=1"], "metadata cannot be named '_index'"),
    ):
        with pytest.raises(InputError, match=match):
            read_metadata(words)
    assert read_metadata([]) == {}


def test_a_full_disk_does_not_end_the_process_inside_hdf5(run_folder, tmp_path):
    """The real program: HDF5 2.0 crashes on closing a file that it cannot write."""
    words = [SCPRESS, "ingest", run_folder / "s1_raw.h5ad", "--sample", "s7", "--output", "o.h5ad"]
    done = program(words, tmp_path, file_bytes=20_000)
    assert done.returncode == 2
    require_one_line("ingest", done.stderr, "cannot write 'o.h5ad': File too large")
    assert files_under(tmp_path) == []
    done = program(words, tmp_path, file_bytes=0)
    assert done.returncode == 2
    require_one_line("ingest", done.stderr, "no temporary file can be written", "TMPDIR")
    assert files_under(tmp_path) == []


def test_a_file_that_may_not_be_read_is_not_called_damaged(require_unreadable_refused):
    require_unreadable_refused(WRITING)


def test_the_program_says_the_same_and_ends_with_2(tmp_path):
    with_value(0.37).write_h5ad(tmp_path / "in.h5ad")
    ingest_words = [SCPRESS, "ingest", "in.h5ad", "--sample", "s7", "--output", "o.h5ad"]
    for words, verb, says in (
        (ingest_words, "ingest", "found 0.37 in gene 'G2'"),
        ([*ingest_words, "--label-ky", "x"], "ingest", "did you mean '--label-key'"),
        ([*ingest_words, "--format", "h5"], "ingest", "did you mean 'h5ad'"),
    ):
        done = program(words, tmp_path)
        assert done.returncode == 2
        assert done.stdout == ""
        require_one_line(verb, done.stderr, says)
        assert files_under(tmp_path) == ["in.h5ad"]
    done = program([SCPRESS, "ingets"], tmp_path)
    assert done.returncode == 2
    says = "scpress: error: unknown verb 'ingets'; did you mean 'ingest'? See `scpress --help`."
    assert done.stderr.splitlines() == [says]


@pytest.mark.parametrize(
    ("words", "method"),
    [
        ([], "noise"),
        (["--rounding", "nearest"], "nearest"),
        (["--rounding", "stochastic"], "stochastic"),
    ],
)
def test_what_was_rounded_is_in_the_file_and_said_once(tmp_path, capsys, words, method):
    noisy = sheet((COUNTS + np.float64(2e-9)) * (COUNTS > 0))
    noisy.write_h5ad(tmp_path / "in.h5ad")
    out = ["--output", tmp_path / "out.h5ad"]
    assert run(["ingest", tmp_path / "in.h5ad", "--sample", "s", *out, *words]) == 0
    written = read_h5ad(tmp_path / "out.h5ad")
    np.testing.assert_array_equal(written.X.toarray(), COUNTS)
    assert written.uns["scpress"]["rounding"]["method"] == method
    said = capsys.readouterr().err
    assert said.count("were rounded") == 1
    assert said.count(": took ") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.h5ad", "out.h5ad"]
