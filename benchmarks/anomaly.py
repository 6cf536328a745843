"""Cells and genes that are unlike the rest: what is found of those that were put there.

Simulated counts with a planted type, and none; real cells of another species, and doublets;
genes of bulk counts moved by 4 to 6 deviations. Set OMP_NUM_THREADS and NUMBA_NUM_THREADS to 1
where other work is running.

    python benchmarks/anomaly.py planted --seeds 20
    python benchmarks/anomaly.py cells mouse.h5ad --key anomaly --normal 0
    python benchmarks/anomaly.py cells doublets.h5ad --key doublet --normal 0
    python benchmarks/anomaly.py genes bulk.h5ad
"""

import argparse
import logging
import time
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import optimize, sparse, stats
from scipy.spatial import cKDTree
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, roc_auc_score

from scpress.cells.anomalies import count_p_values
from scpress.cells.doublets import score_doublets
from scpress.config.anomaly import AnomalyOptions
from scpress.config.options import NormalizeOptions, SimulateOptions, TrainOptions
from scpress.steps.anomaly import anomaly
from scpress.steps.normalize import normalize
from scpress.steps.simulate import simulate

N_NORMAL, N_REFERENCE, N_PLANTED = 2970, 2000, 30


def find(counts: ad.AnnData, options: AnomalyOptions, *, seed: int = 0, **axes) -> ad.AnnData:
    """Anomalies of some counts by one model of all genes."""
    normalized = normalize(counts, NormalizeOptions(n_top_genes=None, batch_key=None))
    training = TrainOptions(**({"preset": "scvi", "batch_key": None} | axes))
    return anomaly(counts, normalized, training, options, seeds=[seed])


def planted(n_seeds: int) -> None:
    """A type of 1 % that the reference lacks, and the same without it."""
    for n_planted in (N_PLANTED, 0):
        rows = []
        for seed in range(n_seeds):
            counts = simulate(SimulateOptions(n_cells=4000, n_genes=500, n_types=5), seed=seed)
            is_new = counts.obs["label"].to_numpy() == "type5"
            rng = np.random.default_rng(seed)
            normal = rng.permutation(np.flatnonzero(~is_new))[:N_NORMAL]
            new = rng.permutation(np.flatnonzero(is_new))[:n_planted]
            kept = np.concatenate([normal, new])
            counts = counts[kept].copy()
            counts.obs["role"] = np.where(np.arange(len(kept)) < N_REFERENCE, "known", "new")
            options = AnomalyOptions(folds=2, reference_key="role", reference_values=("known",))
            found = find(counts, options, seed=seed).obs
            called = found["is_anomaly"].to_numpy()
            false = called[: len(normal)].sum() / max(called.sum(), 1)
            power = called[len(normal) :].mean() if n_planted else np.nan
            rows.append((false, power))
            print(f"  seed {seed}: false {false:.3f}, power {power:.2f}", flush=True)
        false, power = np.array(rows).T
        print(
            f"{n_planted} planted among {N_NORMAL}: at most 0.1 false in {(false <= 0.1).sum()} of "
            f"{n_seeds} seeds, mean {false.mean():.3f}; power {power.mean():.2f}, "
            f"least {power.min():.2f}"
        )


def cells(path: str, key: str, normal: str) -> None:
    """Area under the curve of labelled cells, by what is normal, beside PCA and neighbours."""
    counts = ad.read_h5ad(path)
    is_odd = counts.obs[key].astype(str).to_numpy() != normal
    counts.obs = counts.obs[[key]].astype(str)
    logs = np.log1p(counts.X.toarray() / counts.X.sum(axis=1).A1[:, None] * 1e4)
    pca = PCA(20, random_state=0).fit(logs)
    z = pca.transform(logs)
    print(
        f"PCA residual {roc_auc_score(is_odd, ((logs - pca.inverse_transform(z)) ** 2).sum(1)):.3f}"
    )
    print(f"kNN distance {roc_auc_score(is_odd, cKDTree(z).query(z, 16)[0][:, 1:].mean(1)):.3f}")
    # The same rivals with the reference that the model is given.
    pca = PCA(20, random_state=0).fit(logs[~is_odd])
    z = pca.transform(logs)
    distance = cKDTree(z[~is_odd]).query(z, 16)[0]
    mean = np.where(is_odd, distance[:, :15].mean(1), distance[:, 1:].mean(1))
    residual = ((logs - pca.inverse_transform(z)) ** 2).sum(1)
    print(
        f"of the reference: PCA residual {roc_auc_score(is_odd, residual):.3f}, kNN distance "
        f"{roc_auc_score(is_odd, mean):.3f}"
    )
    doublets = [score_doublets(counts.X, expected_rate=0.1, seed=seed) for seed in range(3)]
    if all(len(one.score) == len(is_odd) for one in doublets):
        areas = ", ".join(f"{roc_auc_score(is_odd, one.score):.3f}" for one in doublets)
        print(f"scrublet, three seeds {areas}; molecules {_area_of_totals(counts, is_odd):.3f}")
    for named in (True, False):
        options = AnomalyOptions(
            folds=2,
            reference_key=key if named else None,
            reference_values=(normal,) if named else (),
        )
        for seed in range(3):
            found = find(counts, options, seed=seed).obs
            called = found["is_anomaly"].to_numpy()
            print(
                f"{'reference named' if named else 'all cells'}, seed {seed}: "
                f"AUROC {roc_auc_score(is_odd, found['anomaly_score']):.3f}; "
                f"called {called.sum()}, {(called & is_odd).sum()} rightly",
                flush=True,
            )


