"""How often cell types are right, and what becomes of a type that the panel does not know.

Scores `scpress annotate` on the demo and on the labelled files of a folder that LABELS names,
removes each lineage from the panel in turn, and prints how often cells are right by confidence.
Clusters are Leiden on 30 principal components. With --types the demo is compared with scanpy's
score_genes (the type with the highest score) and each single type is removed, too.

    python benchmarks/annotation.py [--data FOLDER] [--types]
"""

import argparse
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc

from scpress import slots
from scpress.config.options import AnnotateOptions
from scpress.counts.demo import demo_counts
from scpress.counts.sizes import library_sizes, log_normalize, size_factors
from scpress.io.panel import read_panel
from scpress.steps.annotate import annotate

T_CD4 = {"CD4 T", "Naive CD4 T", "Memory CD4 T", "Treg"}
T_CD8 = {"CD8 T", "Naive CD8 T", "Effector CD8 T"}
B = {"B cell", "Naive B", "Memory B"}
MONOCYTES = {"CD14 monocyte", "CD16 monocyte", "Macrophage", "Mononuclear phagocyte"}
# Known label -> types of the panel that are right. Monocytes and macrophages of the demo's tumour
# share one label; the clusters of PBMC 3k do not tell naive from memory B, nor cDC from pDC.
DEMO_TYPES = {
    "CD8_T": T_CD8,
    "CD4_T": T_CD4 - {"Treg"},
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
    "CD8 T": T_CD8,
    "NK": {"NK cell"},
    "B": B,
    "CD14+ Mono": {"CD14 monocyte"},
    "FCGR3A+ Mono": {"CD16 monocyte"},
    "DC": {"cDC1", "cDC2", "pDC"},
    "Platelet": {"Platelet"},
}
# File -> obs column of its labels, and which types are right for each.
LABELS = {
    "pbmc3k_raw_2700.h5ad": ("cell_type", PBMC3K_TYPES),
    "kang_muscat_1556.h5ad": (
        "cluster_id",
        {
            "B cells": B,
            "CD14+ Monocytes": {"CD14 monocyte"},
            "FCGR3A+ Monocytes": {"CD16 monocyte"},
            "CD4 T cells": T_CD4,
            "CD8 T cells": T_CD8,
        },
    ),
    "onek1k_7811.h5ad": (
        "cell_type",
        {
            "cd4nc": T_CD4,
            "bmem": {"Memory B"},
            "monoc": {"CD14 monocyte"},
            "mononc": {"CD16 monocyte"},
        },
    ),
    "transfer_pbmc_ref_dropseq_noB.h5ad": (
        "cell_type",
        {"Cytotoxic T cell": T_CD8, "CD16+ monocyte": {"CD16 monocyte"}},
    ),
    "transfer_pbmc_query_indrops.h5ad": (
        "cell_type",
        {"Cytotoxic T cell": T_CD8, "CD16+ monocyte": {"CD16 monocyte"}, "B cell": B},
    ),
}
# A T cell is of one kind by one of these molecules.
CO_RECEPTORS = {"CD4": (T_CD4, ["CD4"]), "CD8": (T_CD8, ["CD8A", "CD8B"])}
BINS = [0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.001]
OUTCOMES = ["right", "parent", "unassigned", "wrong"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the labelled files")
    parser.add_argument(
        "--types", action="store_true", help="score_genes, and single types removed"
    )
    arguments = parser.parse_args()
    demo = demo_counts()
    named = [compare("demo", demo, demo.obs["cell_type_annotations"], DEMO_TYPES, arguments.types)]
    for name, (column, right) in LABELS.items() if arguments.data else ():
        counts = ad.read_h5ad(arguments.data / name)
        named.append(compare(name, counts, counts.obs[column], right, False))
    print_shuffled(demo)
    print("\n== right (a true parent counts) by confidence, of the cells that have a name")
    rows = pd.concat(named)
    by = [rows["data"], pd.cut(rows["confidence"], BINS, right=False)]
    print(rows.groupby(by, observed=True)["is_right"].agg(["size", "mean"]).round(2).to_string())
    print(rows.groupby(by[1], observed=True)["is_right"].agg(["size", "mean"]).round(3).to_string())


def compare(
    name: str, counts: ad.AnnData, label: pd.Series, right: dict[str, set[str]], types: bool
) -> pd.DataFrame:
    """Print accuracy by label and overall, then every lineage left out of the panel.

    Returns
    -------
    One row per cell with a label and a name: data, confidence, is_right.
    """
    normalized, log_normalized = normalize(counts)
    clusters = cluster_by_pca(log_normalized)
    panel = read_panel()
    ours, _ = annotate(counts, normalized, clusters, panel, AnnotateOptions())
    known = label.isin(list(right)).to_numpy()
    print(f"\n== {name}: {known.sum()} labelled cells, {clusters.obs['leiden'].nunique()} clusters")
    by_label = outcomes(ours.obs["cell_type"], label, right, panel)
    print_shares("scpress", by_label)
    if types:
        theirs = outcomes(best_by_score_genes(log_normalized, panel), label, right, panel)
        print_shares("score_genes", theirs)
    print(by_label.to_string())
    print_co_receptors(counts, label, ours.obs["cell_type"], right)
    print_left_out(counts, normalized, clusters, label, right, panel, types)
    obs = ours.obs[known & (ours.obs["cell_type"] != slots.UNASSIGNED).to_numpy()]
    wanted = {name: its | ancestors(its, panel) for name, its in right.items()}
    truth = label.loc[obs.index].astype(str)
    is_right = [cell in wanted[one] for cell, one in zip(obs["cell_type"], truth, strict=True)]
    columns = {"data": name, "confidence": obs["cell_type_confidence"], "is_right": is_right}
    return pd.DataFrame(columns)


def print_co_receptors(
    counts: ad.AnnData, label: pd.Series, found: pd.Series, right: dict[str, set[str]]
) -> None:
    """Print what T cells have of CD4 and CD8 themselves where names and labels differ in them."""
    seen = {}
    for kind, (_, genes) in CO_RECEPTORS.items():
        there = counts.var_names.isin(genes)
        seen[kind] = np.asarray(counts.X[:, there].sum(axis=1)).ravel() > 0
    for labelled, named in (("CD4", "CD8"), ("CD8", "CD4")):
        of_label = [name for name, types in right.items() if types <= CO_RECEPTORS[labelled][0]]
        is_named = found.isin(CO_RECEPTORS[named][0]).to_numpy()
        cells = label.isin(of_label).to_numpy() & is_named
        agrees, differs = cells & seen[named] & ~seen[labelled], cells & ~seen[named]
        print(
            f"labelled {labelled} T and named {named} T: {cells.sum()} cells, {agrees.sum()} with "
            f"{named} and without {labelled}, {(differs & seen[labelled]).sum()} the other way"
        )


def print_shuffled(counts: ad.AnnData) -> None:
    """Print how many cells have a name where no type is right: names of genes are shuffled."""
    named = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(counts.n_vars)
        shuffled = ad.AnnData(counts.X, obs=counts.obs, var=counts.var.iloc[order])
        normalized, log_normalized = normalize(shuffled)
        clusters = cluster_by_pca(log_normalized)
        found, _ = annotate(shuffled, normalized, clusters, read_panel(), AnnotateOptions())
        named.append(float((found.obs["cell_type"] != slots.UNASSIGNED).mean()))
    print("\n== names of genes shuffled: cells with a name", *(f"{one:.3f}" for one in named))


def normalize(counts: ad.AnnData) -> tuple[ad.AnnData, ad.AnnData]:
    """[cells, 0] sizes, [cells, genes] log-normalized."""
    library_size = library_sizes(counts.X)
    sizes = ad.AnnData(obs=pd.DataFrame(index=counts.obs_names))
    sizes.obs["library_size"] = library_size
    sizes.obs["size_factor"] = size_factors(library_size)
    values = log_normalize(counts.X.tocsr(), sizes.obs["size_factor"].to_numpy())
    return sizes, ad.AnnData(X=values, obs=sizes.obs, var=counts.var)


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
        is_unassigned = answer == slots.UNASSIGNED
        wrong = ~(is_right | is_parent | is_unassigned)
        rows[name] = [int(part.sum()) for part in (is_right, is_parent, is_unassigned, wrong)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=OUTCOMES)


def print_shares(name: str, table: pd.DataFrame) -> None:
    shares = table.sum() / table.to_numpy().sum()
    print(f"{name:12s}", "  ".join(f"{what} {share:.3f}" for what, share in shares.items()))


def print_left_out(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    clusters: ad.AnnData,
    label: pd.Series,
    right: dict[str, set[str]],
    panel: pd.DataFrame,
    types: bool,
) -> None:
    lineages = {root for types in right.values() for root in ancestors(types, panel)}
    lineages = {name for name in lineages if not ancestors({name}, panel)}
    lineages |= {name for its in right.values() for name in its if not ancestors({name}, panel)}
    left_out = {name: its for name, its in right.items() if types and not its & lineages}
    rows = {}
    for name, its in (left_out | {name: {name} for name in sorted(lineages)}).items():
        removed = with_descendants(its, panel)
        rest = panel[~panel["cell_type"].isin(removed)]
        found, _ = annotate(counts, normalized, clusters, rest, AnnotateOptions())
        is_lineage = name in lineages
        labels = [known for known, its in right.items() if is_lineage and its <= removed]
        labels = labels if is_lineage else [name]
        if not labels:
            continue
        answer = found.obs["cell_type"][label.isin(labels).to_numpy()].astype(str)
        is_parent = answer.isin(ancestors(its, panel))
        is_unassigned = answer == slots.UNASSIGNED
        neighbours = answer[~is_parent & ~is_unassigned].value_counts()
        rows[name] = {
            "cells": len(answer),
            "unassigned": int(is_unassigned.sum()),
            "parent": int(is_parent.sum()),
            "neighbour": int(neighbours.sum()),
            "which": ", ".join(f"{what} {n}" for what, n in neighbours.head(3).items()),
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    print("-- left out of the panel")
    print(table.to_string())
    if not types:
        return
    table = table.loc[list(left_out)]
    share = table[["unassigned", "parent", "neighbour"]].sum() / table["cells"].sum()
    print("single types:", "  ".join(f"{what} {value:.3f}" for what, value in share.items()))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
