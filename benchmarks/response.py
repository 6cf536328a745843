"""Responses to drugs and to a treatment: what is told where the truth is known, and in real data.

    python benchmarks/response.py --seeds 3                   simulated alone
    python benchmarks/response.py --seeds 0 --data FOLDER     real lines and donors, those there are

Simulated drugs: 120 lines of 200 genes with 4 factors, 12 drugs whose weights of the factors are
told by their features. The best that can be known is printed beside: r of the responses without
their noise. Simulated donors: 8 pairs of control and treated samples whose response is none, one
of all donors, or each donor's own.
"""

import argparse
import time
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scpress.config.cohort import CohortOptions
from scpress.config.response import DrugResponseOptions, PerturbationOptions
from scpress.donors.drug_response import RIVALS
from scpress.steps.cohort import cohort
from scpress.steps.drug_response import drug_response
from scpress.steps.perturbation import perturbation


def simulate_lines(seed, *, effect, n_lines=120, n_genes=200, n_drugs=12, n_factors=4):
    """Expression, responses, features of drugs, and responses without noise."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n_lines, n_factors))
    expression = factors @ rng.normal(size=(n_factors, n_genes)) + rng.normal(
        0, 2.0, (n_lines, n_genes)
    )
    names = [f"line{one}" for one in range(n_lines)]
    drugs = [f"drug{one}" for one in range(n_drugs)]
    features = rng.normal(size=(n_drugs, n_factors))
    truth = effect * (factors @ features.T + 0.7 * factors[:, :1])
    responses = truth + rng.normal(size=truth.shape) + rng.normal(0, 2, n_drugs)
    responses[rng.random(truth.shape) < 0.05] = np.nan
    return (
        ad.AnnData(expression - expression.min(), obs=pd.DataFrame(index=names)),
        pd.DataFrame(responses, names, drugs),
        pd.DataFrame(features, drugs),
        truth,
    )


def measure_lines(seeds):
    for effect in (0.0, 0.5):
        found: dict = {}
        for seed in range(seeds):
            lines, responses, features, truth = simulate_lines(seed, effect=effect)
            options = DrugResponseOptions(
                n_repeats=1, n_permutations=1, learners=("ridge", "shared_latent"), seed=seed
            )
            record = drug_response(lines, responses, options, drug_features=features)[1]
            for one in record.models:
                found.setdefault((one.split, one.model, one.view), []).append(one)
            if effect:
                best = [
                    np.corrcoef(truth[known, drug], responses.to_numpy()[known, drug])[0, 1]
                    for drug in range(truth.shape[1])
                    for known in [~np.isnan(responses.to_numpy()[:, drug])]
                ]
                found.setdefault(("", "truth", ""), []).append(np.median(best))
        print(f"simulated lines, effect {effect}, {seeds} seeds (means):")
        for (split, model, view), rows in found.items():
            if model == "truth":
                print(f"  r of the responses without noise {np.mean(rows):.2f}")
                continue
            above = sum(one.r_low > 0 for one in rows)
            better = sum(one.skill_low > 0 for one in rows)
            print(
                f"  {split:<5} {model:<28} {view:<11} r {np.mean([one.r for one in rows]):.2f} "
                f"(interval above 0 in {above}), skill {np.mean([one.skill for one in rows]):.2f} "
                f"(above 0 in {better})"
            )


def simulate_donors(seed, *, response, n_donors=8, n_cells=30, n_genes=300):
    """Cells of two types of donors, half of them treated; `response` is none, shared or own."""
    rng = np.random.default_rng(seed)
    level = np.exp(rng.normal(0, 1, n_genes))
    kinds = np.exp(rng.normal(0, 0.7, (2, n_genes)))
    shared = rng.normal(0, 0.8, (2, n_genes)) * (rng.random(n_genes) < 0.1)
    blocks, rows = [], []
    for donor in range(n_donors):
        own = np.exp(rng.normal(0, 0.3, n_genes))
        private = rng.normal(0, 0.8, (2, n_genes)) * (rng.random(n_genes) < 0.1)
        for kind in range(2):
            for condition in ("control", "treated"):
                added = {"none": 0.0, "shared": shared[kind], "own": private[kind]}[response]
                # Every sample is a little unlike the donor's other one.
                noise = rng.normal(0, 0.15, n_genes)
                mean = level * own * kinds[kind] * np.exp(noise + added * (condition == "treated"))
                blocks.append(rng.poisson(mean * 2, (n_cells, n_genes)))
                rows += [(f"d{donor}", f"t{kind}", condition)] * n_cells
    obs = pd.DataFrame(rows, columns=["donor", "cell_type", "condition"])
    obs.index = [f"c{one}" for one in range(len(obs))]
    return ad.AnnData(sparse.csr_matrix(np.concatenate(blocks)), obs=obs)


def measure_donors(seeds):
    options = PerturbationOptions(condition_key="condition")
    for response in ("none", "own", "shared"):
        agreement: dict[str, list] = {}
        prediction: dict[tuple[str, str], list] = {}
        for seed in range(seeds):
            cells = simulate_donors(seed, response=response)
            record = perturbation(
                cohort(cells, options=CohortOptions(split_by="condition")), options
            )[1]
            for one in record.agreement:
                agreement.setdefault(one.view, []).append(one)
            for told in record.prediction:
                if not told.cell_type:
                    prediction.setdefault((told.model, told.view), []).append(told)
        print(f"simulated donors, response {response}, {seeds} seeds:")
        for view, rows in agreement.items():
            print(
                f"  {view:<11} cosine {np.mean([one.cosine for one in rows]):.2f}, other types "
                f"{np.mean([one.other_types for one in rows]):.2f}; p at most 0.05 in "
                f"{sum(one.p_value <= 0.05 for one in rows)} of {len(rows)} types"
            )
        for (model, view), rows in prediction.items():
            explained, exchanged = (
                np.mean([getattr(one, name) for one in rows])
                for name in ("explained", "permuted_explained")
            )
            print(
                f"  {model:<15} {view:<11} explained {explained:.2f}, exchanged {exchanged:.2f}",
                flush=True,
            )


def measure_gdsc(folder, permutations, quick):
    path = folder / "drug_gdsc2_600lines.h5ad"
    if not path.exists():
        return
    lines = ad.read_h5ad(path)
    for prefix in ("GDSC2_lnIC50|", "GDSC2_AUC|"):
        begun = time.process_time()
        words = {"obs_prefix": prefix, "n_permutations": permutations}
        if quick or "AUC" in prefix:
            words |= {"learners": ("ridge",), "splits": ("line",)}
        record = drug_response(lines, None, DrugResponseOptions(**words))[1]
        print(
            f"{prefix} {record.n_lines} lines, {record.n_drugs} drugs, {record.n_pairs} responses"
        )
        for one in record.models:
            folds = f"{min(one.skill_of_repeats):.3f} to {max(one.skill_of_repeats):.3f}"
            print(
                f"  {one.split:<5} {one.model:<14} {one.view:<11} rmse {one.rmse:.3f}, r "
                f"{one.r:.3f} ({one.r_low:.3f} to {one.r_high:.3f}), permuted "
                f"{one.permuted_r:.3f}, all pairs {one.pooled_r:.3f}; saves {one.skill:.3f} "
                f"({one.skill_low:.3f} to {one.skill_high:.3f}) of {RIVALS[one.split]}, divisions "
                f"{folds}"
            )
        print(f"  {time.process_time() - begun:.0f} s", flush=True)


def measure_kang(folder):
    path = folder / "kang_muscat_1556.h5ad"
    if not path.exists():
        return
    cells = ad.read_h5ad(path)
    cells.obs["donor"] = cells.obs["sample_id"].astype(str).str[-3:]
    donors = cohort(cells, options=CohortOptions(split_by="group_id", type_key="cluster_id"))
    options = PerturbationOptions(condition_key="group_id", levels=("ctrl", "stim"))
    record = perturbation(donors, options)[1]
    print(f"interferon-beta, {len(record.donors)} donors")
    for one in record.agreement:
        print(
            f"  {one.cell_type:<18} {one.view:<11} cosine {one.cosine:.2f}, other types "
            f"{one.other_types:.2f}, p {one.p_value:.2f} (least {one.least_p:.2f})"
        )
    for told in record.prediction:
        print(
            f"  {told.cell_type or 'all types':<18} {told.model:<15} {told.view:<11} explained "
            f"{told.explained:.2f} ({told.explained_low:.2f} to {told.explained_high:.2f}), cosine "
            f"{told.cosine:.2f}, exchanged {told.permuted_explained:.2f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="simulated data of each kind [3]")
    parser.add_argument("--data", type=Path, help="folder of real data")
    parser.add_argument("--permutations", type=int, default=3, help="of real responses [3]")
    parser.add_argument("--quick", action="store_true", help="ridge and lines held out alone")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="Observation names")
    if arguments.data:
        measure_kang(arguments.data)
        measure_gdsc(arguments.data, arguments.permutations, arguments.quick)
    if arguments.seeds:
        measure_donors(arguments.seeds)
        measure_lines(arguments.seeds)


if __name__ == "__main__":
    main()
