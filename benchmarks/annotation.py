"""How often cell types are right, and what becomes of a type that the panel does not know.

Compares `scpress annotate` with scanpy's score_genes (the type with the highest score) on the demo
and, where given, on PBMC 3k; then removes each type from the panel in turn.

    python benchmarks/annotation.py --pbmc3k PATH [--demo-clusters PATH --pbmc3k-clusters PATH]

Clusters are those of a run (clusters.h5ad) where given, else Leiden on 30 principal components.
"""

import argparse
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc

from scpress.cells.panels import UNASSIGNED
from scpress.config.options import AnnotateOptions
from scpress.counts.demo import demo_counts
from scpress.counts.sizes import library_sizes, log_normalize, size_factors
from scpress.io.panel import read_panel
from scpress.steps.annotate import annotate

T_CD4 = {"CD4 T", "Treg"}
MONOCYTES = {"CD14 monocyte", "CD16 monocyte", "Macrophage", "Mononuclear phagocyte"}
# Known label -> types of the panel that are right. Monocytes and macrophages of the demo's tumour
# share one label; the clusters of PBMC 3k do not tell naive from memory B, nor cDC from pDC.
DEMO_TYPES = {
    "CD8_T": {"CD8 T"},
    "CD4_T": {"CD4 T"},
    "Treg": {"Treg"},
    "gdT": {"gamma-delta T"},
    "NK": {"NK cell"},
    "ILC3": {"ILC3"},
    "B_naive": {"Naive B"},
    "B_memory": {"Memory B"},
    "B_GC": {"Germinal center B"},
    "plasma": {"Plasma cell"},
    "MDC": MONOCYTES,
    "DC": {"cDC1", "cDC2"},
    "pDC": {"pDC"},
    "mast": {"Mast cell"},
}
PBMC3K_TYPES = {
    "Naive CD4 T": T_CD4,
    "Memory CD4 T": T_CD4,
    "CD8 T": {"CD8 T"},
    "NK": {"NK cell"},
    "B": {"Naive B", "Memory B", "B cell"},
    "CD14+ Mono": {"CD14 monocyte"},
    "FCGR3A+ Mono": {"CD16 monocyte"},
    "DC": {"cDC1", "cDC2", "pDC"},
    "Platelet": {"Platelet"},
}
OUTCOMES = ["right", "parent", "unassigned", "wrong"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pbmc3k", type=Path, help="raw counts of PBMC 3k with obs cell_type")
    parser.add_argument("--demo-clusters", type=Path, help="clusters.h5ad of a run on the demo")
    parser.add_argument("--pbmc3k-clusters", type=Path, help="clusters.h5ad of a run on PBMC 3k")
    arguments = parser.parse_args()
    demo = demo_counts()
    compare("demo", demo, demo.obs["cell_type_annotations"], DEMO_TYPES, arguments.demo_clusters)
    if arguments.pbmc3k is not None:
        pbmc = ad.read_h5ad(arguments.pbmc3k)
        compare("pbmc3k", pbmc, pbmc.obs["cell_type"], PBMC3K_TYPES, arguments.pbmc3k_clusters)


def compare(
    name: str,
    counts: ad.AnnData,
    label: pd.Series,
    right: dict[str, set[str]],
    clusters_path: Path | None,
) -> None:
    """Print accuracy by label and overall, then every type left out of the panel."""
    clusters = None if clusters_path is None else ad.read_h5ad(clusters_path)
    if clusters is not None:
        # A run names cells {sample}_{barcode} and drops those that fail its quality control.
        barcode = [str(cell).partition("_")[2] for cell in clusters.obs_names]
        counts, label = counts[barcode].copy(), label.loc[barcode]
        clusters.obs_names = barcode
    library_size = library_sizes(counts.X)
    normalized = ad.AnnData(obs=pd.DataFrame(index=counts.obs_names))
    normalized.obs["size_factor"] = size_factors(library_size)
    log_normalized = ad.AnnData(
        X=log_normalize(counts.X.tocsr(), normalized.obs["size_factor"].to_numpy()),
        obs=normalized.obs,
        var=counts.var,
    )
    clusters = cluster_by_pca(log_normalized) if clusters is None else clusters
    panel = read_panel()
    ours, _ = annotate(counts, normalized, clusters, panel, AnnotateOptions())
    known = label.isin(list(right)).to_numpy()
    print(f"\n== {name}: {known.sum()} labelled cells, {clusters.obs['leiden'].nunique()} clusters")
    by_label = outcomes(ours.obs["cell_type"], label, right, panel)
    theirs = outcomes(best_by_score_genes(log_normalized, panel), label, right, panel)
    print_shares("scpress", by_label)
    print_shares("score_genes", theirs)
    both = by_label.join(theirs[["right", "wrong"]].add_prefix("score_genes_"))
    print(both.to_string())
    print_calibration(ours.obs, label, right)
    print(f"-- {name}: each type, then each lineage, left out of the panel")
    print_left_out(counts, normalized, clusters, label, right, panel)


def cluster_by_pca(log_normalized: ad.AnnData) -> ad.AnnData:
    """[cells, 0] Leiden clusters and neighbours on 30 principal components of variable genes."""
    work = log_normalized.copy()
    sc.pp.filter_genes(work, min_cells=3)
    sc.pp.highly_variable_genes(work, n_top_genes=2000)
    sc.pp.pca(work, n_comps=30, mask_var="highly_variable", random_state=0)
    sc.pp.neighbors(work, n_neighbors=15, random_state=0)
    sc.tl.leiden(work, flavor="igraph", n_iterations=2, random_state=0)
    return ad.AnnData(obs=work.obs[["leiden"]], obsp=dict(work.obsp))


def best_by_score_genes(log_normalized: ad.AnnData, panel: pd.DataFrame) -> pd.Series:
    """[cells] Type with the highest score_genes score, among types without children."""
    scores = {}
    leaves = panel[~panel["cell_type"].isin(panel["parent"])]
    work = log_normalized.copy()
    for cell_type, rows in leaves[leaves["direction"] == "positive"].groupby("cell_type"):
        genes = [gene for gene in rows["gene_symbol"] if gene in work.var_names]
        if genes:
            sc.tl.score_genes(work, genes, score_name="score", random_state=0)
            scores[cell_type] = work.obs["score"].to_numpy()
    return pd.DataFrame(scores, index=work.obs_names).idxmax(axis=1)


def ancestors(types: set[str], panel: pd.DataFrame) -> set[str]:
    """Types of the panel above any of some types."""
    parent = dict(zip(panel["cell_type"], panel["parent"], strict=True))
    above: set[str] = set()
    for cell_type in types:
        while cell_type := parent.get(cell_type, ""):
            above.add(cell_type)
    return above - types


def with_descendants(types: set[str], panel: pd.DataFrame) -> set[str]:
    """Add to some types all types of the panel below them."""
    family = set(types)
    while below := set(panel.loc[panel["parent"].isin(family), "cell_type"]) - family:
        family |= below
    return family


def outcomes(
    found: pd.Series, label: pd.Series, right: dict[str, set[str]], panel: pd.DataFrame
) -> pd.DataFrame:
    """[labels, outcomes] Cells that are right, given a true parent, unassigned or wrong."""
    rows = {}
    for name, types in right.items():
        answer = found[(label == name).to_numpy()].astype(str)
        is_right = answer.isin(types)
        is_parent = answer.isin(ancestors(types, panel))
        is_unassigned = answer == UNASSIGNED
        wrong = ~(is_right | is_parent | is_unassigned)
        rows[name] = [int(part.sum()) for part in (is_right, is_parent, is_unassigned, wrong)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=OUTCOMES)


def print_shares(name: str, table: pd.DataFrame) -> None:
    shares = table.sum() / table.to_numpy().sum()
    print(f"{name:12s}", "  ".join(f"{what} {share:.3f}" for what, share in shares.items()))


def print_calibration(obs: pd.DataFrame, label: pd.Series, right: dict[str, set[str]]) -> None:
    """Print the share of right answers by confidence, parents not counted."""
    is_known = label.isin(list(right)).to_numpy()
    leaf = ~obs["cell_type"].isin(["B cell", "T cell", "Mononuclear phagocyte", UNASSIGNED])
    rows = obs[is_known & leaf.to_numpy()]
    truth = label[rows.index]
    is_right = np.array(
        [cell_type in right[name] for cell_type, name in zip(rows["cell_type"], truth, strict=True)]
    )
    bins = np.digitize(rows["cell_type_confidence"], [0.6, 0.7, 0.8])
    print(
        "right by confidence:",
        "  ".join(
            f"{name} {is_right[bins == number].mean():.2f} (n {np.sum(bins == number)})"
            for number, name in enumerate(["<0.6", "<0.7", "<0.8", ">=0.8"])
            if (bins == number).any()
        ),
    )


def print_left_out(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    clusters: ad.AnnData,
    label: pd.Series,
    right: dict[str, set[str]],
    panel: pd.DataFrame,
) -> None:
    lineages = {root for types in right.values() for root in ancestors(types, panel)}
    lineages = {name for name in lineages if not ancestors({name}, panel)}
    left_out = {name: types for name, types in right.items() if not types & lineages}
    rows = {}
    for name, types in (left_out | {name: {name} for name in sorted(lineages)}).items():
        removed = with_descendants(types, panel)
        rest = panel[~panel["cell_type"].isin(removed)]
        found, _ = annotate(counts, normalized, clusters, rest, AnnotateOptions())
        is_lineage = name in lineages
        labels = [known for known, its in right.items() if is_lineage and its <= removed] or [name]
        answer = found.obs["cell_type"][label.isin(labels).to_numpy()].astype(str)
        is_parent = answer.isin(ancestors(types, panel))
        is_unassigned = answer == UNASSIGNED
        neighbours = answer[~is_parent & ~is_unassigned].value_counts()
        rows[name] = {
            "cells": len(answer),
            "unassigned": int(is_unassigned.sum()),
            "parent": int(is_parent.sum()),
            "neighbour": int(neighbours.sum()),
            "which": ", ".join(f"{what} {n}" for what, n in neighbours.head(3).items()),
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    print(table.to_string())
    table = table.loc[list(left_out)]
    share = table[["unassigned", "parent", "neighbour"]].sum() / table["cells"].sum()
    print("single types:", "  ".join(f"{what} {value:.3f}" for what, value in share.items()))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
