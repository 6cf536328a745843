"""Every bad input, through the command line: one line that helps, exit code 2, nothing left."""

import errno
import gzip
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress import cli

SCPRESS = Path(sys.executable).with_name("scpress")


def run(words):
    """Exit code of a command."""
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as end:
        return end.code


def require_one_line(verb, text, *says):
    """The last line is the only error; before it there may be messages of the verb."""
    *before, error = text.splitlines()
    assert error.startswith(f"scpress {verb}: error: "), text
    assert not [line for line in before if not line.startswith(f"scpress {verb}: ")], text
    assert not [line for line in before if "error" in line], text
    assert error.endswith((".", "?")), error
    for word in says:
        assert re.search(word, error), f"{word!r} is not in {error!r}"


def files_under(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# what the verbs are given -----------------------------------------------------------------------


@pytest.fixture(scope="module")
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
    must(["normalize", "--counts", folder / "counts.h5ad"], folder / "normalized.h5ad")
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


def must(words, output):
    assert run([*words, "--output", output]) == 0, words


def sheet(X, *, cells=None, genes=None):
    """An AnnData of this matrix."""
    X = np.asarray(X)
    names = cells or [f"b{i}" for i in range(X.shape[0])]
    symbols = genes or [f"G{j}" for j in range(X.shape[1])]
    return ad.AnnData(X, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=symbols))


COUNTS = np.arange(24).reshape(6, 4) % 5


def with_value(value):
    """Counts but for one value, of gene G2."""
    X = COUNTS.astype(np.float32)
    X[3, 2] = value
    return sheet(X)


@dataclass(frozen=True)
class Case:
    """One bad input: its command, made from the run and an empty folder, and what is said."""

    name: str
    words: Callable[[Path, Path], list]
    says: tuple[str, ...]


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


def of_run(verb, *words):
    """A verb of the files of the run: @FILE stands for one of them."""

    def command(run_folder, folder):
        return [verb, *(run_folder / w[1:] if w.startswith("@") else w for w in words)]

    return command


def cut(data, fraction):
    return data[: int(len(data) * fraction)]


DATA = ("--counts", "@counts.h5ad", "--normalized", "@normalized.h5ad")
MODEL = ("--model-file", "@model.safetensors", "--model", "pca")


def other_genes(run_folder, folder):
    counts = ad.read_h5ad(run_folder / "counts.h5ad")
    counts.var = pd.DataFrame(index=[f"GENE{i}" for i in range(counts.n_vars)])
    counts.write_h5ad(folder / "other.h5ad")
    model = ["--model-file", run_folder / "model.safetensors"]
    return ["embed", "--counts", folder / "other.h5ad", *model]


def other_genes_in_one_sample(run_folder, folder):
    mouse = sheet(COUNTS + 1, genes=["Actb", "Gapdh", "Xist", "Ddx3y"])
    mouse.write_h5ad(folder / "mouse_raw.h5ad")
    counts, marks = folder / "mouse.h5ad", folder / "mouse_qc.h5ad"
    must(["ingest", folder / "mouse_raw.h5ad", "--sample", "mouse"], counts)
    must(["qc", "--counts", counts, "--min-genes", "1", "--no-doublets"], marks)
    both = ["--counts", run_folder / "s1.h5ad", counts]
    return ["merge", *both, "--qc", run_folder / "s1_qc.h5ad", marks]


def mixed(name, verb, *words):
    """A verb of the files of the run, but one has every other cell, as if of another run."""

    def command(run_folder, folder):
        ad.read_h5ad(run_folder / name)[::2].copy().write_h5ad(folder / name)
        words_of_run = of_run(verb, *words)(run_folder, folder)
        return [folder / name if w == run_folder / name else w for w in words_of_run]

    return command


def listed(text):
    """`normalize` with a gene list of this text."""

    def command(run_folder, folder):
        (folder / "genes.txt").write_text(text)
        counts = run_folder / "counts.h5ad"
        return ["normalize", "--counts", counts, "--gene-list", folder / "genes.txt"]

    return command


def with_panel(text):
    """`annotate` with a marker table of this text."""

    def command(run_folder, folder):
        (folder / "panel.tsv").write_text(text)
        data = of_run("annotate", *DATA, "--clusters", "@clusters.h5ad")(run_folder, folder)
        markers = folder / "out/markers.tsv"
        return [*data, "--markers", markers, "--panel", folder / "panel.tsv"]

    return command


