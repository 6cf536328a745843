"""What few cells want: settings of a model, and means of several seeds, beside PCA and gene means.

Every predictor is fitted to the molecules without one fold and scored on it, as `scpress score`
does: nats per cell against the best PCA, negative where it is better, with the standard error of
the difference in the same cells, seeds and folds; and against the model as it is. Set
OMP_NUM_THREADS and NUMBA_NUM_THREADS to 1 where other work is running.

    python benchmarks/small_data.py data/demo.h5ad
    python benchmarks/small_data.py pbmc3k.h5ad --cells 1000 --seeds 0 1 2 --preset dca
"""

import argparse
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData

from scpress.config.options import IngestOptions, NormalizeOptions, TrainOptions
from scpress.io.h5ad import read_h5ad
from scpress.model.molecules import HeldOutFold, Predict, score_means
from scpress.steps.baselines import score_baselines
from scpress.steps.choose import paired_error
from scpress.steps.ensemble import mean_of
from scpress.steps.ingest import ingest
from scpress.steps.normalize import normalize
from scpress.steps.score import held_out_folds, means_of, without_fold
from scpress.steps.thin import thin
from scpress.steps.train import train

SETTINGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "epsilon 0.1": {"epsilon": 0.1},
    "epsilon 0.3": {"epsilon": 0.3},
    "hidden 64": {"hidden": (64,)},
    "hidden 32": {"hidden": (32,)},
    "latent 5": {"n_latent": 5},
    "latent 20": {"n_latent": 20},
    "linear decoder": {"decoder": "linear"},
    "dropout 0": {"dropout_rate": 0.0},
    "dropout 0.3": {"dropout_rate": 0.3},
    "dropout 0.5": {"dropout_rate": 0.5},
    "likelihood nb": {"likelihood": "nb"},
    "epsilon 0.3, hidden 64": {"epsilon": 0.3, "hidden": (64,)},
    "epsilon 0.3, hidden 64, latent 5": {"epsilon": 0.3, "hidden": (64,), "n_latent": 5},
    "epsilon 0.3, hidden 64, latent 20": {"epsilon": 0.3, "hidden": (64,), "n_latent": 20},
    "epsilon 0.3, hidden 64, linear decoder": {
        "epsilon": 0.3,
        "hidden": (64,),
        "decoder": "linear",
    },
    "epsilon 0.3, hidden 64, dropout 0.3": {
        "epsilon": 0.3,
        "hidden": (64,),
        "dropout_rate": 0.3,
    },
    "epsilon 0.01": {"epsilon": 0.01},
    "hidden 256": {"hidden": (256,)},
    "hidden 128 128": {"hidden": (128, 128)},
    "gene mask 0.2": {"gene_mask": 0.2},
    "gene mask 0.5": {"gene_mask": 0.5},
    "epsilon 0.3, gene mask 0.5": {"epsilon": 0.3, "gene_mask": 0.5},
    "weight decay 1e-3": {"weight_decay": 1e-3},
    "averaged 300": {"averaged_steps": 300},
    "batches of 32": {"batch_size": 32},
}
_MIN_CELLS = 3


def main() -> None:
    """Print one line for each predictor of each file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", type=Path, nargs="+", help="h5ad of raw counts")
    parser.add_argument("--cells", type=int, help="draw so many of them")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--preset", default="scvi")
    parser.add_argument("--only", nargs="+", help="of the settings, by name")
    arguments = parser.parse_args()
    logging.getLogger("scpress").setLevel(logging.ERROR)
    for path in arguments.sources:
        counts = ingest(read_h5ad(path), sample="all", options=IngestOptions())
        if arguments.cells and arguments.cells < counts.n_obs:
            drawn = np.random.default_rng(0).permutation(counts.n_obs)[: arguments.cells]
            counts = counts[np.sort(drawn)].copy()
        detected = np.asarray((counts.X > 0).sum(axis=0)).ravel() >= _MIN_CELLS
        counts = counts[:, detected].copy()
        normalized = normalize(counts, NormalizeOptions(batch_key=None))
        print(f"\n{path.name}: {counts.n_obs:,} cells, {arguments.preset}; {arguments.seeds}\n")
        print("| | from the best PCA, nats per cell | from the model as it is | seconds |")
        print("|---|---|---|---|")
        show(counts, normalized, arguments)


def show(counts: AnnData, normalized: AnnData, arguments: argparse.Namespace) -> None:
    """Print the table of one file."""
    folds = thin(counts, normalized)
    baselines = {
        one.name: np.array([[fold.poisson for fold in one.folds]])
        for one in score_baselines(counts, normalized, folds).predictors
    }
    rival = min(
        (losses for name, losses in baselines.items() if name.startswith("PCA")),
        key=lambda losses: losses.mean(),
    )

    def line(name: str, losses: np.ndarray, own: np.ndarray | None, seconds: str = "") -> None:
        from_own = "" if own is None else gap(losses, own)
        print(f"| {name} | {gap(losses, rival)} | {from_own} | {seconds} |", flush=True)

    for name, losses in baselines.items():
        line(name, losses, None)
    own = None
    held_out = list(held_out_folds(counts, normalized, folds))
    left = [without_fold(counts, fold, folds.var_names) for fold in held_out]
    for name, changes in SETTINGS.items():
        # The first is what the others are held against.
        if own is not None and arguments.only and name not in arguments.only:
            continue
        given = {"preset": arguments.preset, "batch_key": None} | changes
        options = TrainOptions(allow_failed_fit=True, **given)
        of_folds, together = [], []
        start = time.process_time()
        for fold, cells in zip(held_out, left, strict=True):
            means = [
                means_of(train(*cells, options, seed=seed, device="cpu")[0], fold, cells)
                for seed in arguments.seeds
            ]
            of_folds.append(list(poisson_of(means, fold)))
            together.append(next(poisson_of([mean_of(means)], fold)))
        seconds = (time.process_time() - start) / (len(held_out) * len(arguments.seeds))
        of_seeds = np.array(of_folds).swapaxes(0, 1)
        line(name, of_seeds, own, f"{seconds:.0f}")
        line(f"{name}, mean of the seeds", np.array([together]), own)
        own = of_seeds if own is None else own


def gap(losses: np.ndarray, rival: np.ndarray) -> str:
    """Difference of two losses [seeds, folds, blocks] and its error."""
    return f"{(losses - rival).mean():+.2f} ± {paired_error(losses, rival):.2f}"


def poisson_of(means: list[Predict], fold: HeldOutFold) -> Iterator[tuple[float, ...]]:
    """[blocks] Poisson loss of each prediction of one fold."""
    return (score_means(fold, predict).poisson for predict in means)


if __name__ == "__main__":
    main()
