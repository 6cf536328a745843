"""What each kind of autoencoder is for, beside the rival that it has to beat.

    python benchmarks/uses.py [--seeds 3] [--steps 1500] [--models ldvae dca]
    python benchmarks/uses.py counts.h5ad --label KEY

Without a file it reads the 700 cells of blood that scanpy ships. Every model is trained on four
fifths of the molecules of all cells and predicts the others; labels are looked for in its latent.
Prints a table: Poisson loss on the molecules held out, nats per cell, less that of the default, and
the silhouette of the labels (Euclidean, in the latent), each as mean and deviation over the seeds.
"""

import argparse
import time
from typing import Any

import anndata as ad
import numpy as np
import torch
from scipy import sparse
from sklearn.metrics import silhouette_score

from scpress.config.options import NormalizeOptions, TrainOptions
from scpress.counts.demo import pbmc68k_counts
from scpress.model.baselines import fit_gene_mean, fit_pca
from scpress.steps.normalize import normalize
from scpress.steps.train import train

MODELS: dict[str, dict[str, Any]] = {
    "scvi": {"preset": "scvi"},
    "nb, deterministic": {"preset": "denoising", "gene_mask": 0.0},
    "denoising": {"preset": "denoising"},
    "molecule_thinning 0.3": {"preset": "denoising", "gene_mask": 0.0, "molecule_thinning": 0.3},
    "input_noise 0.3": {"preset": "denoising", "gene_mask": 0.0, "input_noise": 0.3},
    "tied_weights": {"preset": "denoising", "gene_mask": 0.0, "tied_weights": True},
    "residual": {
        "preset": "denoising",
        "gene_mask": 0.0,
        "hidden": (128, 128),
        "residual": True,
    },
    "ldvae": {"preset": "ldvae"},
    "dca": {"preset": "dca"},
    "sparse": {"preset": "sparse"},
    "contractive": {"preset": "contractive"},
    "wae": {"preset": "wae"},
    "aae": {"preset": "aae"},
    "multinomial": {"preset": "scvi", "likelihood": "multinomial"},
    "bernoulli": {"preset": "scvi", "likelihood": "bernoulli"},
    "gaussian": {"preset": "scvi", "likelihood": "gaussian"},
    "laplace": {"preset": "scvi", "likelihood": "laplace"},
}


def main() -> None:
    """Train all models and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", nargs="?", help="h5ad of raw counts")
    parser.add_argument("--label", default="bulk_labels", help="obs column of known types")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument(
        "--models", nargs="+", default=[*MODELS], choices=MODELS, help="some of them, beside scvi"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    counts = ad.read_h5ad(arguments.counts) if arguments.counts else pbmc68k_counts()
    labels = counts.obs[arguments.label].astype(str).to_numpy()
    scores: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(arguments.seeds):
        seen, held_out = divide(sparse.csr_matrix(counts.X), seed)
        part = ad.AnnData(seen, obs=counts.obs, var=counts.var)
        normalized = normalize(part, NormalizeOptions(n_top_genes=2000, batch_key=None))
        genes = np.flatnonzero(normalized.var["highly_variable"])
        factor = normalized.obs["size_factor"].to_numpy()
        target = held_out[:, genes].toarray()
        for name, means, latent, seconds in predictions(
            part, normalized, genes, factor, seed, arguments
        ):
            # The molecules held out are a quarter of those seen; no mean is below a rare gene's.
            mu = np.maximum(means, 1e-6) / 4
            loss = float((mu - target * np.log(mu)).sum(axis=1).mean())
            width = float("nan") if latent is None else float(silhouette_score(latent, labels))
            scores.setdefault(name, []).append((loss, width, seconds))
    reference = np.array(scores["scvi"])[:, 0]
    print("| model | loss less that of scvi | silhouette | CPU seconds |\n|---|---|---|---|")
    for name, rows in scores.items():
        values = np.array(rows)
        difference = values[:, 0] - reference
        print(
            f"| {name} | {difference.mean():+.2f} ± {difference.std():.2f} "
            f"| {values[:, 1].mean():.3f} ± {values[:, 1].std():.3f} | {values[:, 2].mean():.1f} |"
        )


def divide(X: sparse.csr_matrix, seed: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Four fifths of the molecules, drawn one by one, and the rest."""
    seen = X.copy()
    seen.data = np.random.default_rng(seed).binomial(X.data.astype(np.int64), 0.8)
    held_out = (X - seen).tocsr()
    return seen, held_out


def predictions(part, normalized, genes, factor, seed, arguments):
    """(name, [cells, genes] expected molecules of those seen, latent, seconds) of each model."""
    X = part.X[:, genes]
    for name in dict.fromkeys(["scvi", *arguments.models]):
        given = {"max_steps": arguments.steps, "batch_key": None, "allow_failed_fit": True}
        options = TrainOptions(**given, **MODELS[name])
        start = time.process_time()
        model, _ = train(part, normalized, options, seed=seed, device="cpu")
        seconds = time.process_time() - start
        cells = model.cells(X, model.size_factors(normalized.obs["library_size"].to_numpy()))
        latent = model.encode(cells)[0]
        means = model.mean_counts(cells, latent).astype(np.float64)
        if model.network.pi_logits is not None:
            means *= 1 - model.extra_zero_fraction(cells, latent)
        if model.config.likelihood in ("gaussian", "laplace"):
            # Means of logarithms are too small: the totals of genes are put right.
            means *= X.sum(axis=0).A1 / np.maximum(means.sum(axis=0), 1e-3)
            means = np.maximum(means, 0.1 * fit_gene_mean(X, factor).decode_counts(factor))
        yield name, means, latent, seconds
    yield "gene means", fit_gene_mean(X, factor).decode_counts(factor), None, 0.0
    pca = fit_pca(X, factor, 10)
    latent = pca.encode(X, factor)
    yield "PCA, 10 dimensions", pca.decode_counts(latent, factor), latent, 0.0


if __name__ == "__main__":
    main()
