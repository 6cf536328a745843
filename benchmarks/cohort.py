"""Donors: what is found where the truth is known, and in real cohorts beside chance.

    python benchmarks/cohort.py --seeds 20                  the simulator alone
    python benchmarks/cohort.py --seeds 5 --data FOLDER     and real cohorts, those that are there
    python benchmarks/cohort.py --only subtypes             donor subtypes alone

Simulated: 24 donors of 100 cells and 400 genes each, four types (biomarkers: two, as PyDESeq2 takes
its time, beside PyDESeq2 by hand). Without an effect the interval of the area should
hold 0.5 in 19 of 20 seeds, a twofold effect should be told, the false discovery rate should be at
most 0.05, and a condition that is a batch should be refused.

Real: leaks are looked for with labels that are permuted within folds of the donors; breast cancer's
subtypes (PAM50) stand beside scikit-learn's logistic regression, survival beside a Cox regression
on components of counts that are not scaled.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import adjusted_rand_score

from scpress.config.cohort import (
    BiomarkersOptions,
    ClassifyOptions,
    CohortOptions,
    DonorSubtypesOptions,
    SurvivalOptions,
)
from scpress.config.simulation import SimulateOptions
from scpress.donors.classification import make_folds
from scpress.donors.features import log_counts, log_ratios
from scpress.errors import InputError
from scpress.steps.biomarkers import biomarkers
from scpress.steps.classify import classify
from scpress.steps.cohort import cohort
from scpress.steps.donor_subtypes import donor_subtypes
from scpress.steps.simulate import simulate
from scpress.steps.survival import survival

COMPARED: dict[str, Any] = {"condition_key": "condition", "levels": ("control", "case")}
SMALL = {"n_cells": 2400, "n_genes": 400, "n_types": 4, "n_donors": 24, "n_batches": 2}


def simulated(seed, **changes):
    cells = simulate(SimulateOptions(**{**SMALL, **changes}), seed=seed)
    return cells, cohort(cells, options=CohortOptions(type_key="label"))


def measure_areas(seeds):
    """Table of classification: seeds whose interval holds 0.5, or is above it."""
    for effect in ("none", "composition", "expression"):
        views: dict[str, list] = {"composition": [], "pseudobulk": []}
        for seed in range(seeds):
            _, donors = simulated(seed, condition_effect=effect)
            options = ClassifyOptions(**COMPARED, views=tuple(views), n_permutations=20, seed=seed)
            for view in classify(donors, options)[1].views:
                if view.name in views:
                    views[view.name].append((view.auc, view.auc_low, view.auc_high))
        for name, rows in views.items():
            area, low, high = np.array(rows).T
            print(
                f"  effect {effect:<11} view {name:<11} AUC {np.median(area):.2f} (median), holds "
                f"0.5 {np.sum((low <= 0.5) & (high >= 0.5))}/{seeds}, above {np.sum(low > 0.5)}"
            )


def by_hand(donors, cell_type):
    """Genes of one type that PyDESeq2 finds when it is called as its documentation does."""
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.ds import DeseqStats

    counts = donors.layers[f"counts_{cell_type}"].toarray()
    genes = np.flatnonzero(counts.sum(axis=0) >= 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = pd.DataFrame(counts[:, genes], donors.obs_names, donors.var_names[genes])
        metadata = donors.obs[["batch", "condition"]].astype(str)
        model = DeseqDataSet(
            counts=table, metadata=metadata, design="~batch + condition", quiet=True, n_cpus=1
        )
        model.deseq2()
        tests = DeseqStats(
            model, contrast=["condition", "case", "control"], alpha=0.05, quiet=True, n_cpus=1
        )
        tests.summary()
    found = tests.results_df
    return {(cell_type, gene) for gene in found.index[found["padj"] <= 0.05]}


def measure_discoveries(seeds):
    """Table of biomarkers: false discovery rate and power, beside cells taken as replicates."""
    from scipy import stats

    rates: dict[str, list] = {"donors": [], "PyDESeq2 by hand": [], "cells": []}
    for seed in range(seeds):
        cells, donors = simulated(seed, n_types=2, condition_effect="expression")
        truth = cells.var_names[cells.uns["simulation"]["condition_fold_change"] != 1]
        planted = {("type1", gene) for gene in truth}
        table, _ = biomarkers(donors, BiomarkersOptions(**COMPARED, n_resamples=1))
        hits = table[table["fdr"] <= 0.05]
        found: dict[str, set] = {name: set() for name in rates}
        found["donors"] = set(zip(hits["cell_type"], hits["gene"], strict=True))
        for name in sorted(set(cells.obs["label"])):
            found["PyDESeq2 by hand"] |= by_hand(donors, name)
            of_type = cells[cells.obs["label"] == name]
            logs = np.log1p(of_type.X.toarray() / of_type.X.sum(axis=1) * 1e4)
            case = (of_type.obs["condition"] == "case").to_numpy()
            p = stats.mannwhitneyu(logs[case], logs[~case]).pvalue
            fdr = stats.false_discovery_control(p)
            found["cells"] |= {(name, cells.var_names[one]) for one in np.flatnonzero(fdr <= 0.05)}
        for name, one in found.items():
            false = len(one - planted) / max(len(one), 1)
            rates[name].append((false, len(one & planted) / len(planted)))
    for name, rows in rates.items():
        false, power = np.mean(rows, axis=0)
        error = np.std(rows, axis=0)[0] / np.sqrt(len(rows))
        print(
            f"  replicates: {name:<16} false discovery rate {false:.3f} (error {error:.3f}), power "
            f"{power:.2f}",
            flush=True,
        )


def measure_refusals(seeds):
    refused = 0
    for seed in range(seeds):
        try:
            biomarkers(simulated(seed, confounded=True)[1], BiomarkersOptions(**COMPARED))
        except InputError as error:
            refused += "coincides with batch" in str(error)
    print(f"  a condition that is a batch: refused in {refused}/{seeds} seeds")


def measure_subtypes(seeds):
    """Table of donor subtypes: seeds in which any are found, and how well they are the planted."""
    # Of 100 cells a donor can have fewer than ten of a type, which is then in no comparison.
    double = {**SMALL, "n_cells": 4800, "n_genes": 500}
    planted = [("none", 0.25, SMALL), ("expression", 0.25, SMALL), ("expression", 0.25, double)]
    # Frequencies need more cells, and none of the genes.
    few = {**SMALL, "n_genes": 40, "donor_genes": 10}
    for n, sd in ((400, 0.1), (1000, 0.1), (400, 0.25)):
        planted.append(("composition", sd, {**few, "n_cells": 24 * n}))
    for effect, sd, size in planted:
        rows = []
        for seed in range(seeds):
            words: dict[str, Any] = size | {"donor_subtype_effect": effect}
            words["donor_composition_sd"] = sd
            cells = simulate(SimulateOptions(**words), seed=seed)
            donors = cohort(cells, options=CohortOptions(type_key="label"))
            options = DonorSubtypesOptions(max_subtypes=5, type_key="label", seed=seed)
            table, _ = donor_subtypes(donors, options, counts=cells)
            truth = donors.obs["true_donor_kind"]
            found = table["donor_subtype"]
            rival, best = kmeans_of(donors, effect), oracle_of(donors, effect)
            others = (agreement(truth, x) for x in (found, rival, best))
            rows.append(((found != found.iloc[0]).any(), *others))
        hits, ours, other, oracle = np.array(rows, dtype=float).T
        found_ari = ours[hits > 0].mean() if hits.any() else 0
        print(
            f"  subtypes {effect:<11} {size['n_cells'] // 24} cells, sd {sd:.2f}: found in "
            f"{hits.sum():.0f}/{seeds}, as planted (ARI 0.6 or more) in {np.sum(ours >= 0.6)}; "
            f"where found ARI {found_ari:.2f}; told that there are two, k-means "
            f"{other.mean():.2f}, the best line through the truth {oracle.mean():.2f}",
            flush=True,
        )


def features_of(donors, effect):
    """[donors, features] What a user would cluster by hand: log frequencies or log CPM."""
    if effect == "composition":
        return log_ratios(donors.obsm["type_cells"].to_numpy())
    return log_counts(donors.X).toarray()


def kmeans_of(donors, effect):
    values = features_of(donors, effect)
    if values.shape[1] > 10:
        values = PCA(10, random_state=0).fit_transform(values)
    return KMeans(2, n_init=10, random_state=0).fit_predict(values)


def oracle_of(donors, effect):
    """Who knows both kinds, and the frequency or the genes that differ, and draws a line."""
    values, truth = features_of(donors, effect), donors.obs["true_donor_kind"] == "kind1"
    if values.shape[1] > 10:
        values = PCA(10, random_state=0).fit_transform(values)
    return LinearDiscriminantAnalysis().fit(values, truth).predict(values)


def agreement(one, two):
    return adjusted_rand_score(np.asarray(one).astype(str), np.asarray(two).astype(str))


def measure_real_subtypes(folder):
    """Real cohorts, beside k-means on components of log CPM, and with permuted features."""
    cohorts: list[tuple] = []
    path = folder / "cohort_covid_blood_86.h5ad"
    if path.exists():
        cohorts.append(("COVID-19, blood", bulk(path), "condition", None, {}))
    path = folder / "onek1k_7811.h5ad"
    if path.exists():
        cells = ad.read_h5ad(path)
        cells.obs["indiv"] = cells.obs["indiv"].astype(str)
        donors = cohort(cells, options=CohortOptions(donor_key="indiv"))
        cohorts.append(("OneK1K", donors, "sex", cells, {}))
    times = {"time_key": "OS_days", "event_key": "OS_event"}
    for name, file, key in (
        ("melanoma, microRNA", "skcm_mirna_survival", "sample_type"),
        ("breast cancer, microRNA", "brca_mirna", "PAM50"),
    ):
        path = folder / f"cohort_tcga_{file}.h5ad"
        if path.exists():
            cohorts.append((name, bulk(path), key, None, times))
    for name, donors, key, cells, words in cohorts:
        begun = time.process_time()
        options = DonorSubtypesOptions(max_subtypes=6, **words)
        _, record = donor_subtypes(donors, options, counts=cells)
        seconds = time.process_time() - begun
        print(f"{name}, {donors.n_obs} donors: {record.verdict} {seconds:.0f} s")
        labels = donors.obs[key]
        known = labels.notna().to_numpy()
        values = PCA(10, random_state=0).fit_transform(log_counts(donors.X).toarray())
        n_labels = labels[known].nunique()
        rival = KMeans(n_labels, n_init=10, random_state=0).fit_predict(values)
        print(
            f"  k-means, told that {key!r} has {n_labels}: ARI "
            f"{agreement(labels[known], rival[known]):.3f}"
        )
        for view in record.views:
            stability = (view.donors_stability, view.cells_stability)
            print(
                f"  {view.name}: {view.n_groups} groups, adjusted p {view.adjusted_p:.3f}, "
                f"stability {stability}, ARI with {key!r} "
                f"{agreement(labels[known], np.array(view.group)[known]):.3f}; {view.reason}"
            )
        for one in record.associations:
            if one.of == "donor_subtype":
                print(f"  subtypes and {one.column!r}: {one.test} FDR {one.fdr:.1e}")
        if record.survival is not None:
            print(f"  log-rank p of subtypes {record.survival.log_rank_p:.1e}")
        if donors.n_obs < 100:
            measure_permuted(donors, options)


def measure_permuted(donors, options, n_copies=10):
    """Each gene's, and each type's, values permuted over the donors by themselves."""
    found = 0
    for seed in range(n_copies):
        rng = np.random.default_rng(seed)
        made = donors.copy()
        made.X = sparse.csr_matrix(rng.permuted(made.X.toarray(), axis=0))
        for layer in list(made.layers):
            made.layers[layer] = sparse.csr_matrix(
                rng.permuted(made.layers[layer].toarray(), axis=0)
            )
        made.obsm["type_cells"] = made.obsm["type_cells"].apply(rng.permutation)
        found += donor_subtypes(made, options)[1].view != ""
    print(f"  features permuted: subtypes in {found}/{n_copies} copies", flush=True)


def tell(name, donors, options):
    begun = time.process_time()
    record = classify(donors, options)[1]
    sizes = np.bincount(record.condition)
    print(
        f"{name}: {', '.join(f'{n} {one!r}' for n, one in zip(sizes, record.levels, strict=True))}"
    )
    print(f"  majority: accuracy {record.majority_accuracy:.3f}, AUC 0.50")
    for view in record.views:
        print(
            f"  {view.name:<12} AUC {view.auc:.3f} ({view.auc_low:.3f} to {view.auc_high:.3f}), "
            f"p {view.p_value:.3f}, permuted {view.permuted_auc:.3f}, "
            f"accuracy {view.accuracy:.3f}, Brier {view.brier:.3f}, of the frequency alone "
            f"{view.base_brier:.3f}"
        )
    print(f"  {time.process_time() - begun:.0f} s", flush=True)


def bulk(path):
    adata = ad.read_h5ad(path)
    adata.obs["bulk_sample"] = adata.obs_names.astype(str)
    options = CohortOptions(donor_key="bulk_sample", type_key=None, min_cells=1, min_type_cells=1)
    return cohort(adata, options=options)


def measure_leaks(name, donors, key, labels, views, seeds=20):
    """Labels that are permuted within folds of the donors: areas should be 0.5."""
    labels = np.asarray(labels, dtype=object)
    code = np.unique(labels.astype(str), return_inverse=True)[1]
    found: dict[str, list] = {view: [] for view in views}
    for seed in range(seeds):
        rng = np.random.default_rng([seed, 1])
        fold = make_folds(code, np.arange(len(labels)), 5, rng)
        permuted = labels.copy()
        for one in range(5):
            rows = np.flatnonzero(fold == one)
            permuted[rows] = labels[rng.permutation(rows)]
        made = donors.copy()
        made.obs[key] = permuted
        words: dict[str, Any] = {"n_permutations": 20, "n_repeats": 1, "seed": seed, "views": views}
        for view in classify(made, ClassifyOptions(condition_key=key, **words))[1].views:
            if view.name in found:
                found[view.name].append((view.auc, view.auc_low, view.auc_high))
    for of_view, areas in found.items():
        area, low, high = np.array(areas).T
        error = np.std(area, ddof=1) / np.sqrt(seeds)
        print(
            f"{name}, labels permuted within folds: {of_view:<11} AUC {np.mean(area):.3f} (error "
            f"{error:.3f}), holds 0.5 {np.sum((low <= 0.5) & (high >= 0.5))}/{seeds}",
            flush=True,
        )


def measure_several(path):
    """Five subtypes of breast cancer, beside scikit-learn in the same folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, balanced_accuracy_score
    from sklearn.model_selection import PredefinedSplit, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    donors = bulk(path)
    donors = donors[donors.obs["PAM50"] != "unknown"].copy()
    options = ClassifyOptions(
        condition_key="PAM50",
        views=("components",),
        n_components=50,
        n_repeats=1,
        n_permutations=20,
    )
    record = classify(donors, options)[1]
    (view,) = record.views
    print(
        f"breast cancer, PAM50, {len(record.unit)} tumours: {view.name} accuracy "
        f"{view.accuracy:.3f} ({view.accuracy_low:.3f} to {view.accuracy_high:.3f}), balanced "
        f"{view.balanced_accuracy:.3f} ({view.balanced_accuracy_low:.3f} to "
        f"{view.balanced_accuracy_high:.3f}), mean AUC {view.auc:.3f} ({view.auc_low:.3f} to "
        f"{view.auc_high:.3f}), permuted {view.permuted_auc:.3f}, majority "
        f"{record.majority_accuracy:.3f}",
        flush=True,
    )
    condition = np.array(record.condition)
    fold = make_folds(condition, np.arange(len(condition)), 5, np.random.default_rng([0, 0]))
    logs = log_counts(donors.X).toarray()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
    known = cross_val_predict(model, logs, condition, cv=PredefinedSplit(fold))
    print(
        f"  scikit-learn, multinomial on all genes: accuracy {accuracy_score(condition, known):.3f}"
        f", balanced {balanced_accuracy_score(condition, known):.3f}",
        flush=True,
    )


