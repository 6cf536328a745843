"""Whether clusters and subtypes are found where they are planted, and only there.

    python benchmarks/simulator.py [--seeds 20] [--latent pca|scvi] [--only noise ...]

prints, seed by seed on the simulator: the clusters in pure noise (one type, a gradient of
library size), the clusters and their ARI where there are five types, with and without one of 2 %,
the subtypes in a homogeneous type, the subtypes where two are planted, the likelihood that is
chosen where counts are negative binomial or a fifth of them is set to zero, and whether of all
predictors the true means have the lowest loss on molecules held out. At least 19 of 20 seeds must
be right without structure and of a likelihood, 18 of 20 with structure, all for the true means.
"""

import argparse
import logging
import sys
import time
import warnings

import anndata as ad
import numpy as np
import pandas as pd

from scpress.cells.stability import adjusted_rand_index
from scpress.config.options import ClusterOptions, SimulateOptions, SubtypeOptions, TrainOptions
from scpress.counts.sizes import library_sizes, log_normalize, size_factors

NOISE = {
    "noise": SimulateOptions(n_cells=800, n_genes=600, n_types=1),
    "noise, wide library sizes": SimulateOptions(
        n_cells=800, n_genes=600, n_types=1, library_size_sd=0.8
    ),
}
TYPES = {"five types": SimulateOptions(n_cells=800, n_genes=600, n_types=5)}
# Of the fifth type, 16 cells are kept: 2 % of 800.
RARE = {"five types, one of 2 %": SimulateOptions(n_cells=980, n_genes=600, n_types=5)}
_N_RARE = 16
HOMOGENEOUS = {
    "homogeneous": SimulateOptions(n_cells=400, n_genes=600, n_types=1),
    "homogeneous, wide library sizes, 2 batches": SimulateOptions(
        n_cells=400, n_genes=600, n_types=1, library_size_sd=0.8, n_batches=2
    ),
}
PLANTED = {
    "two planted, fold change 3": SimulateOptions(
        n_cells=400, n_genes=600, n_types=1, n_subtypes=2
    ),
    "two planted, fold change 3, 2 batches, 200 cells": SimulateOptions(
        n_cells=200, n_genes=600, n_types=1, n_subtypes=2, n_batches=2
    ),
}
LIKELIHOODS = {
    "nb": SimulateOptions(n_cells=800, n_genes=200, n_types=3),
    "zinb": SimulateOptions(n_cells=800, n_genes=200, n_types=3, zero_inflation=0.2),
}
SMALL = TrainOptions(hidden=(32,), n_latent=5, max_steps=600)
PARTS = {
    "noise": NOISE,
    "types": TYPES,
    "rare": RARE,
    "homogeneous": HOMOGENEOUS,
    "planted": PLANTED,
    "likelihood": LIKELIHOODS,
    "means": {"means": SimulateOptions(n_cells=800, n_genes=200, n_types=5)},
}


def normalize(counts: ad.AnnData) -> ad.AnnData:
    """Every gene is used: the simulator has no silent ones."""
    sizes = library_sizes(counts.X)
    return ad.AnnData(
        obs=pd.DataFrame(
            {"library_size": sizes, "size_factor": size_factors(sizes)}, index=counts.obs_names
        ),
        var=pd.DataFrame({"highly_variable": True}, index=counts.var_names),
    )


def embed_counts(counts: ad.AnnData, kind: str, seed: int) -> ad.AnnData:
    """[cells, 0] The latent as `obsm["X_model"]`."""
    normalized = normalize(counts)
    if kind == "scvi":
        from scpress.steps.embed import embed
        from scpress.steps.train import train

        model, _ = train(
            counts, normalized, TrainOptions(allow_failed_fit=True), seed=seed, device="cpu"
        )
        return embed(counts, normalized, model, name="model")
    import scanpy as sc

    values = log_normalize(counts.X, normalized.obs["size_factor"].to_numpy())
    points = sc.pp.pca(values, n_comps=20, random_state=seed)
    return ad.AnnData(obs=counts.obs[[]], obsm={"X_model": np.asarray(points)})


def keep_few_of_last_type(counts: ad.AnnData) -> ad.AnnData:
    label = counts.obs["label"].astype(str).to_numpy()
    surplus = np.flatnonzero(label == np.unique(label)[-1])[_N_RARE:]
    return counts[np.setdiff1d(np.arange(counts.n_obs), surplus)].copy()


def count_clusters(
    options: SimulateOptions, kind: str, seed: int, *, rare: bool = False
) -> tuple[int, float]:
    from scpress.steps.cluster import cluster
    from scpress.steps.simulate import simulate

    counts = simulate(options, seed=seed)
    if rare:
        counts = keep_few_of_last_type(counts)
    latent = embed_counts(counts, kind, seed)
    leiden = cluster(latent, ClusterOptions(umap=False), model="model", seed=seed).obs["leiden"]
    return leiden.nunique(), adjusted_rand_index(leiden.to_numpy(), counts.obs["label"].to_numpy())


