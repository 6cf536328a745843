"""How many dimensions are found where so many are planted: types of simulated counts, less one.

    python benchmarks/dimensions.py --seeds 20
    python benchmarks/dimensions.py --seeds 3 --presets pca scvi    n_latent auto, too: minutes

Set OMP_NUM_THREADS and NUMBA_NUM_THREADS to 1 where other work is running.
"""

import argparse
import logging
from collections import Counter
from typing import Any

import numpy as np
from anndata import AnnData

from scpress.config.options import NormalizeOptions, SimulateOptions, TrainOptions
from scpress.steps.normalize import normalize
from scpress.steps.rank import rank
from scpress.steps.search import search
from scpress.steps.simulate import simulate
from scpress.steps.thin import thin
from scpress.steps.trial import trial

PLANTED: dict[str, dict[str, Any]] = {
    "noise": {"n_types": 1, "n_genes": 500},
    "5 types": {"n_types": 5, "n_genes": 500},
    "5 types, overdispersed": {"n_types": 5, "n_genes": 500, "theta": 1.0},
    "8 types": {"n_types": 8, "n_genes": 1000},
    "12 types, weak": {"n_types": 12, "n_genes": 1000, "n_cells": 2000, "type_fold_change": 3.0},
}


def main() -> None:
    """Print what stands out, seed by seed counted, and what n_latent auto makes of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=PLANTED, default=list(PLANTED))
    parser.add_argument("--presets", nargs="*", default=[], help="models whose n_latent is auto")
    arguments = parser.parse_args()
    logging.getLogger("scpress").setLevel(logging.ERROR)
    for name in arguments.only:
        options = SimulateOptions(**PLANTED[name])
        found: dict[str, list[int]] = {}
        for seed in range(arguments.seeds):
            counts = simulate(options, seed=seed)
            normalized = normalize(counts, NormalizeOptions(batch_key=None))
            folds = thin(counts, normalized)
            for preset in arguments.presets or ["scvi"]:
                sizes = dimensions(counts, normalized, folds, preset, bool(arguments.presets))
                for what, n in sizes.items():
                    found.setdefault(what, []).append(n)
        print(f"{name}: {options.n_types - 1} planted", flush=True)
        for what, values in found.items():
            near = int(np.sum(np.abs(np.array(values) - options.n_types + 1) <= 1))
            print(f"  {what}: {dict(Counter(values))}, within one in {near} of {len(values)}")


def dimensions(
    counts: AnnData, normalized: AnnData, folds: AnnData, preset: str, is_trained: bool
) -> dict[str, int]:
    """What stands out, and the size that held-out molecules choose."""
    options = TrainOptions(preset=preset, n_latent="auto", batch_key=None)
    standing = search(counts, normalized, folds, options, name="m")
    found = {"stand out": standing.guess or 0}
    if is_trained:
        data = counts, normalized, folds, standing
        results = [trial(*data, k, seed=0, device="cpu") for k in range(len(standing.entered))]
        after = rank(standing, results)
        assert after.chosen is not None
        found[f"n_latent of {preset}"] = after.trials[after.chosen].settings["n_latent"]
    return found


if __name__ == "__main__":
    main()