def _area_of_totals(counts: ad.AnnData, is_odd: np.ndarray) -> float:
    return roc_auc_score(is_odd, counts.X.sum(axis=1).A1)


def genes(path: str, n_genes: int = 1000, n_injected: int = 200) -> None:
    """Precision and recall of genes of bulk counts that were moved, by their p-values."""
    counts = ad.read_h5ad(path)
    X = counts.X.toarray().astype(np.int64)
    X = X[:, np.sort(np.argsort(-X.sum(axis=0))[:n_genes])]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        moved, is_odd = X.copy(), np.zeros(X.shape, dtype=bool)
        size = X.sum(axis=1) / np.median(X.sum(axis=1))
        logs = np.log2(X / size[:, None] + 1)
        deviation = logs.std(axis=0)
        for cell in rng.integers(len(X), size=n_injected):
            gene = rng.integers(X.shape[1])
            shift = rng.choice([-1, 1]) * rng.uniform(4, 6) * deviation[gene]
            value = np.round(size[cell] * (2 ** (logs[:, gene].mean() + shift) - 1))
            moved[cell, gene] = np.clip(value, 0, 1e7)
            is_odd[cell, gene] = moved[cell, gene] != X[cell, gene]
        frame = ad.AnnData(
            sparse.csr_matrix(moved.astype(np.int32)),
            obs=pd.DataFrame(index=[f"s{i}" for i in range(len(X))]),
            var=pd.DataFrame(index=[f"g{i}" for i in range(X.shape[1])]),
        )
        rivals = {
            rank: average_precision_score(is_odd.ravel(), -np.log(_pca_nb(moved, rank).ravel()))
            for rank in (0, 2, 5, 10, 20)
        }
        options = AnomalyOptions(folds=2, n_like=10, max_fdr=0.5)
        ours = {}
        models: dict[str, dict[str, Any]] = {
            "scvi, nb": {"likelihood": "nb"},
            "dca, nb by gene": {
                "preset": "dca",
                "likelihood": "nb",
                "dispersion": "gene",
                "n_latent": 10,
            },
        }
        for name, axes in models.items():
            found = find(frame, options, seed=seed, **axes).X.toarray()
            ours[name] = average_precision_score(is_odd.ravel(), np.abs(found).ravel())
        print(
            f"seed {seed}: {is_odd.sum()} moved of {is_odd.size}; area of PCA and NB by rank "
            + ", ".join(f"{rank} {area:.3f}" for rank, area in rivals.items())
            + "; "
            + ", ".join(f"{k} {v:.3f}" for k, v in ours.items()),
            flush=True,
        )


def _pca_nb(counts: np.ndarray, rank: int) -> np.ndarray:
    """OUTRIDER's recipe with PCA: means by some components of log counts, an NB of each gene.

    Its theta has the greatest likelihood given these means, of all samples; rank 0 is the mean.
    """
    size = np.exp(np.mean(np.log(counts + 1), axis=1))
    size /= np.median(size)
    logs = np.log((counts + 1) / size[:, None])
    mean = np.broadcast_to(logs.mean(axis=0), logs.shape)
    if rank:
        pca = PCA(rank, random_state=0).fit(logs)
        mean = pca.inverse_transform(pca.transform(logs))
    mu = np.exp(mean) * size[:, None]
    theta = np.array([_theta(x, m) for x, m in zip(counts.T, mu.T, strict=True)])
    return np.maximum(count_p_values(counts, mu, np.broadcast_to(theta, mu.shape)), 1e-300)


def _theta(x: np.ndarray, mu: np.ndarray) -> float:
    def loss(log_theta: float) -> float:
        theta = np.exp(log_theta)
        return -stats.nbinom.logpmf(x, theta, theta / (theta + mu)).sum()

    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-5, 9), method="bounded").x))


def main() -> None:
    """Read the arguments and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("planted", "cells", "genes"))
    parser.add_argument("path", nargs="?", help="AnnData file of raw counts")
    parser.add_argument("--seeds", type=int, default=20, help="simulations [20]")
    parser.add_argument("--key", help="obs column of the labels")
    parser.add_argument("--normal", help="its value of normal cells")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    start = time.process_time()
    if arguments.what == "planted":
        planted(arguments.seeds)
    elif arguments.what == "cells":
        cells(arguments.path, arguments.key, arguments.normal)
    else:
        genes(arguments.path)
    print(f"{time.process_time() - start:.0f} s of processor time")


if __name__ == "__main__":
    main()
