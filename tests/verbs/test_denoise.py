"""`denoise`: what the step makes, written in blocks."""

import numpy as np
from verbs.commands import DATA, MODEL, Case, of_run, run

from scpress import settings
from scpress.config.options import DenoiseOptions
from scpress.io.h5ad import read_h5ad
from scpress.model.fitted import load_model
from scpress.steps.denoise import denoise

WRITING = of_run("denoise", *DATA, *MODEL[:2])


def test_a_full_disk_is_one_line_and_leaves_the_old_file(require_full_disk_refused):
    require_full_disk_refused(WRITING)


def test_verb_writes_the_named_genes_block_by_block(run_folder, tmp_path, monkeypatch):
    counts, normalized = (read_h5ad(run_folder / f"{n}.h5ad") for n in ("counts", "normalized"))
    model = load_model(run_folder / "model.safetensors")
    genes = [model.genes[7], model.genes[2]]
    expected = denoise(counts, normalized, model, DenoiseOptions(genes=tuple(genes)))
    monkeypatch.setattr(settings, "chunk_bytes", 20_000)
    words = WRITING(run_folder, tmp_path)
    assert run([*words, "--genes", *genes, "--output", tmp_path / "d.h5ad"]) == 0
    written = read_h5ad(tmp_path / "d.h5ad")
    assert list(written.var_names) == genes
    assert list(written.obs_names) == list(counts.obs_names)
    assert written.X.dtype == np.float32
    np.testing.assert_allclose(written.X, expected.X, rtol=1e-5)


def test_a_gene_that_is_not_modelled_is_one_line(require_refused):
    words = (*DATA, *MODEL[:2], "--genes", "nothing")
    require_refused(Case("no_gene", of_run("denoise", *words), ("not modelled: nothing",)))
