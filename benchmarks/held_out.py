"""Held-out likelihood and clusters of scpress's scvi preset beside scvi-tools' SCVI.

Same counts, same variable genes, same training, validation and test cells, same sizes, one scorer:
importance-weighted -log p(x) of test cells that neither trained nor stopped either model.

    python benchmarks/held_out.py counts.h5ad --label cell_type
    python benchmarks/held_out.py counts.h5ad --label cell_type --engines scpress \
        --set learning_rate=0.002 averaged_steps=0
"""

import argparse
import logging
import platform
import statistics
import time
from pathlib import Path

import numpy as np
from anndata import AnnData
from training import parse_options

from scpress.config.options import EvaluateOptions, IngestOptions, NormalizeOptions, TrainOptions
from scpress.io.h5ad import read_h5ad
from scpress.model.modelled import modelled_counts
from scpress.model.scoring import importance_weighted_nll
from scpress.steps.embed import embed
from scpress.steps.evaluate import evaluate
from scpress.steps.ingest import ingest
from scpress.steps.normalize import normalize
from scpress.steps.train import train

ENGINES = ["scpress", "scvi-tools, early stopping", "scvi-tools, its defaults"]


def main() -> None:
    """Print one line per run and the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", type=Path, help="h5ad with raw counts in X")
    parser.add_argument("--label", required=True, help="obs column of known labels")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--n-top-genes", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=400, help="scvi-tools' epochs [its default]")
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES, help="which")
    parser.add_argument("--set", nargs="+", default=[], help="options of scpress's own training")
    arguments = parser.parse_args()
    logging.getLogger("scpress").setLevel(logging.ERROR)

    raw = read_h5ad(arguments.counts)
    counts = ingest(raw, sample="all", options=IngestOptions(label_key=arguments.label))
    keep = np.asarray(counts.X.sum(axis=1)).ravel() > 0
    counts = counts[keep].copy()
    normalized = normalize(counts, NormalizeOptions(n_top_genes=arguments.n_top_genes))
    test = np.random.default_rng(1).permutation(counts.n_obs)[: counts.n_obs // 10]
    fit = np.setdiff1d(np.arange(counts.n_obs), test)
    steps = int(np.ceil(0.9 * len(fit) / 128)) * arguments.epochs
    runs = {
        "scpress": TrainOptions(batch_key=None, **parse_options(arguments.set)),
        "scvi-tools, early stopping": TrainOptions(
            engine="scvi-tools",
            batch_key=None,
            max_steps=steps,
            patience=steps * 45 // 400,
        ),
        "scvi-tools, its defaults": TrainOptions(
            engine="scvi-tools",
            batch_key=None,
            max_steps=steps,
            patience=steps,
            kl_warmup_steps=steps,
        ),
    }
    print(
        f"{arguments.counts.name}: {counts.n_obs} cells, {len(test)} of them test cells; "
        f"{platform.processor() or platform.machine()}, 1 process"
    )
    print(f"{'engine':28}{'seed':>5}{'test NLL':>11}{'ARI':>8}{'NMI':>8}{'seconds':>9}")
    for name in arguments.engines:
        options = runs[name]
        rows = [_run(counts, normalized, fit, test, options, seed=seed) for seed in arguments.seeds]
        for seed, row in zip(arguments.seeds, rows, strict=True):
            _show(name, str(seed), row)
        _show(name, "med", [statistics.median(column) for column in zip(*rows, strict=True)])


def _run(
    counts: AnnData,
    normalized: AnnData,
    fit: np.ndarray,
    test: np.ndarray,
    options: TrainOptions,
    *,
    seed: int,
) -> list[float]:
    start = time.perf_counter()
    model, _ = train(counts[fit].copy(), normalized[fit].copy(), options, seed=seed, device="cpu")
    seconds = time.perf_counter() - start
    held_out = modelled_counts(counts[test].copy(), normalized[test].copy(), model)
    nll = importance_weighted_nll(model, held_out)
    latent = embed(counts, normalized, model, name="m")
    latent.uns["scpress"]["seed"] = seed
    scores = evaluate(counts.obs, {seed: latent}, EvaluateOptions(batch_key=None), model="m")
    found = scores.seeds[str(seed)]
    assert found.ari_best is not None
    assert found.nmi_best is not None
    return [float(nll.mean()), found.ari_best, found.nmi_best, seconds]


def _show(name: str, seed: str, row: list[float]) -> None:
    nll, ari, nmi, seconds = row
    print(f"{name:28}{seed:>5}{nll:11.2f}{ari:8.3f}{nmi:8.3f}{seconds:9.1f}", flush=True)


if __name__ == "__main__":
    main()
