"""What codes of receptor sequences know of specificity, beside k-mers, edits and tcrdist's like.

    python benchmarks/receptors.py human.tsv mouse.csv [--seeds 0 1 2] [--methods gru lstm]

A table has a paired receptor a row: CDR3, V and J of both chains (`cdr3_alpha`, `v_alpha`,
`j_alpha` and beta, or `cdr3_a_aa`, `v_a_gene`, `j_a_gene` and b), its `epitope`, and the `study` or
the `subject` that it is of. Printed are accuracy and balanced accuracy of the epitope, the mean of
the seeds and the least and greatest of them: of five folds with near-copies (receptors whose two
CDR3s differ by at most three edits together, and what such links join) in one fold, and of five
folds of whole studies or subjects. A seed is that of the folds and of the training. Codes are made
of all sequences without their labels; the autoencoder trains on nine tenths of them. Then: residues
read back by length, of sequences that were not trained on; and the groups of receptors by
`max_distance`: how many receptors are in one, and how many of their pairs have one epitope.
"""

import argparse
import functools
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scpress.config.receptors import ReceptorsOptions
from scpress.receptors.cells import group_cells
from scpress.receptors.distances import edit_distances, kmer_codes, kmer_counts, tcrdist_like
from scpress.receptors.sequences import IDENTITY, encode, unique_chains
from scpress.receptors.training import train
from scpress.steps.receptors import reconstruction

COLUMNS: tuple[dict[str, Any], ...] = (
    {"cdr3": "cdr3_{}", "v_gene": "v_{}", "j_gene": "j_{}", "arms": ("alpha", "beta")},
    {"cdr3": "cdr3_{}_aa", "v_gene": "v_{}_gene", "j_gene": "j_{}_gene", "arms": ("a", "b")},
)
NEAR_EDITS, N_NEIGHBORS, N_FOLDS = 3, 10, 5


def read_table(path: Path) -> tuple[list[pd.DataFrame], np.ndarray, np.ndarray]:
    """Chains of both arms, epitopes and where each receptor is of."""
    table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", keep_default_na=False)
    names = next(one for one in COLUMNS if one["cdr3"].format(one["arms"][0]) in table)
    arms = []
    for arm, chain in zip(names["arms"], ("TRA", "TRB"), strict=True):
        columns = {name: table[names[name].format(arm)] for name in ("cdr3", "v_gene", "j_gene")}
        one = pd.DataFrame(columns | {"chain": chain})
        for gene in ("v_gene", "j_gene"):
            one[gene] = one[gene].str.partition("*")[0]
        arms.append(one)
    source = table["study" if "study" in table else "subject"]
    return arms, table["epitope"].to_numpy(), source.to_numpy()


def by_sequence(arms: list[pd.DataFrame], distance) -> np.ndarray:
    """[receptors, receptors] Sum over the arms, each different chain once."""
    total = np.zeros(())
    for arm in arms:
        unique = arm.drop_duplicates().reset_index(drop=True)
        numbered = arm.merge(unique.reset_index(), on=list(arm.columns), how="left")
        number = numbered["index"].to_numpy()
        total = total + distance(unique, unique)[np.ix_(number, number)]
    return total


def codes_of(arms: list[pd.DataFrame], of_sequences) -> np.ndarray:
    """[receptors, both codes]; `of_sequences` makes one code of each different chain."""
    table = unique_chains(pd.concat(arms))
    codes = of_sequences(table)
    number = pd.Series(table.index, index=pd.MultiIndex.from_frame(table[IDENTITY]))
    return np.hstack(
        [codes[number.loc[pd.MultiIndex.from_frame(arm[IDENTITY])].to_numpy()] for arm in arms]
    )


def by_neighbors(distances: np.ndarray, label: np.ndarray, folds) -> np.ndarray:
    """Predict by the nearest of the other folds, the nearer ones with more weight."""
    names, number = np.unique(label, return_inverse=True)
    predicted = np.empty(len(label), dtype=object)
    for known, asked in folds:
        far = distances[np.ix_(asked, known)]
        near = np.argsort(far, axis=1, kind="stable")[:, :N_NEIGHBORS]
        weight = 1 / (1 + np.take_along_axis(far, near, axis=1))
        votes = np.zeros((len(asked), len(names)))
        np.add.at(votes, (np.arange(len(asked))[:, None], number[known[near]]), weight)
        predicted[asked] = names[votes.argmax(axis=1)]
    return predicted


def by_regression(features, label: np.ndarray, folds) -> np.ndarray:
    """Predict by logistic regression of the other folds, columns scaled where they are codes."""
    is_counts = sparse.issparse(features)
    model = LogisticRegression(C=1.0 if is_counts else 0.03, max_iter=300)
    model = model if is_counts else make_pipeline(StandardScaler(), model)
    predicted = np.empty(len(label), dtype=object)
    for known, asked in folds:
        predicted[asked] = model.fit(features[known], label[known]).predict(features[asked])
    return predicted


