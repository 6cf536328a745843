"""Which lossy code is best at which size: a count autoencoder, PCA, NMF and gene means.

A tenth of the cells is in no training, not even to decide when it stops. Every code is stored, read
back, decoded and scored as `scpress compress` does: a random four fifths of the molecules of these
cells are coded, and the deviance of the other fifth is what is explained.

    python benchmarks/rate_distortion.py                        the demo
    python benchmarks/rate_distortion.py --counts counts.h5ad   raw counts in X

Set OMP_NUM_THREADS and NUMBA_NUM_THREADS to 1 where other work is running.
"""

import argparse
import dataclasses
import logging
import platform
import time
from pathlib import Path

import numpy as np
from anndata import AnnData
from training import parse_options

from scpress.config.options import CompressOptions, IngestOptions, NormalizeOptions, TrainOptions
from scpress.counts.demo import demo_counts
from scpress.io.h5ad import read_h5ad
from scpress.model.fitted import TrainedModel
from scpress.report.lossy import describe_model, find_front, front_ranges, front_share, gather_codes
from scpress.steps.compress import compress
from scpress.steps.embed import embed
from scpress.steps.ingest import ingest
from scpress.steps.normalize import normalize
from scpress.steps.train import train

# Ranks of the rivals.
_RANKS, _NMF = (1, 2, 3, 5, 10, 20, 30, 50), (2, 3, 5, 10, 20, 30)


def main() -> None:
    """Print the front, what is best in each range of bytes, and the model's share of the range."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=Path, help="h5ad with raw counts in X [the demo]")
    parser.add_argument("--n-top-genes", type=int, default=2000)
    parser.add_argument("--preset", default="ldvae", help="of the model")
    parser.add_argument("--n-latents", type=int, nargs="+", default=[2, 3, 5, 10, 20])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="+", default=[], help="more options of the training")
    arguments = parser.parse_args()
    logging.getLogger("scpress").setLevel(logging.ERROR)

    raw = read_h5ad(arguments.counts) if arguments.counts else demo_counts()
    counts = ingest(raw, sample="all", options=IngestOptions())
    counts = counts[np.asarray(counts.X.sum(axis=1)).ravel() > 0].copy()
    normalized = normalize(counts, NormalizeOptions(n_top_genes=arguments.n_top_genes))
    test = np.sort(np.random.default_rng(1).permutation(counts.n_obs)[: counts.n_obs // 10])
    start = time.perf_counter()
    models = [
        _train_without(
            counts,
            normalized,
            test,
            TrainOptions(
                preset=arguments.preset,
                batch_key=None,
                n_latent=n_latent,
                **parse_options(arguments.set),
            ),
            arguments.seed,
        )
        for n_latent in arguments.n_latents
    ]
    trained = time.perf_counter()
    found = compress(
        counts,
        normalized,
        embed(counts, normalized, models[0], name=arguments.preset),
        models[0],
        name=arguments.preset,
        options=CompressOptions(
            n_latents=tuple(arguments.n_latents[1:]),
            precisions=("float32",),
            pca_ranks=_RANKS,
            nmf_ranks=_NMF,
        ),
        others=models[1:],
    )
    codes, most = gather_codes([found]), found.stored.counts_bytes_per_cell
    front = find_front(codes)
    assert found.held_out is not None
    print(
        f"{arguments.counts.name if arguments.counts else 'demo'}: {found.n_cells} cells x "
        f"{found.n_genes} genes, {most:.1f} bytes per cell as h5ad; scored on "
        f"{found.held_out.n_molecules} molecules of {found.held_out.n_cells} cells; "
        f"{platform.processor() or platform.machine()}, training {trained - start:.0f} s, "
        f"codes {time.perf_counter() - trained:.0f} s"
    )
    print(
        f"{'code':25}{'numbers':>8}{'latent':>9}{'weights':>9}{'bytes/cell':>12}{'explained':>11}"
    )
    for code in front:
        print(
            f"{code.code:25}{code.n_latent:8}{code.precision:>9}{code.weights_precision:>9}"
            f"{code.bytes_per_cell:12.2f}{code.unseen_deviance_explained:11.4f}"
        )
    for name in dict.fromkeys(code.code for code in codes):
        best = find_front([code for code in codes if code.code == name])[-1]
        print(
            f"the most that {name} explains: {best.unseen_deviance_explained:.4f} with "
            f"{best.n_latent} numbers in {best.bytes_per_cell:.1f} bytes per cell"
        )
    ranges = front_ranges(front, most)
    for low, high, inside in ranges:
        print(f"{low:7.1f} to {high:7.1f} bytes per cell: {inside[0].code}")
    linear = sum(high - low for low, high, inside in ranges if inside[0].code == arguments.preset)
    print(
        f"the model is the best over {front_share(arguments.preset, front, most):.0%} of the range "
        f"on a log scale, {linear / (most - ranges[0][0]):.0%} on a linear one"
    )
    print(describe_model(arguments.preset, codes, front, most, found.n_cells))


def _train_without(
    counts: AnnData, normalized: AnnData, test: np.ndarray, options: TrainOptions, seed: int
) -> TrainedModel:
    """Train on all but some cells; these are then the model's held-out ones."""
    fit = np.setdiff1d(np.arange(counts.n_obs), test)
    model, _ = train(counts[fit].copy(), normalized[fit].copy(), options, seed=seed, device="cpu")
    record = dataclasses.replace(
        model.record, n_training_cells=len(fit), n_validation_cells=len(test)
    )
    return dataclasses.replace(model, validation_cells=test, record=record)


if __name__ == "__main__":
    main()
