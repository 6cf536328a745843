"""`denoise`: what the step makes, written in blocks."""

import numpy as np
import scanpy as sc
from builders import briefly_trained
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


def test_scanpy_reads_what_dca_gives(run_folder, tmp_path, monkeypatch):
    """All genes, in blocks: the matrices are those of the step, and scanpy works on the latent."""
    counts, normalized = (read_h5ad(run_folder / f"{n}.h5ad") for n in ("counts", "normalized"))
    model = briefly_trained(counts, preset="dca", max_steps=20, hidden=(8,), n_latent=4)
    model.save(tmp_path / "model.safetensors")
    expected = denoise(counts, normalized, model, DenoiseOptions(dca_keys=True))
    monkeypatch.setattr(settings, "chunk_bytes", 20_000)
    words = of_run("denoise", *DATA, "--dca-keys")(run_folder, tmp_path)
    words += ["--model-file", tmp_path / "model.safetensors"]
    assert run([*words, "--output", tmp_path / "dca.h5ad"]) == 0
    written = sc.read_h5ad(tmp_path / "dca.h5ad")
    np.testing.assert_allclose(written.X, expected.X, rtol=1e-4)
    for key in ("X_dca", "X_dca_dispersion", "X_dca_dropout"):
        np.testing.assert_allclose(written.obsm[key], expected.obsm[key], rtol=1e-4, atol=1e-5)
        assert written.obsm[key].dtype == np.float32
    assert written.obsm["X_dca_dropout"].shape == written.shape
    assert ((written.obsm["X_dca_dropout"] > 0) & (written.obsm["X_dca_dropout"] < 1)).all()
    np.testing.assert_allclose(
        written.var["X_dca_dropout"], written.obsm["X_dca_dropout"].mean(axis=0), rtol=1e-4
    )
    sc.pp.neighbors(written, use_rep="X_dca")
    assert "connectivities" in written.obsp
    again = sc.read_h5ad(tmp_path / "dca.h5ad")[:50]
    assert again.obsm["X_dca_dispersion"].shape == (50, written.n_vars)


def test_keys_of_dca_are_of_one_training(require_refused):
    words = of_run("denoise", *DATA, *MODEL[:2], MODEL[1], "--dca-keys")
    require_refused(Case("two", words, ("dca_keys are of one training; found 2 files",)))


def test_a_gene_that_is_not_modelled_is_one_line(require_refused):
    words = (*DATA, *MODEL[:2], "--genes", "nothing")
    require_refused(Case("no_gene", of_run("denoise", *words), ("not modelled: nothing",)))