def euclidean(points: np.ndarray) -> np.ndarray:
    """[receptors, receptors] Distances of codes."""
    squares = (points**2).sum(axis=1)
    return np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0))


def split(label: np.ndarray, groups: np.ndarray, seed: int) -> list:
    """Folds of the receptors in which no group is on both sides."""
    folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an epitope of one study is in one fold only
        return list(folds.split(label, label, groups))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="*", default=["gru"], choices=("gru", "lstm"))
    parser.add_argument("--max-epochs", type=int, default=ReceptorsOptions().max_epochs)
    arguments = parser.parse_args()
    for path in arguments.tables:
        arms, label, source = read_table(path)
        edits = by_sequence(arms, edit_distances)
        n, near = connected_components(sparse.csr_matrix(edits <= NEAR_EDITS), directed=False)
        print(f"\n{path.name}: {len(label)} receptors, {n} without near-copies", end="; ")
        print(f"most common epitope {pd.Series(label).value_counts(normalize=True).iloc[0]:.3f}")
        print_groups(arms, label)
        like = by_sequence(arms, tcrdist_like)
        counts = sparse.hstack([kmer_counts(arm) for arm in arms]).tocsr()
        scores: dict[tuple[str, str], list] = {}
        accuracy: list = []
        for seed in arguments.seeds:
            codes = {"k-mer PCA": codes_of(arms, lambda one: kmer_codes(one, 64, seed=0))}
            for method in arguments.methods:
                options = ReceptorsOptions(
                    method=method, seed=seed, max_epochs=arguments.max_epochs
                )
                codes[f"{method} autoencoder"] = codes_of(
                    arms, functools.partial(learn, options=options, lines=accuracy)
                )
            for what, groups in (("near-copies", near), ("sources", source)):
                folds = split(label, groups, seed)
                found = {
                    "k-mers, regression": by_regression(counts, label, folds),
                    "edit distance, neighbours": by_neighbors(edits, label, folds),
                    "like tcrdist, neighbours": by_neighbors(like, label, folds),
                }
                for name, points in codes.items():
                    found[f"{name}, regression"] = by_regression(points, label, folds)
                    found[f"{name}, neighbours"] = by_neighbors(euclidean(points), label, folds)
                for name, predicted in found.items():
                    scores.setdefault((name, what), []).append(
                        ((predicted == label).mean(), balanced_accuracy_score(label, predicted))
                    )
            print_scores(scores, seed)
            print("\n".join(accuracy), flush=True)


def learn(table: pd.DataFrame, options: ReceptorsOptions, lines: list) -> np.ndarray:
    """Codes of an autoencoder; a line says what is read back, and the time of the process."""
    sequences, start = encode(table), time.process_time()
    trained = train(sequences, options)
    seconds = time.process_time() - start
    right = (trained.written == sequences.residues) & (sequences.residues > 0)
    held = trained.is_held_out
    share = right[held].sum() / sequences.lengths[held].sum()
    rows = reconstruction(sequences, right, held)
    by_length = zip(rows["length"], rows["n_sequences"], rows["residues_right"], strict=True)
    lines.append(
        f"{options.method} seed {options.seed}: {len(table)} sequences, {len(trained.losses)} "
        f"passes, {seconds:.0f} s of one core; held out: residues {share:.3f}, V "
        f"{np.nanmean(trained.v_right[held]):.3f}, J {np.nanmean(trained.j_right[held]):.3f}; by "
        "length " + " ".join(f"{length}:{one:.2f}({n})" for length, n, one in by_length)
    )
    return trained.codes


def print_scores(scores: dict[tuple[str, str], list], seed: int) -> None:
    """Accuracy and balanced accuracy, of the seeds until now."""
    print(f"up to seed {seed}:")
    for (name, what), values in scores.items():
        means, low, high = (f(np.array(values), axis=0) for f in (np.mean, np.min, np.max))
        print(f"{what:12} {name:32}", end="")
        for one in range(2):
            print(f"  {means[one]:.3f} ({low[one]:.3f} to {high[one]:.3f})", end="")
        print()


def print_groups(arms: list[pd.DataFrame], label: np.ndarray) -> None:
    """Receptors in groups, and pairs of one group with one epitope, by the largest distance."""
    chosen = {arm: one.rename_axis("cell") for arm, one in zip(("VJ", "VDJ"), arms, strict=True)}
    for most in (12, 24, 36, 48, 60, 72, 96):
        group = group_cells(chosen, most).to_numpy()
        inside = pd.crosstab(group[group > 0], label[group > 0]).to_numpy()
        pairs = (inside.sum(axis=1) * (inside.sum(axis=1) - 1)).sum()
        same = (inside * (inside - 1)).sum()
        largest = inside.sum(axis=1).max(initial=0)
        print(
            f"max_distance {most:3}: {len(inside)} groups, {(group > 0).mean():.3f} of the "
            f"receptors, largest {largest}; pairs of one epitope {same / max(pairs, 1):.3f}"
        )


if __name__ == "__main__":
    main()
