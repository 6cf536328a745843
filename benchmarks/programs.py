"""What dimensions and ways between clusters say of genes: planted programs, and other seeds.

    python benchmarks/programs.py [--seeds 3] [--steps 300]

Planted: simulated counts of 4 types with 25 marker genes each among 500, as strong as types of
blood. Of each type the dimension and side that has most of its markers among its first 25 genes,
and of each two types those that rise and fall on the way, beside components of PCA and NMF, and
beside the difference of the two types' mean expression. Found again: 700 cells of blood that scanpy
ships, agreement of the dimensions with those of other seeds.
"""

import argparse
import logging
from itertools import combinations
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import NMF

from scpress.config.options import NormalizeOptions, SimulateOptions, TrainOptions
from scpress.config.programs import ProgramsOptions
from scpress.counts.demo import pbmc68k_counts
from scpress.steps.embed import embed
from scpress.steps.normalize import normalize
from scpress.steps.programs import programs
from scpress.steps.simulate import simulate
from scpress.steps.train import train

SIMULATED = SimulateOptions(n_cells=1000, n_genes=500, n_types=4)
N_MARKERS = 25
OPTIONS = ProgramsOptions(n_genes=N_MARKERS, min_log2_fold_change=0, min_expected=0)
MODELS = ("ldvae", "scvi", "pca")


def main() -> None:
    """Read the arguments and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    planted(arguments.seeds, arguments.steps)
    found_again(arguments.seeds, arguments.steps)


def trained(counts, normalized, preset: str, seed: int, steps: int):
    """(latent, model) of one training of 10 dimensions."""
    options = TrainOptions(
        preset=preset, n_latent=10, batch_key=None, max_steps=steps, allow_failed_fit=True
    )
    model, _ = train(counts, normalized, options, seed=seed, device="cpu")
    return embed(counts, normalized, model, name="m"), model


def planted(n_seeds: int, steps: int) -> None:
    """Share of the planted genes among the first, by model, of dimensions and of ways."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for seed in range(n_seeds):
        counts = simulate(SIMULATED, seed=seed)
        is_marker = counts.uns["simulation"]["type_fold_change"] > 1
        genes = counts.var_names
        markers = [set(genes[one]) for one in is_marker]
        label = counts.obs["label"].astype(str).str.removeprefix("type")
        clusters = ad.AnnData(obs=pd.DataFrame({"leiden": label.astype("category")}))
        normalized = normalize(counts, NormalizeOptions(n_top_genes=None, batch_key=None))
        for preset in MODELS:
            latent, model = trained(counts, normalized, preset, seed, steps)
            _, table = programs([latent], [model], clusters, OPTIONS, name="m")
            sides: dict[Any, set] = {
                key: set(own["gene"]) for key, own in table.groupby(["program", "change"])
            }
            of_dimensions = [
                max(len(own & side) for (name, _), side in sides.items() if name[0] == "z")
                for own in markers
            ]
            of_ways = [
                len(markers[number] & sides[f"{a + 1} to {b + 1}", change])
                for a, b in combinations(range(4), 2)
                for number, change in ((a, "falls"), (b, "rises"))
            ]
            score = float(np.mean(of_dimensions)) / N_MARKERS, float(np.mean(of_ways)) / N_MARKERS
            rows.setdefault(preset, []).append(score)
        logs = np.log1p(counts.X.toarray() / normalized.obs["size_factor"].to_numpy()[:, None])
        parts = NMF(10, init="nndsvda", max_iter=500, random_state=seed).fit(logs).components_
        # A component has its own genes where it is larger than the mean of the others.
        parts = parts / parts.sum(axis=1, keepdims=True)
        first = [set(genes[np.argsort(-one)[:N_MARKERS]]) for one in parts - parts.mean(axis=0)]
        of_nmf = [max(len(own & one) for one in first) for own in markers]
        rows.setdefault("NMF", []).append((float(np.mean(of_nmf)) / N_MARKERS, np.nan))
        mean = [np.expm1(logs[label == str(t + 1)]).mean(axis=0) for t in range(4)]
        of_means = []
        for a, b in combinations(range(4), 2):
            order = genes[np.argsort(np.log(mean[b] + 1e-9) - np.log(mean[a] + 1e-9))]
            of_means += [len(markers[b] & set(order[-N_MARKERS:]))]
            of_means += [len(markers[a] & set(order[:N_MARKERS]))]
        rows.setdefault("means of clusters", []).append(
            (np.nan, float(np.mean(of_means)) / N_MARKERS)
        )
    print("| | best-matching dimension | between clusters |\n|---|---|---|")
    for name, scores in rows.items():
        values = np.array(scores)
        shown = [f"{v.mean():.2f} ± {v.std():.2f}" if v[0] == v[0] else "" for v in values.T]
        print(f"| {name} | {shown[0]} | {shown[1]} |", flush=True)


def found_again(n_seeds: int, steps: int) -> None:
    """Agreement of the dimensions of one seed with those of the others, on blood."""
    counts = pbmc68k_counts()
    normalized = normalize(counts, NormalizeOptions(n_top_genes=None, batch_key=None))
    label = counts.obs["bulk_labels"].astype(str)
    clusters = ad.AnnData(obs=pd.DataFrame({"leiden": label.astype("category")}))
    print("\n| | agreement | spanned | between labels |\n|---|---|---|---|")
    for preset in ("ldvae", "scvi"):
        pairs = [trained(counts, normalized, preset, seed, steps) for seed in range(n_seeds)]
        found, _ = programs(
            [latent for latent, _ in pairs],
            [model for _, model in pairs],
            clusters,
            OPTIONS,
            name="m",
        )
        record = found.uns["scpress"]["programs"]
        agreement, is_way = np.array(record["agreement"]), np.array(record["kind"]) == "clusters"
        spanned = np.array(record["spanned"])[~is_way]
        print(
            f"| {preset} | {np.median(agreement[~is_way]):.2f} ({agreement[~is_way].min():.2f} to "
            f"{agreement[~is_way].max():.2f}) | {np.median(spanned):.2f} | "
            f"{np.median(agreement[is_way]):.2f} ({agreement[is_way].min():.2f} to "
            f"{agreement[is_way].max():.2f}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
