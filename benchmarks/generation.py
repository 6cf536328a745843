"""How unlike held-out cells are those that a model draws, beside rivals that know less.

Two-sample area under the curve of two classifiers (0.5: they cannot tell), correlations of what
drawn and held-out cells have of each gene and pair of genes. Models are fitted to half of the
cells. Set OMP_NUM_THREADS and NUMBA_NUM_THREADS to 1 where other work is running.

    python benchmarks/generation.py pbmc3k.h5ad --seeds 3
"""

import argparse
import logging
import time

import anndata as ad
import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

from scpress.config.generate import GenerateOptions
from scpress.config.options import NormalizeOptions, TrainOptions
from scpress.model.modelled import modelled_counts
from scpress.model.scoring import importance_weighted_nll, moment_theta
from scpress.steps.generate import generate
from scpress.steps.normalize import normalize
from scpress.steps.train import train


def compare(real: np.ndarray, drawn: np.ndarray) -> str:
    """Two-sample areas, and correlations of marginals, pairs, variances and zeros."""
    x = np.concatenate([real, drawn]).astype(np.float64)
    y = np.repeat([0, 1], [len(real), len(drawn)])
    logs = np.log1p(x / np.maximum(x.sum(axis=1, keepdims=True), 1) * 1e3)
    z = PCA(30, random_state=0).fit_transform(logs)
    areas = []
    for classifier in (
        LogisticRegression(max_iter=500),
        HistGradientBoostingClassifier(max_iter=60, random_state=0),
    ):
        p = cross_val_predict(classifier, z, y, cv=3, method="predict_proba")[:, 1]
        areas.append(roc_auc_score(y, p))
    often = np.argsort(-real.mean(axis=0))[:200]
    pairs = [
        np.corrcoef(np.log1p(part[:, often]).T)[np.triu_indices(200, 1)] for part in (real, drawn)
    ]

    def same(of) -> float:
        return float(np.corrcoef(of(real), of(drawn))[0, 1])

    return (
        f"area {areas[0]:.3f} logistic, {areas[1]:.3f} boosted; r of log means "
        f"{same(lambda a: np.log(a.mean(0) + 1e-3)):.3f}, log variances "
        f"{same(lambda a: np.log(a.var(0) + 1e-3)):.3f}, "
        f"zeros {same(lambda a: (a == 0).mean(0)):.3f}, "
        f"pairs {np.corrcoef(np.nan_to_num(pairs))[0, 1]:.3f}"
    )


def main() -> None:
    """Read the arguments and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="AnnData file of raw counts")
    parser.add_argument("--genes", type=int, default=1000, help="genes of the model [1000]")
    parser.add_argument("--seeds", type=int, default=3, help="splits and trainings [3]")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    start = time.process_time()
    counts = ad.read_h5ad(arguments.path)
    counts.X = sparse.csr_matrix(counts.X)
    for seed in range(arguments.seeds):
        order = np.random.default_rng(seed).permutation(counts.n_obs)
        known, unseen = (counts[np.sort(rows)].copy() for rows in np.array_split(order, 2))
        sizes = normalize(known, NormalizeOptions(n_top_genes=arguments.genes, batch_key=None))
        options = TrainOptions(
            preset="scvi", likelihood="nb", batch_key=None, allow_failed_fit=True
        )
        model, _ = train(known, sizes, options, seed=seed)
        held_out = modelled_counts(unseen, None, model)
        real = held_out.X.toarray()
        for source in ("posterior", "prior"):
            asked = GenerateOptions(n_cells=len(real), source=source)
            drawn = generate(known, sizes, model, asked, seed=seed).X.toarray()
            print(f"seed {seed}, {source}: {compare(real, drawn)}", flush=True)
        read = modelled_counts(known, sizes, model)
        rng = np.random.default_rng(seed)
        total = read.X.sum(axis=1).A1
        share = read.X.sum(axis=0).A1 / total.sum()
        theta = moment_theta(read, total.astype(float), share)
        mu = total[rng.integers(len(total), size=len(real))][:, None] * share
        drawn = rng.poisson(rng.gamma(np.broadcast_to(theta, mu.shape), mu / theta))
        print(f"seed {seed}, NB of gene means: {compare(real, drawn)}", flush=True)
        again = read.X.toarray()
        print(f"seed {seed}, known cells: {compare(real, again)}", flush=True)
        some = held_out.take(np.arange(200))
        nll = [importance_weighted_nll(model, some, n_draws=100, seed=s) for s in range(4)]
        print(
            f"seed {seed}: -log p(x) of 200 unseen cells {np.mean(nll):.1f} nats, deviation over "
            f"draws {np.std(nll, axis=0, ddof=1).mean():.2f}",
            flush=True,
        )
    print(f"{time.process_time() - start:.0f} s of processor time")


if __name__ == "__main__":
    main()
