"""`recommend` on files: the step's result, and one line where every gene was measured."""

import anndata as ad
import numpy as np
import pytest
from builders import brief_options
from verbs.commands import DATA, Case, of_run, run

from scpress.config.options import IngestOptions, MergeOptions, NormalizeOptions, QcOptions
from scpress.config.recommend import RecommendOptions
from scpress.io.h5ad import read_h5ad, write_h5ad
from scpress.model.fitted import load_model
from scpress.steps.ingest import ingest
from scpress.steps.merge import merge
from scpress.steps.normalize import normalize
from scpress.steps.qc import qc
from scpress.steps.recommend import recommend
from scpress.steps.train import train


def test_complete_counts_are_one_line_and_leave_nothing(require_refused):
    words = of_run("recommend", *DATA, "--model-file", "@model.safetensors")
    require_refused(Case("complete", words, ("every sample measured every gene",)))


def _merged(simulated):
    """Two samples of which the second lists fewer genes, through ingest, qc and merge."""
    samples = {}
    for number, (name, n_genes) in enumerate({"whole": 80, "panel": 50}.items()):
        part = ad.AnnData(simulated.X[number::2, :n_genes], var=simulated.var.iloc[:n_genes])
        part.obs_names = [f"cell{i}" for i in range(part.n_obs)]
        counts = ingest(part, sample=name, metadata={}, options=IngestOptions())
        loose = QcOptions(min_counts=0, min_genes=0, doublets=False)
        samples[name] = (counts, qc(counts, loose))
    return merge(samples, MergeOptions(genes="panels"))


def test_verb_writes_what_the_step_recommends(simulated, tmp_path):
    counts = _merged(simulated)
    normalized = normalize(counts, NormalizeOptions(n_top_genes=None))
    model, _ = train(counts, normalized, brief_options(allow_failed_fit=True), device="cpu")
    paths = {name: tmp_path / f"{name}.h5ad" for name in ("counts", "normalized", "found")}
    write_h5ad(counts, paths["counts"])
    write_h5ad(normalized, paths["normalized"])
    model.save(tmp_path / "m")
    words = ["recommend", "--counts", paths["counts"], "--normalized", paths["normalized"]]
    words += ["--model-file", tmp_path / "m", "--n-genes", "5", "--output", paths["found"]]
    assert run(words) == 0
    written = read_h5ad(paths["found"])
    loaded = load_model(tmp_path / "m")
    expected = recommend(counts, normalized, [loaded], RecommendOptions(n_genes=5))
    np.testing.assert_array_equal(written.obsm["recommended"], expected.obsm["recommended"])
    assert written.uns["scpress"]["recommend"]["k"] == 5
    assert written.var["gene_symbol"].tolist() == expected.var["gene_symbol"].tolist()
    assert pytest.approx(expected.uns["scpress"]["recommend"]["recall"]) == list(
        written.uns["scpress"]["recommend"]["recall"]
    )