def csc_of(adata):
    adata.X = sparse.csc_matrix(adata.X)
    return adata


def truncated(name, verb, *words):
    """A verb of the files of the run, but one has lost its second half."""

    def command(run_folder, folder):
        (folder / name).write_bytes(cut((run_folder / name).read_bytes(), 0.5))
        words_of_run = of_run(verb, *words)(run_folder, folder)
        return [folder / name if w == run_folder / name else w for w in words_of_run]

    return command


def one_cell_passes(run_folder, folder):
    counts = ad.read_h5ad(run_folder / "s1_qc.h5ad")
    most = int(counts.obs["library_size"].max())
    marks = folder / "qc.h5ad"
    words = ["--min-counts", most, "--min-genes", "1", "--no-doublets"]
    must(["qc", "--counts", run_folder / "s1.h5ad", *words], marks)
    return ["merge", "--counts", run_folder / "s1.h5ad", "--qc", marks]


CASES = [
    # values
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
    # files
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
        "truncated_counts",
        truncated("counts.h5ad", "normalize", "--counts", "@counts.h5ad"),
        ("counts.h5ad' cannot be read as h5ad", "Is the file complete"),
    ),
    Case(
        "truncated_model",
        truncated("model.safetensors", "embed", *DATA, *MODEL),
        ("model.safetensors' is not a readable model file", "Train again"),
    ),
    Case(
        "no_model",
        of_run("embed", *DATA, "--model-file", "no.safetensors"),
        ("no such model file: 'no.safetensors'",),
    ),
    # names and sizes
    Case(
        "barcode_twice",
        ingesting(lambda: sheet(COUNTS, cells=["a", "b", "c", "b", "d", "e"])),
        ("'b' appears 2 times in sample 's7'", "Ingest them one by one"),
    ),
    Case(
        "sample_twice",
        of_run("merge", "--counts", "@s1.h5ad", "@s1.h5ad", "--qc", "@s1_qc.h5ad", "@s1_qc.h5ad"),
        ("sample 's1' is given twice", "s1.h5ad'"),
    ),
    Case(
        "no_common_genes",
        other_genes_in_one_sample,
        ("no genes are common to all samples", "'mouse' has Actb, Gapdh, Xist", "same species"),
    ),
    Case("one_cell", ingesting(lambda: sheet(COUNTS[:1])), ("sample 's7' has 1 cell;", "larger")),
    Case("no_cell", ingesting(lambda: sheet(COUNTS[:0])), ("sample 's7' has 0 cells;",)),
    Case("one_gene", ingesting(lambda: sheet(COUNTS[:, :1])), ("sample 's7' has 1 gene;",)),
    Case(
        "no_cell_passes",
        of_run("qc", "--counts", "@s1.h5ad", "--min-genes", "5000", "--no-doublets"),
        ("no cell of sample 's1' passes", r"min_genes \(5000\) removes 90", "Loosen"),
    ),
    Case(
        "no_gene_passes",
        of_run(
            "merge",
            *("--counts", "@s1.h5ad", "@s2.h5ad", "--qc", "@s1_qc.h5ad", "@s2_qc.h5ad"),
            *("--min-cells", "5000"),
        ),
        ("180 cells and 0 genes are left", "min_cells"),
    ),
    Case(
        "one_cell_passes",
        one_cell_passes,
        ("1 cells and", "are left after merging", "Loosen"),
    ),
    Case(
        "qc_of_another_sample",
        of_run("merge", "--counts", "@s1.h5ad", "--qc", "@s2_qc.h5ad"),
        ("counts and qc of sample 's1' are of different cells", "Run qc on these counts"),
    ),
    Case(
        "fewer_qc_files",
        of_run("merge", "--counts", "@s1.h5ad", "@s2.h5ad", "--qc", "@s2_qc.h5ad"),
        ("--counts names 2 files and --qc 1",),
    ),
    # columns
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
        "no_filter_column",
        of_run("qc", "--counts", "@s1.h5ad", "--filter-column", "good"),
        ("filter_column 'good' is not in obs; it has sample, label",),
    ),
    Case(
        "no_batch_column_for_genes",
        of_run("normalize", "--counts", "@counts.h5ad", "--batch-key", "donor"),
        ("batch_key 'donor' is not in obs; it has sample", "to null"),
    ),
    Case(
        "no_batch_column",
        of_run("train", *DATA, "--batch-key", "donor"),
        ("batch_key 'donor' is not a column of obs; found sample", "null for none"),
    ),
    Case(
        "no_covariate_column",
        of_run("train", *DATA, "--continuous-covariates", "age"),
        ("continuous covariate 'age' is not a column of obs; found sample", "Name a column"),
    ),
    Case(
        "covariate_of_text",
        of_run("train", *DATA, "--continuous-covariates", "label"),
        ("continuous covariate 'label' must be a number for every cell; found 'CD", "of numbers"),
    ),
    Case(
        "not_normalized",
        of_run("train", "--counts", "@counts.h5ad", "--normalized", "@counts.h5ad"),
        (r"obs\['size_factor'\] is missing", "Was the step that writes it run"),
    ),
    Case(
        "not_the_models_latent",
        of_run("cluster", "--latent", "@latent.h5ad", "--model", "vae"),
        (r"obsm\['X_vae'\] is missing", "obsm holds X_pca"),
    ),
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
        "no_gene_of_the_list",
        listed("GENE1\nGENE2\nGENE3\n"),
        ("0 genes of the gene list are in the data", "missing: GENE1, GENE2, GENE3"),
    ),
    Case("empty_gene_list", listed("# mine\n"), ("genes.txt' lists nothing",)),
    # options
    Case(
        "unknown_key",
        of_run("train", *DATA, "--n-latnt", "5"),
        ("unknown argument '--n-latnt'; did you mean '--n-latent'",),
    ),
    Case(
        "unknown_value",
        of_run("train", *DATA, "--preset", "scvii"),
        ("preset must be one of scvi, dca, ldvae, pca; found 'scvii'; did you mean 'scvi'",),
    ),
    Case(
        "value_of_another_type",
        of_run("train", *DATA, "--max-steps", "many"),
        ("--max-steps: invalid int value: 'many'",),
    ),
    Case(
        "value_out_of_range",
        of_run("qc", "--counts", "@s1.h5ad", "--max-pct-mt", "120"),
        ("max_pct_mt must be at most 100; found 120",),
    ),
    Case(
        "n_latent_above_genes",
        of_run("train", *DATA, "--n-latent", "151"),
        ("found n_latent 151 and 150 genes", "Lower n_latent or raise n_top_genes"),
    ),
    Case(
        "axes_that_do_not_go_together",
        of_run("train", *DATA, "--preset", "dca", "--prior", "kl"),
        ("prior kl needs encoder variational; found encoder deterministic",),
    ),
    Case("no_threads", of_run("train", *DATA, "--threads", "0"), ("at least 1; found 0",)),
    Case(
        "metadata_without_value",
        ingesting(lambda: sheet(COUNTS), "--metadata", "donor"),
        ("KEY=VALUE; found 'donor'",),
    ),
    # files that do not belong together
    Case(
        "model_of_other_genes",
        other_genes,
        ("the model knows 150 genes and 150 of them are missing", "another gene list"),
    ),
    Case(
        "normalized_of_other_cells_train",
        mixed("normalized.h5ad", "train", *DATA, "--preset", "pca"),
        ("180", "90", "one run"),
    ),
    Case(
        "normalized_of_other_cells_embed",
        mixed("normalized.h5ad", "embed", *DATA, *MODEL),
        ("180", "90", "one run"),
    ),
    Case(
        "latent_of_other_cells",
        mixed(
            "latent.h5ad",
            "assemble",
            *DATA,
            "--latents",
            "@latent.h5ad",
            "--clusters",
            "@clusters.h5ad",
        ),
        ("has 90 cells and the counts 180", "Give files of one run"),
    ),
    Case(
        "clusters_of_other_cells",
        mixed(
            "clusters.h5ad", "annotate", *DATA, "--clusters", "@clusters.h5ad", "--markers", "m.tsv"
        ),
        ("90", "180"),
    ),
    Case(
        "clusters_of_other_cells_subtype",
        mixed(
            "clusters.h5ad",
            "subtype",
            *DATA,
            "--clusters",
            "@clusters.h5ad",
            "--groupby",
            "leiden",
            "--markers",
            "m.tsv",
        ),
        ("90", "180"),
    ),
    Case(
        "latent_of_other_cells_compress",
        mixed("latent.h5ad", "compress", *DATA, *MODEL, "--latent", "@latent.h5ad"),
        ("counts has 180 cells and latent 90",),
    ),
    Case(
        "latent_of_other_cells_evaluate",
        mixed(
            "latent.h5ad",
            "evaluate",
            "--counts",
            "@counts.h5ad",
            "--latent",
            "@latent.h5ad",
            "--model",
            "pca",
        ),
        ("90 cells that are not the 180",),
    ),
]


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, run_folder, tmp_path, capsys, monkeypatch):
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


