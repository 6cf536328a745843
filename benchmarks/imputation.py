"""How well counts are predicted that a sample did not measure: by a model, gene means, neighbours.

Genes are hidden in one sample on purpose, so that the truth is known: in one batch of three
chemistries of PBMC, and in half of the cells of OneK1K and of PBMC 3k. Every predictor knows the
other samples' counts and what is left of this one. Beside the truth stands what `scpress recommend`
says of itself from cells that training held out.

    python benchmarks/imputation.py --data ../shared/data [--seeds 3] [--presets scvi ldvae]
"""

import argparse
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from scpress.config.options import NormalizeOptions, TrainOptions
from scpress.config.recommend import RecommendOptions
from scpress.counts.measured import Measured
from scpress.model.imputation import Hidden, Tally
from scpress.model.modelled import modelled_counts
from scpress.steps.normalize import normalize
from scpress.steps.recommend import GENE_MEANS, MODEL, predictors_of, score_imputation
from scpress.steps.train import train

OPTIONS = RecommendOptions()
HIDDEN = 0.3
# Trainings that are averaged, as the workflow does by default.
N_MODELS = 2


def read_sets(folder: Path, n_genes: int, max_cells: int) -> dict[str, ad.AnnData]:
    """Counts of the most variable genes, with the sample in which some will be hidden first."""
    pbmc = ad.read_h5ad(folder / "pbmc_3batch_2860.h5ad")
    pbmc.obs["sample"] = pd.Categorical(pbmc.obs["batch"].astype(str))
    sets = {"PBMC, three chemistries": pbmc}
    for name, file in (("OneK1K", "onek1k_7811"), ("PBMC 3k", "pbmc3k_raw_2700")):
        cells = ad.read_h5ad(folder / f"{file}.h5ad")
        cells = cells[np.sort(np.random.default_rng(0).permutation(cells.n_obs)[:max_cells])].copy()
        half = np.random.default_rng(1).integers(2, size=cells.n_obs)
        cells.obs["sample"] = pd.Categorical(np.array(["a", "b"])[half])
        sets[f"{name}, half of the cells"] = cells
    for name, counts in sets.items():
        counts.X = counts.X.astype(np.int32)
        counts.obs_names_make_unique()
        variable = normalize(counts, NormalizeOptions(n_top_genes=n_genes)).var["highly_variable"]
        sets[name] = counts[:, variable.to_numpy()].copy()
        del sets[name].uns
    return sets


def hide(counts: ad.AnnData, seed: int) -> tuple[ad.AnnData, np.ndarray, np.ndarray]:
    """(counts with a part of the genes hidden in the first sample, its cells, those genes)."""
    names = list(counts.obs["sample"].cat.categories)
    genes = np.zeros(counts.n_vars, dtype=bool)
    n_hidden = int(HIDDEN * counts.n_vars)
    genes[np.random.default_rng(seed).permutation(counts.n_vars)[:n_hidden]] = True
    cells = np.flatnonzero(counts.obs["sample"] == names[0])
    left = counts.copy()
    rows = np.repeat(np.arange(left.n_obs), np.diff(left.X.indptr))
    left.X.data[np.isin(rows, cells) & genes[left.X.indices]] = 0
    left.X.eliminate_zeros()
    measured = np.ones((left.n_vars, len(names)), dtype=bool)
    measured[genes, 0] = False
    left.varm["measured"] = measured
    left.uns["scpress"] = {"sample_names": np.array(names)}
    return left, cells, genes


def compare(counts: ad.AnnData, seed: int, max_steps: int, **options: Any) -> pd.DataFrame:
    """Scores of one seed, which draws the hidden genes and the models' weights."""
    left, cells, genes = hide(counts, seed)
    normalized = normalize(left, NormalizeOptions(n_top_genes=None))
    training = TrainOptions(max_steps=max_steps, validate_every=100, **options)
    models = [
        train(left, normalized, training, seed=N_MODELS * seed + number, device="cpu")[0]
        for number in range(N_MODELS)
    ]
    data = modelled_counts(left, normalized, models[0])
    whole = Measured(np.ones((1, len(genes)), dtype=bool), np.zeros(len(cells), dtype=np.int64))
    truth = Hidden(data.take(cells), counts.X[cells], genes, lambda rows: whole.mask(rows) & genes)
    tallies = {}
    for name, predict in predictors_of(models, data, truth, OPTIONS).items():
        tallies[name] = Tally.of_genes(len(genes))
        tallies[name].add(truth, predict, OPTIONS.n_genes)
    base = tallies[GENE_MEANS].deviance.sum()
    _, record = score_imputation(left, normalized, models, OPTIONS)
    return pd.DataFrame(
        {
            "predictor": list(tallies),
            "explained": [1 - one.deviance.sum() / base for one in tallies.values()],
            "recall": [np.mean(one.recall) for one in tallies.values()],
            "stated explained": record.explained,
            "stated recall": record.recall,
            "seed": seed,
        }
    )


def main() -> None:
    """Print means and the range over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--presets", nargs="+", default=["scvi", "ldvae"], help="of the model")
    parser.add_argument("--max-steps", type=int, default=1500)
    parser.add_argument("--genes", type=int, default=600)
    parser.add_argument("--max-cells", type=int, default=3000, help="of OneK1K and PBMC 3k")
    arguments = parser.parse_args()
    for name, counts in read_sets(arguments.data, arguments.genes, arguments.max_cells).items():
        print(f"{name}: {counts.n_obs} cells, {counts.n_vars} genes, recall at {OPTIONS.n_genes}")
        for preset in arguments.presets:
            options = {"preset": preset, "likelihood": "nb", "batch_key": "sample"}
            tables = [
                compare(counts, seed, arguments.max_steps, **options)
                for seed in range(arguments.seeds)
            ]
            table = pd.concat(tables).groupby("predictor", sort=False).agg(["min", "mean", "max"])
            shown = table.drop(columns="seed").round(3).rename(index={MODEL: preset})
            print(shown.to_string(), flush=True)


if __name__ == "__main__":
    main()
