"""What receptors and expression say of the same cells, joined by their names.

    python benchmarks/receptors_joined.py gex.h5ad P17B=P17B_contigs.csv ... --labels tissue patient
    python benchmarks/receptors_joined.py filtered_feature_bc_matrix tcr.csv.gz bcr.csv.gz

A table without a name is that of all cells; with one, of the cells NAME_barcode. Printed are how
many cells have a receptor; where there are receptors of T and of B cells, the molecules that tell
those apart (CD3 and CD8B; CD79 and MS4A1); how often two cells of one receptor group are in one
cluster of the expression, beside two cells of one sample that are not; and the labels by logistic
regression from the latent of the expression, the code of the receptor and both, of cells with both
chains, five folds, a receptor group in one of them: balanced accuracy, mean of the seeds (of
trainings and folds) and the least and greatest.
"""

import argparse
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scpress.config.options import IngestOptions, NormalizeOptions, TrainOptions
from scpress.config.receptors import ReceptorsOptions
from scpress.io.formats import open_raw
from scpress.receptors.contigs import read_contigs
from scpress.steps.embed import embed
from scpress.steps.ingest import ingest_raw
from scpress.steps.normalize import normalize
from scpress.steps.receptors import receptors
from scpress.steps.train import train

ALL = "all"
T_GENES, B_GENES = ("CD3D", "CD3E", "CD3G", "CD8B", "CD8B1"), ("CD79A", "CD79B", "MS4A1")


def read_tables(words: list[str]) -> dict[str, list]:
    """Tables by what stands before the barcode of their cells."""
    files: dict[str, list] = {}
    for word in words:
        name, _, path = word.rpartition("=")
        files.setdefault(f"{ALL}_{name}" if name else ALL, []).append(read_contigs(Path(path)))
    return files


def molecules(counts: ad.AnnData, genes: tuple[str, ...]) -> np.ndarray:
    """[cells] Share of the molecules that are of these genes, in whatever case."""
    symbols = counts.var.get("gene_symbol", counts.var_names)
    is_one = pd.Index(symbols).astype(str).str.upper().isin(genes)
    total = np.asarray(counts.X.sum(axis=1)).ravel()
    return np.asarray(counts.X[:, is_one].sum(axis=1)).ravel() / np.maximum(total, 1)


def show_kinds(counts: ad.AnnData, joined: pd.DataFrame) -> None:
    """Molecules of T and B cells by the kind of the receptor."""
    chains = joined[["receptor_vj_chain", "receptor_vdj_chain"]].astype("object").fillna("")
    text = chains.agg("".join, axis=1)
    is_t, is_b = text.str.contains("TR"), text.str.contains("IG")
    kind = np.select([is_t & is_b, is_t, is_b], ["both", "T", "B"], "none")
    t, b = molecules(counts, T_GENES), molecules(counts, B_GENES)
    for one in ("T", "B", "both", "none"):
        of = kind == one
        if of.any():
            print(
                f"  receptor {one}: {of.sum()} cells, T genes {t[of].mean():.5f} of the molecules, "
                f"B genes {b[of].mean():.5f}"
            )
    clear = np.isin(kind, ("T", "B"))
    if len(set(kind[clear])) == 2:
        area = roc_auc_score(kind[clear] == "T", (t - b)[clear])
        print(f"  T genes less B genes tell the two apart: AUROC {area:.3f}")


def show_groups(group: np.ndarray, cluster: np.ndarray, sample: np.ndarray) -> None:
    """Pairs in one cluster, of one receptor group and of two; of cells with both chains."""
    first, second = np.triu_indices(len(group), 1)
    same_cluster, same_sample = cluster[first] == cluster[second], sample[first] == sample[second]
    same_group = (group[first] == group[second]) & (group[first] >= 0)
    if same_group.any():
        others = same_cluster[same_sample & ~same_group].mean()
        print(
            f"  {same_group.sum()} pairs of one receptor group: in one sample "
            f"{same_sample[same_group].mean():.3f}, in one cluster "
            f"{same_cluster[same_group].mean():.3f}; other pairs of one sample {others:.3f}"
        )


def latent_of(counts: ad.AnnData, seed: int) -> np.ndarray:
    """[cells, latent] Of the usual model of the most variable genes."""
    normalized = normalize(counts, NormalizeOptions(batch_key=None))
    model, _ = train(
        counts, normalized, TrainOptions(batch_key=None, allow_failed_fit=True), seed=seed
    )
    return embed(counts, normalized, model, name="scvi").obsm["X_scvi"]


def score(points: np.ndarray, label: np.ndarray, groups: np.ndarray, seed: int) -> float:
    """Balanced accuracy of five folds."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=1000))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a label with few cells is not in every fold
        named = cross_val_predict(model, points, label, groups=groups, cv=folds)
    return balanced_accuracy_score(label, named)


def main() -> None:
    """Print what is joined and what it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=Path)
    parser.add_argument("tables", nargs="+", metavar="[NAME=]PATH")
    parser.add_argument("--labels", nargs="*", default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    counts = ingest_raw(open_raw(arguments.counts, IngestOptions()), sample=ALL)
    counts = counts[np.asarray(counts.X.sum(axis=1)).ravel() > 0].copy()
    tables = read_tables(arguments.tables)
    sample = counts.obs_names.str.removeprefix(f"{ALL}_").str.rpartition("_").get_level_values(0)
    scores: dict[tuple[str, str], list[float]] = {}
    for seed in arguments.seeds:
        joined, _ = receptors(counts.obs_names, tables, ReceptorsOptions(seed=seed))
        code, latent = joined.obsm["X_receptor"], latent_of(counts, seed)
        has_both = np.isfinite(code).all(axis=1)
        print(
            f"seed {seed}: {counts.n_obs} cells, {np.isfinite(code).any(axis=1).sum()} with a "
            f"receptor, {has_both.sum()} with both chains"
        )
        points = ad.AnnData(obs=counts.obs[[]], obsm={"X": latent})
        sc.pp.neighbors(points, use_rep="X", random_state=seed)
        sc.tl.leiden(points, flavor="igraph", n_iterations=2, random_state=seed)
        group = joined.obs["receptor_group"].cat.codes.to_numpy().astype(int)
        if seed == arguments.seeds[0]:
            show_kinds(counts, joined.obs)  # the same with any seed
        rows = np.flatnonzero(has_both)
        show_groups(group[rows], points.obs["leiden"].to_numpy()[rows], sample.to_numpy()[rows])
        alone = np.where(group < 0, group.max() + 1 + np.arange(len(group)), group)
        for label in arguments.labels:
            known = counts.obs[label].astype(str).to_numpy()[rows]
            codes = {"expression": latent, "receptor": code, "both": np.hstack([latent, code])}
            for name, one in codes.items():
                value = score(one[rows], known, alone[rows], seed)
                scores.setdefault((label, name), []).append(value)
    for (label, name), values in scores.items():
        print(
            f"{label:12} {name:12} {np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
        )


if __name__ == "__main__":
    main()