# a full disk ------------------------------------------------------------------------------------

# Every way a file is written: by blocks, as a whole, model and table, JSON, temporary files, page.
WRITING = {
    "ingest": of_run("ingest", "@s1_raw.h5ad", "--sample", "s7"),
    "qc": of_run("qc", "--counts", "@s1.h5ad", "--min-genes", "1", "--no-doublets"),
    "merge": of_run("merge", "--counts", "@s1.h5ad", "--qc", "@s1_qc.h5ad"),
    "normalize": of_run("normalize", "--counts", "@counts.h5ad"),
    "train": of_run("train", *DATA, "--preset", "pca", "--n-latent", "5", "--batch-key", "null"),
    "embed": of_run("embed", *DATA, *MODEL),
    "denoise": of_run("denoise", *DATA, *MODEL[:2]),
    "evaluate": of_run(
        "evaluate",
        *("--counts", "@counts.h5ad", "--latent", "@latent.h5ad", "--model", "pca"),
        *("--resolutions", "0.5", "--batch-key", "null"),
    ),
    "assemble": of_run(
        "assemble", *DATA, "--latents", "@latent.h5ad", "--clusters", "@clusters.h5ad"
    ),
    "simulate": of_run("simulate", "--n-cells", "50", "--n-genes", "60"),
}


