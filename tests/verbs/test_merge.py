"""`merge`: what the step makes, streamed; samples and files that do not go together."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.io import mmwrite
from verbs.commands import COUNTS, Case, must, of_run, run, sheet

from scpress import settings
from scpress.config.options import QcOptions
from scpress.counts.frames import plain_frame
from scpress.io.h5ad import read_h5ad
from scpress.steps.ingest import ingest
from scpress.steps.merge import merge
from scpress.steps.qc import qc


def other_genes_in_one_sample(run_folder, folder):
    mouse = sheet(COUNTS + 1, genes=["Actb", "Gapdh", "Xist", "Ddx3y"])
    mouse.write_h5ad(folder / "mouse_raw.h5ad")
    counts, marks = folder / "mouse.h5ad", folder / "mouse_qc.h5ad"
    must(["ingest", folder / "mouse_raw.h5ad", "--sample", "mouse"], counts)
    must(["qc", "--counts", counts, "--min-genes", "1", "--no-doublets"], marks)
    both = ["--counts", run_folder / "s1.h5ad", counts]
    return ["merge", *both, "--qc", run_folder / "s1_qc.h5ad", marks]


def one_cell_passes(run_folder, folder):
    counts = ad.read_h5ad(run_folder / "s1_qc.h5ad")
    most = int(counts.obs["library_size"].max())
    marks = folder / "qc.h5ad"
    words = ["--min-counts", most, "--min-genes", "1", "--no-doublets"]
    must(["qc", "--counts", run_folder / "s1.h5ad", *words], marks)
    return ["merge", "--counts", run_folder / "s1.h5ad", "--qc", marks]


CASES = [
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
        ("counts has 90 cells and qc of sample 's1' 90, not the same", "Give files of one run"),
    ),
    Case(
        "fewer_qc_files",
        of_run("merge", "--counts", "@s1.h5ad", "@s2.h5ad", "--qc", "@s2_qc.h5ad"),
        ("--counts names 2 files and --qc 1",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


WRITING = of_run("merge", "--counts", "@s1.h5ad", "--qc", "@s1_qc.h5ad")


def test_a_full_disk_is_one_line_and_leaves_the_old_file(require_full_disk_refused):
    require_full_disk_refused(WRITING)


def made(sample, genes, *, seed=0):
    """Ingested counts and qc of a simulated sample; the first cell fails."""
    X = np.random.default_rng(seed).poisson(1.5, (6, len(genes))) + np.eye(6, len(genes))
    given = sheet(X, genes=genes)
    given.obs["keep"] = [False] + [True] * 5
    counts = ingest(given, sample=sample)
    return counts, qc(counts, QcOptions(filter_column="keep", doublets=False))


def test_verb_writes_what_the_step_makes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(settings, "chunk_bytes", 64)
    samples = {"s/1": made("s/1", list("ABC")), "s2": made("s2", list("CAB"), seed=4)}
    paths: dict[str, list[str]] = {"counts": [], "qc": []}
    for i, pair in enumerate(samples.values()):
        for kind, adata in zip(paths, pair, strict=True):
            paths[kind].append(str(tmp_path / f"{kind}{i}.h5ad"))
            adata.write_h5ad(paths[kind][-1])
    output = ["--output", str(tmp_path / "merged.h5ad")]
    assert run(["merge", "--counts", *paths["counts"], "--qc", *paths["qc"], *output]) == 0
    written, merged = read_h5ad(tmp_path / "merged.h5ad"), merge(samples)
    assert written.n_obs == 10
    pd.testing.assert_frame_equal(written.obs, plain_frame(merged.obs))
    pd.testing.assert_frame_equal(written.var, plain_frame(merged.var))
    assert (written.X != merged.X).nnz == 0
    assert list(written.uns["scpress"]["sample_names"]) == ["s/1", "s2"]
    twice = [paths["counts"][0]] * 2, [paths["qc"][0]] * 2
    assert run(["merge", "--counts", *twice[0], "--qc", *twice[1], *output]) == 2
    assert "sample 's/1' is given twice" in capsys.readouterr().err
    assert run(["merge", "--counts", *twice[0], "--qc", paths["qc"][0], *output]) == 2


def folder_of(path, X, features):
    """A folder of 10x: genes x cells, and a line of words for every gene."""
    path.mkdir()
    mmwrite(path / "matrix.mtx", sparse.coo_matrix(X.T))
    (path / "barcodes.tsv").write_text("".join(f"c{at}\n" for at in range(len(X))))
    (path / "features.tsv").write_text("".join("\t".join(words) + "\n" for words in features))
    return path


def merged_of(tmp_path, **samples):
    """What ingest, qc and merge make of these folders."""
    counts, marks = [], []
    for name, path in samples.items():
        counts.append(tmp_path / f"{name}.h5ad")
        marks.append(tmp_path / f"{name}_qc.h5ad")
        must(["ingest", path, "--sample", name], counts[-1])
        words = ["--min-genes", "0", "--min-counts", "0", "--max-pct-mt", "100", "--no-doublets"]
        must(["qc", "--counts", counts[-1], *words], marks[-1])
    must(["merge", "--counts", *counts, "--qc", *marks, "--min-cells", "0"], tmp_path / "m.h5ad")
    return read_h5ad(tmp_path / "m.h5ad")


SYMBOLS = ["ACTB", "GAPDH", "MT-CO1", "B2M"]
ENSEMBL = [f"ENSG{at:011d}" for at in range(4)]
FIRST, SECOND = np.arange(1, 13).reshape(3, 4), np.arange(21, 33).reshape(3, 4)


@pytest.mark.parametrize(
    "features",
    [
        [(s,) for s in SYMBOLS],
        [(s, s, "Gene Expression") for s in SYMBOLS],
        [(s, i) for s, i in zip(SYMBOLS, ENSEMBL, strict=True)],
        [(f"GRCh38_{i}.7", f"GRCh38_{s}") for s, i in zip(SYMBOLS, ENSEMBL, strict=True)],
        [(f"{i}_{s}",) for s, i in zip(SYMBOLS, ENSEMBL, strict=True)],
    ],
    ids=["symbols", "symbols_twice", "symbol_first", "prefix_and_version", "joined"],
)
def test_genes_join_however_the_second_sample_names_them(tmp_path, features):
    order = [2, 0, 3, 1]
    usual = [(i, s, "Gene Expression") for i, s in zip(ENSEMBL, SYMBOLS, strict=True)]
    merged = merged_of(
        tmp_path,
        a=folder_of(tmp_path / "a", FIRST, usual),
        b=folder_of(tmp_path / "b", SECOND[:, order], [features[at] for at in order]),
    )
    assert list(merged.var_names) == ENSEMBL
    assert list(merged.var["gene_symbol"]) == SYMBOLS
    np.testing.assert_array_equal(merged.X.toarray(), np.vstack([FIRST, SECOND]))


def test_a_symbol_that_repeats_in_another_order_joins_no_other_gene(tmp_path):
    names, order = ["ACTB", "MATR3", "MATR3", "B2M"], [2, 1, 0, 3]
    merged = merged_of(
        tmp_path,
        a=folder_of(tmp_path / "a", FIRST, [(name,) for name in names]),
        b=folder_of(tmp_path / "b", SECOND[:, order], [(names[at],) for at in order]),
    )
    assert list(merged.var_names) == ["ACTB", "B2M"]
    np.testing.assert_array_equal(merged.X.toarray(), np.vstack([FIRST, SECOND])[:, [0, 3]])
    assert "2 genes share a symbol and have no id" in merged.uns["scpress"]["messages"][0]


def test_a_panel_beside_a_whole_transcriptome_stops_with_the_way_out(tmp_path, capsys):
    whole = folder_of(tmp_path / "a", FIRST, [(name,) for name in SYMBOLS])
    panel = folder_of(tmp_path / "b", SECOND[:, :2], [(name,) for name in SYMBOLS[:2]])
    with pytest.raises(AssertionError):
        merged_of(tmp_path, a=whole, b=panel)
    error = capsys.readouterr().err
    assert "a loses 2 of its 4 genes and 57.7 % of its molecules" in error
    assert "Set `genes` to union, or leave out" in error
    assert not (tmp_path / "m.h5ad").exists()