def measure_real(folder, permutations):
    words = {"n_permutations": permutations, "n_repeats": 3, "missing": "drop"}
    path = folder / "cohort_covid_blood_86.h5ad"
    if path.exists():
        options = ClassifyOptions(condition_key="condition", levels=("healthy", "covid19"), **words)
        donors = bulk(path)
        tell("COVID-19, blood", donors, options)
        measure_leaks(
            "COVID-19, blood", donors, "condition", donors.obs["condition"], ("pseudobulk",)
        )
    path = folder / "cohort_tcga_brca_mirna.h5ad"
    if path.exists():
        measure_several(path)
    path = folder / "onek1k_7811.h5ad"
    if path.exists():
        cells = ad.read_h5ad(path)
        cells.obs["indiv"] = cells.obs["indiv"].astype(str)
        age = cells.obs["age"].astype(float)
        median = age.groupby(cells.obs["indiv"]).first().median()
        cells.obs["older"] = np.where(age > median, "yes", "no")
        donors = cohort(cells, options=CohortOptions(donor_key="indiv"))
        for key in ("sex", "older"):
            tell(f"OneK1K, 40 donors, {key}", donors, ClassifyOptions(condition_key=key, **words))
        views = ("composition", "pseudobulk")
        measure_leaks("OneK1K, 40 donors", donors, "sex", donors.obs["sex"], views)
    path = folder / "cohort_tcga_skcm_mirna_survival.h5ad"
    if path.exists():
        options = ClassifyOptions(
            condition_key="sample_type", views=("pseudobulk", "components"), **words
        )
        tell("melanoma, microRNA, metastasis (06) or primary (01)", bulk(path), options)

    for name, file in (("breast cancer", "brca_mirna"), ("melanoma", "skcm_mirna_survival")):
        path = folder / f"cohort_tcga_{file}.h5ad"
        if path.exists():
            times = SurvivalOptions(
                time_key="OS_days",
                event_key="OS_event",
                missing="drop",
                n_repeats=2,
                n_permutations=3,
            )
            record = survival(bulk(path), times)[1]
            print(
                f"{name}, {record.n_donors} donors, {record.n_events} events: concordance "
                f"{record.concordance:.3f} ({record.concordance_low:.3f} to "
                f"{record.concordance_high:.3f}), permuted {record.permuted:.3f}, log-rank p of "
                f"halves {record.log_rank_p:.1e}",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="simulated cohorts of each kind [20]")
    parser.add_argument("--data", type=Path, help="folder of real cohorts")
    parser.add_argument("--only", choices=("subtypes", "comparisons"), help="one of the two [both]")
    parser.add_argument("--permutations", type=int, default=100, help="of real labels [100]")
    arguments = parser.parse_args()
    if arguments.data and arguments.only != "subtypes":
        measure_real(arguments.data, arguments.permutations)
    if arguments.data and arguments.only != "comparisons":
        measure_real_subtypes(arguments.data)
    if arguments.seeds:
        print("simulated:")
    if arguments.seeds and arguments.only != "comparisons":
        measure_subtypes(arguments.seeds)
    if arguments.seeds and arguments.only != "subtypes":
        measure_refusals(arguments.seeds)
        measure_areas(arguments.seeds)
        measure_discoveries(arguments.seeds)


if __name__ == "__main__":
    main()
