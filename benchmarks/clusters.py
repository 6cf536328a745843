"""Whether the delivered clusters are the known types, beside what else could have been delivered.

    python benchmarks/clusters.py demo.h5ad:cell_type_annotations kang.h5ad:cluster_id:sample_id \
        [--seeds 0 1 2] [--latents folder]

A file is followed by the obs column of its labels and, where it has several, that of its samples.
Printed are, for every file and seed, the ARI (and the number) of the clusters that `cluster`
delivers from two seeds of the default model, of those that it delivers from our PCA, of scanpy's
ordinary recipe at resolution 1, and of the resolution of the grid that only the labels can tell.
Latents are kept in the folder and used again. Cells labelled as one of --unknown are clustered, but
not scored.
"""

import argparse
import logging
import platform
import tempfile
import time
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc

from scpress.cells.graph import average_graphs, build_graph, leiden
from scpress.cells.stability import adjusted_rand_index
from scpress.config.options import ClusterOptions, IngestOptions, TrainOptions
from scpress.io.h5ad import read_h5ad, write_h5ad
from scpress.steps.cluster import cluster
from scpress.steps.embed import embed
from scpress.steps.ingest import ingest
from scpress.steps.normalize import normalize
from scpress.steps.train import train


def read_counts(path: Path, label: str, sample: str | None = None) -> ad.AnnData:
    """[cells, genes] Counts of the cells that have any, with `obs["label"]`."""
    counts = ingest(read_h5ad(path), sample="all", options=IngestOptions(label_key=label))
    if sample is not None:
        counts.obs["sample"] = counts.obs[sample].astype("category")
    return counts[np.asarray(counts.X.sum(axis=1)).ravel() > 0].copy()


def get_latent(counts: ad.AnnData, preset: str, seed: int, kept: Path) -> ad.AnnData:
    """[cells, 0] `obsm["X_model"]`, trained unless it is in the file."""
    if not kept.exists():
        normalized = normalize(counts)
        options = TrainOptions(preset=preset, allow_failed_fit=True)
        model, _ = train(counts, normalized, options, seed=seed, device="cpu")
        latent = embed(counts, normalized, model, name="model")
        write_h5ad(ad.AnnData(obs=counts.obs[[]], obsm=dict(latent.obsm)), kept)
    return read_h5ad(kept)


def cluster_as_usual(counts: ad.AnnData, seed: int) -> np.ndarray:
    """[cells] scanpy's tutorial: variable genes, 50 components, 15 neighbours, resolution 1."""
    usual = ad.AnnData(counts.X.astype(np.float32), obs=counts.obs[[]])
    sc.pp.normalize_total(usual)
    sc.pp.log1p(usual)
    sc.pp.highly_variable_genes(usual, n_top_genes=min(2000, usual.n_vars))
    sc.pp.pca(usual, random_state=seed)
    sc.pp.neighbors(usual, random_state=seed)
    return leiden(usual, 1.0, seed=seed)


def show_file(word: str, seeds: list[int], unknown: list[str], folder: Path) -> None:
    """Print one line per seed."""
    path, *columns = word.split(":")
    stem = Path(path).stem
    counts = read_counts(Path(path), *columns)
    truth = counts.obs["label"].astype(str).to_numpy()
    known = counts.obs["label"].notna().to_numpy() & ~np.isin(truth, unknown)

    def latent_of(preset: str, seed: int) -> ad.AnnData:
        return get_latent(counts, preset, seed, folder / f"{stem}_{preset}_{seed}.h5ad")

    def agreement(found: np.ndarray) -> float:
        return adjusted_rand_index(truth[known], found[known])

    options = ClusterOptions(umap=False)
    pca = latent_of("pca", seeds[0])
    for number, seed in enumerate(seeds):
        # As the pipeline does: this seed's latent, and that of another seed beside it.
        other = seeds[(number + 1) % len(seeds)]
        latents = [latent_of("scvi", one) for one in dict.fromkeys((seed, other))]
        start = time.perf_counter()
        delivered = cluster(latents[0], options, model="model", seed=seed, others=latents[1:])
        seconds = time.perf_counter() - start
        graph = average_graphs(
            [
                build_graph(one.obsm["X_model"], n_neighbors=15, seed=seed, key="X")
                for one in latents
            ]
        )
        grid = [leiden(graph, resolution, seed=seed) for resolution in options.resolutions]
        found = [
            delivered.obs["leiden"].to_numpy(),
            cluster(pca, options, model="model", seed=seed).obs["leiden"].to_numpy(),
            cluster_as_usual(counts, seed),
            max(grid, key=agreement),
        ]
        shown = [f"{agreement(one):.3f} ({len(set(one))})" for one in found]
        cells = "".join(f"{one:>12}" for one in shown)
        print(f"{stem[:27]:28}{seed:>5}{cells}{seconds:6.1f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="h5ad:labels[:samples]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--latents", type=Path, help="where latents are kept")
    parser.add_argument("--unknown", nargs="*", default=["doublet", "Unknown", "unassigned"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("scpress").setLevel(logging.ERROR)
    print(f"{platform.processor() or platform.machine()}; ARI (clusters)")
    print(f"{'file':28}{'seed':>5}{'delivered':>12}{'PCA':>12}{'scanpy':>12}{'best':>12}{'s':>6}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.latents or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for word in arguments.files:
            show_file(word, arguments.seeds, arguments.unknown, folder)


if __name__ == "__main__":
    main()
