"""Which genes to model, and how many: judged on unseen molecules of all genes, and on labels.

The molecules of every cell are divided, each on its own: four fifths choose the genes, train the
model and are encoded, the other fifth is predicted. Genes that are not modelled get what the means
give: the cell's molecules of such genes, divided as those of all cells are. So every choice answers
for the same molecules, and means that add up to each cell's total make the Poisson loss that of
which gene a molecule is of. The gain is over the gene means alone; ARI is of the best of several
Leiden resolutions, of the latent of the four fifths.

    python benchmarks/genes.py data/demo.h5ad:cell_type_annotations --seeds 0 1 2
    python benchmarks/genes.py three_batches.h5ad --batch-key batch --numbers 2000 all
"""

import argparse
import logging
import platform
import statistics
import time
from pathlib import Path

import numpy as np
from anndata import AnnData
from scipy import sparse
from training import parse_options

from scpress.cells.graph import build_graph, leiden
from scpress.cells.stability import adjusted_rand_index
from scpress.config.options import EvaluateOptions, IngestOptions, NormalizeOptions, TrainOptions
from scpress.counts.matrix import gene_totals
from scpress.counts.thinning import split_counts
from scpress.io.h5ad import read_h5ad
from scpress.model.baselines import FLOOR
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import modelled_blocks
from scpress.steps.ingest import ingest
from scpress.steps.normalize import normalize
from scpress.steps.train import train

RANKINGS = ["seurat_v3", "pearson_residuals", "most_expressed", "deviance"]
SEEN_FRACTION = 0.8
# Above every theta: molecules go to either part each on its own. By the dispersion over all cells
# the parts would share nothing of what cells differ in.
_POISSON = 1e8
_MIN_CELLS = 3