def count_subtypes(options: SimulateOptions, seed: int) -> tuple[int, float]:
    from scpress.steps.simulate import simulate
    from scpress.steps.subtype import subtype

    counts = simulate(options, seed=seed)
    annotation = ad.AnnData(obs=pd.DataFrame({"cell_type": counts.obs["label"].astype("category")}))
    found, _ = subtype(counts, normalize(counts), None, annotation, SubtypeOptions(), seed=seed)
    labels = found.obs["subtype"]
    truth = counts.obs["true_subtype"].to_numpy()
    return labels.nunique(), adjusted_rand_index(labels.to_numpy(), truth)


def choose_likelihood(options: SimulateOptions, seed: int) -> str:
    from scpress.steps import likelihood
    from scpress.steps.simulate import simulate
    from scpress.steps.thin import thin

    counts = simulate(options, seed=seed)
    folds = thin(counts, normalize(counts))
    found = likelihood.choose_likelihood(
        counts, normalize(counts), folds, SMALL, name="model", seed=seed, device="cpu"
    )
    return found.chosen


def rank_means(options: SimulateOptions, seed: int) -> str:
    """The predictor of the lowest Poisson loss, the truth among them."""
    from scpress.counts.simulation import simulate_counts
    from scpress.model.molecules import score_means
    from scpress.steps.baselines import score_baselines
    from scpress.steps.score import held_out_folds, score
    from scpress.steps.simulate import simulate
    from scpress.steps.thin import thin

    counts, normalized = (made := simulate(options, seed=seed)), normalize(made)
    folds = thin(counts, normalized)
    tables = [score_baselines(counts, normalized, folds)]
    tables += [
        score(
            counts,
            normalized,
            folds,
            TrainOptions(preset=preset),
            name=preset,
            seed=0,
            device="cpu",
        )
        for preset in ("scvi", "dca")
    ]
    truth = simulate_counts(options, seed=seed)
    rho = truth.baseline * truth.type_fold_change[truth.cell_type]
    mu = truth.library_size[:, None] * rho / rho.sum(axis=1, keepdims=True)
    losses = {
        one.name: np.mean([fold.poisson for fold in one.folds])
        for table in tables
        for one in table.predictors
    }
    losses["truth"] = np.mean(
        [
            score_means(fold, (mu[fold.scored] / (1 + fold.ratio)).__getitem__).poisson
            for fold in held_out_folds(counts, normalized, folds)
        ]
    )
    return min(losses, key=lambda name: losses[name])


def show_answers(name: str, answers: list[str], wanted: str, least: float) -> bool:
    """Print how many are the right one; whether these are too few."""
    right = answers.count(wanted)
    print(f"{name}: {right} of {len(answers)} right (at least {np.ceil(least):.0f} wanted)")
    print(f"  found per seed: {' '.join(answers)}", flush=True)
    return right < np.ceil(least)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--latent", choices=("pca", "scvi"), default="pca")
    parser.add_argument("--only", nargs="*", default=list(PARTS))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("scpress").setLevel(logging.WARNING)
    failed = False
    for part in arguments.only:
        if part in ("likelihood", "means"):
            for name, options in PARTS[part].items():
                ask = choose_likelihood if part == "likelihood" else rank_means
                answers = [ask(options, seed) for seed in range(arguments.seeds)]
                wanted, share = (name, 0.95) if part == "likelihood" else ("truth", 1)
                failed |= show_answers(name, answers, wanted, share * arguments.seeds)
            continue
        in_latent = part in ("noise", "types", "rare")
        for name, options in PARTS[part].items():
            start = time.time()
            results = [
                count_clusters(options, arguments.latent, seed, rare=part == "rare")
                if in_latent
                else count_subtypes(options, seed)
                for seed in range(arguments.seeds)
            ]
            counts = [count for count, _ in results]
            n_wanted = 2 if part == "planted" else options.n_types
            right = sum(count == n_wanted and ari > 0.8 for count, ari in results)
            least = np.ceil((0.95 if n_wanted == 1 else 0.9) * arguments.seeds)
            failed |= bool(right < least)
            latent = f", {arguments.latent} latent" if in_latent else ""
            print(
                f"{name}{latent}: {right} of {arguments.seeds} right (at least {least:.0f} wanted)"
            )
            print(f"  found per seed: {' '.join(map(str, counts))}")
            if n_wanted > 1:
                aris = [f"{ari:.2f}" for _, ari in results]
                print(f"  ARI with the truth: {' '.join(aris)}")
            print(f"  {time.time() - start:.0f} s", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