def limited(words, most_bytes):
    """Exit code of a command that cannot write files of more bytes: the error is the system's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        return run(words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("verb", WRITING)
def test_a_full_disk_is_one_line_and_leaves_the_old_file(verb, run_folder, tmp_path, capsys):
    made = tmp_path / "made"
    words = [*WRITING[verb](run_folder, tmp_path), "--output", made]
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


def program(words, folder, *, file_bytes=-1):
    """The installed program in a folder, which may write files of so many bytes; -1 for any."""
    limit = "import os, resource, sys; n = int(sys.argv[1]); "
    limit += (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (n, n)); os.execv(sys.argv[2], sys.argv[2:])"
    )
    return subprocess.run(
        [sys.executable, "-c", limit, str(file_bytes), *map(str, words)],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


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


def test_a_place_that_cannot_be_written_is_one_line(run_folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    words = WRITING["qc"](run_folder, tmp_path)
    for output, reason in (("file/made", "Not a directory|File exists"), ("folder", "directory")):
        assert run([*words, "--output", tmp_path / output]) == 2
        require_one_line("qc", capsys.readouterr().err, f"cannot write '.*{output}': .*({reason})")
        assert files_under(tmp_path) == ["file"]


@pytest.mark.parametrize("verb", ["ingest", "normalize"])
def test_a_file_that_may_not_be_read_is_not_called_damaged(
    verb, run_folder, tmp_path, capsys, monkeypatch
):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    words = [*WRITING[verb](run_folder, tmp_path), "--output", tmp_path / "made"]
    monkeypatch.setattr("h5py.File", refuse)  # root may read everything
    assert run(words) == 2
    says = r"cannot read '.*\.h5ad': Permission denied. Check its permissions"
    require_one_line(verb, capsys.readouterr().err, says)
    assert files_under(tmp_path) == []


def test_the_program_says_the_same_and_ends_with_2(tmp_path):
    with_value(0.37).write_h5ad(tmp_path / "in.h5ad")
    ingest = [SCPRESS, "ingest", "in.h5ad", "--sample", "s7", "--output", "o.h5ad"]
    for words, verb, says in (
        (ingest, "ingest", "found 0.37 in gene 'G2'"),
        ([*ingest, "--label-ky", "x"], "ingest", "did you mean '--label-key'"),
        ([*ingest, "--format", "h5"], "ingest", "did you mean 'h5ad'"),
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