def main() -> None:
    """Print one line per run, and the means of the seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", nargs="+", help="h5ad of raw counts, or FILE:LABEL_COLUMN")
    parser.add_argument("--batch-key", help="obs column of batches")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rankings", nargs="+", choices=RANKINGS, default=RANKINGS)
    parser.add_argument("--numbers", nargs="+", default=["2000", "4000", "all"])
    parser.add_argument("--set", nargs="+", default=[], help="options of training")
    arguments = parser.parse_args()
    logging.getLogger("scpress").setLevel(logging.ERROR)
    options = TrainOptions(batch_key=arguments.batch_key, **parse_options(arguments.set))
    choices = [
        NormalizeOptions(
            n_top_genes=None if number == "all" else int(number),
            flavor=ranking,
            batch_key=arguments.batch_key,
        )
        for number in arguments.numbers
        # With all genes there is nothing to rank.
        for ranking in (arguments.rankings[:1] if number == "all" else arguments.rankings)
    ]
    print(platform.processor() or platform.machine())
    for source in arguments.sources:
        name, _, label = source.partition(":")
        show_file(Path(name), label or None, choices, options, arguments.seeds)


def show_file(
    path: Path,
    label: str | None,
    choices: list[NormalizeOptions],
    options: TrainOptions,
    seeds: list[int],
) -> None:
    """Print what each choice of genes gives on one file."""
    counts = ingest(read_h5ad(path), sample="all", options=IngestOptions(label_key=label))
    detected = np.asarray((counts.X > 0).sum(axis=0)).ravel() >= _MIN_CELLS
    counts = counts[:, detected].copy()
    print(f"\n{path.name}: {counts.n_obs:,} cells, {counts.n_vars:,} genes; seeds {seeds}\n")
    print("| genes | ranking | of the molecules | gain, nats per 100 molecules | ARI | seconds |")
    print("|---|---|---|---|---|---|", flush=True)
    for choice in choices:
        n_top = choice.n_top_genes
        if n_top is not None and n_top >= counts.n_vars:
            continue
        rows = [run(counts, choice, options, seed=seed) for seed in seeds]
        share, gain, ari, seconds = (list(column) for column in zip(*rows, strict=True))
        print(
            f"| {n_top or 'all'} | {choice.flavor if n_top else ''} "
            f"| {statistics.mean(share):.0%} | {_shown([100 * one for one in gain], 2)} "
            f"| {_shown(ari, 3) if label else ''} | {statistics.mean(seconds):.0f} |",
            flush=True,
        )


def _shown(values: list[float], digits: int) -> str:
    each = ", ".join(f"{value:.{digits}f}" for value in values)
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ({each})" if len(values) > 1 else mean


def run(
    counts: AnnData, choice: NormalizeOptions, options: TrainOptions, *, seed: int
) -> tuple[float, float, float, float]:
    """Part of the molecules that is in the chosen genes, gain, best ARI, seconds of training."""
    theta = np.full(counts.n_vars, _POISSON)
    rng = np.random.default_rng(seed)
    X, unseen = split_counts(counts.X, theta, fraction=SEEN_FRACTION, rng=rng)
    kept = np.flatnonzero(np.asarray(X.sum(axis=1)).ravel() > 0)
    seen = AnnData(X[kept], obs=counts.obs.iloc[kept], var=counts.var)
    normalized = normalize(seen, choice)
    start = time.perf_counter()
    model, _ = train(seen, normalized, options, seed=seed, device="cpu")
    seconds = time.perf_counter() - start
    gain, latent = predict(model, seen, normalized, unseen[kept])
    chosen = normalized.var["highly_variable"].to_numpy()
    share = float(gene_totals(seen.X)[chosen].sum() / seen.X.sum())
    return share, gain, best_ari(seen, latent), seconds


def predict(
    model: TrainedModel, seen: AnnData, normalized: AnnData, unseen: sparse.csr_matrix
) -> tuple[float, np.ndarray]:
    """Nats an unseen molecule is better predicted by than by gene means; [cells, n_latent]."""
    # A gene of which no molecule was seen is not impossible: it has a tenth of one.
    rate = np.maximum(gene_totals(seen.X), FLOOR)
    rate /= rate.sum()
    columns = seen.var_names.get_indexer(model.genes)
    rest = np.setdiff1d(np.arange(seen.n_vars), columns)
    library = normalized.obs["library_size"].to_numpy(dtype=np.float64)
    latents, gain = [], 0.0
    for rows, block in modelled_blocks(seen, normalized, model, n_cells=500):
        cells = block.cells_of(model)
        z = model.encode(cells)[0]
        mu = model.mean_counts(cells, z).astype(np.float64)
        if model.network.pi_logits is not None:
            mu *= 1 - model.extra_zero_fraction(cells, z)
        total = np.asarray(block.X.sum(axis=1)).ravel()
        expected = np.empty((len(mu), seen.n_vars))
        expected[:, columns] = mu * (total / mu.sum(axis=1))[:, None]
        if len(rest):
            others = library[rows] - total
            expected[:, rest] = np.outer(others, rate[rest] / rate[rest].sum())
        # No part of a cell is impossible for what a model says of it, nor for the cell's own rest.
        by_means = np.outer(library[rows], rate)
        expected = np.maximum(expected, FLOOR * by_means)
        expected *= (library[rows] / expected.sum(axis=1))[:, None]
        found = unseen[rows].tocoo()
        place = found.row, found.col
        gain += float(found.data @ np.log(expected[place] / by_means[place]))
        latents.append(z)
    return gain / unseen.sum(), np.concatenate(latents)


def best_ari(seen: AnnData, latent: np.ndarray) -> float:
    """Agreement with the labels of the best of the resolutions that `evaluate` tries."""
    if "label" not in seen.obs:
        return float("nan")
    known = np.flatnonzero(seen.obs["label"].notna())
    truth = seen.obs["label"].astype(str).to_numpy()[known]
    graph = build_graph(latent[known], n_neighbors=15, seed=0, key="X_latent")
    return max(
        adjusted_rand_index(truth, leiden(graph, resolution, seed=0))
        for resolution in EvaluateOptions().resolutions
    )


if __name__ == "__main__":
    main()
