"""`normalize`: what the step makes of counts on disk and of a list of genes."""

import numpy as np
import pandas as pd
import pytest
from verbs.commands import Case, of_run, run, truncated

from scpress import settings
from scpress.config.options import NormalizeOptions
from scpress.counts.frames import plain_frame
from scpress.io.h5ad import read_h5ad
from scpress.steps.normalize import normalize


def listed(text):
    """`normalize` with a gene list of this text."""

    def command(run_folder, folder):
        (folder / "genes.txt").write_text(text)
        counts = run_folder / "counts.h5ad"
        return ["normalize", "--counts", counts, "--gene-list", folder / "genes.txt"]

    return command


CASES = [
    Case(
        "truncated_counts",
        truncated("counts.h5ad", "normalize", "--counts", "@counts.h5ad"),
        ("counts.h5ad' cannot be read as h5ad", "Is the file complete"),
    ),
    Case(
        "no_batch_column_for_genes",
        of_run("normalize", "--counts", "@counts.h5ad", "--batch-key", "donor"),
        ("batch_key 'donor' is not in obs; it has sample", "to null"),
    ),
    Case(
        "no_gene_of_the_list",
        listed("GENE1\nGENE2\nGENE3\n"),
        ("0 genes of the gene list are in the data", "missing: GENE1, GENE2, GENE3"),
    ),
    Case("empty_gene_list", listed("# mine\n"), ("genes.txt' lists nothing",)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_one_line_and_leaves_nothing(case, require_refused):
    require_refused(case)


WRITING = of_run("normalize", "--counts", "@counts.h5ad")


def test_a_full_disk_is_one_line_and_leaves_the_old_file(require_full_disk_refused):
    require_full_disk_refused(WRITING)


def test_verb_writes_what_the_step_makes(run_folder, tmp_path, monkeypatch):
    expected = normalize(read_h5ad(run_folder / "counts.h5ad"), NormalizeOptions(n_top_genes=40))
    monkeypatch.setattr(settings, "chunk_bytes", 20_000)
    words = [*WRITING(run_folder, tmp_path), "--n-top-genes", "40"]
    assert run([*words, "--output", tmp_path / "n.h5ad"]) == 0
    written = read_h5ad(tmp_path / "n.h5ad")
    pd.testing.assert_frame_equal(written.obs, plain_frame(expected.obs))
    pd.testing.assert_frame_equal(written.var, plain_frame(expected.var))
    assert written.var["highly_variable"].sum() == 40


def test_gene_list_from_a_file(run_folder, tmp_path, capsys):
    counts = read_h5ad(run_folder / "counts.h5ad")
    wanted = [counts.var_names[3], "nothing", counts.var_names[9]]
    (tmp_path / "genes.txt").write_text("# mine\n" + "\n".join(wanted))
    words = ["normalize", "--counts", run_folder / "counts.h5ad", "--output", tmp_path / "n.h5ad"]
    assert run([*words, "--gene-list", tmp_path / "genes.txt"]) == 0
    chosen = read_h5ad(tmp_path / "n.h5ad").var["highly_variable"]
    assert list(np.flatnonzero(chosen)) == [3, 9]
    assert run([*words, "--gene-list", tmp_path / "none.txt"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_a_file_that_may_not_be_read_is_not_called_damaged(require_unreadable_refused):
    require_unreadable_refused(WRITING)
