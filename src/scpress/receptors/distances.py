"""How far apart chains are without a network: k-mers, edits, and a distance like tcrdist's."""

from itertools import product

import numpy as np
import pandas as pd
from scipy import sparse

from scpress.receptors.contigs import RESIDUES
from scpress.receptors.sequences import Sequences, encode

# BLOSUM62 (Henikoff & Henikoff 1992) below its diagonal, the residues in this order.
_BLOSUM_ORDER = "ARNDCQEGHILKMFPSTWYV"
_BLOSUM = """
-1
-2 0
-2 -2 1
0 -3 -3 -3
-1 1 0 0 -3
-1 0 0 2 -4 2
0 -2 0 -1 -3 -2 -2
-2 0 1 -1 -3 0 0 -2
-1 -3 -3 -3 -1 -3 -3 -4 -3
-1 -2 -3 -4 -1 -2 -3 -4 -3 2
-1 2 0 -1 -3 1 1 -2 -1 -3 -2
-1 -1 -2 -3 -1 0 -2 -3 -2 1 2 -1
-2 -3 -3 -3 -2 -3 -3 -3 -1 0 0 -3 0
-1 -2 -2 -1 -3 -1 -1 -2 -2 -3 -3 -1 -2 -4
1 -1 1 0 -1 0 0 0 -1 -2 -2 0 -1 -2 -1
0 -1 0 -1 -1 -1 -1 -2 -2 -1 -1 -1 -1 -2 -1 1
-3 -3 -4 -4 -2 -2 -3 -2 -2 -3 -2 -3 -1 1 -4 -3 -2
-2 -2 -2 -3 -2 -1 -2 -3 2 -1 -1 -2 -1 3 -3 -2 -2 2
0 -3 -3 -3 -1 -2 -2 -3 -3 3 1 -2 1 -1 -2 -2 0 -3 -1
"""
# Of tcrdist (Dash et al. 2017): a residue costs 4 at most, the CDR3 counts three times, and its
# ends, which the genes give, do not; a residue more costs as much as another one.
_MOST, _CDR3_WEIGHT = 4, 3
_TRIM_LEFT, _TRIM_RIGHT = 3, 2
# Where tcrdist compares the other loops of V, whose sequences no table of chains has: another gene
# of the same family, and one of another.
_SAME_FAMILY, _OTHER_FAMILY = 12, 36


def residue_costs() -> np.ndarray:
    """[residues, residues] min(4, 4 - BLOSUM62) of two residues, 0 of the same one twice."""
    score = np.zeros((len(RESIDUES),) * 2)
    where = [RESIDUES.index(letter) for letter in _BLOSUM_ORDER]
    for row, line in enumerate(_BLOSUM.strip().splitlines(), start=1):
        for column, value in enumerate(line.split()):
            score[where[row], where[column]] = score[where[column], where[row]] = int(value)
    costs = np.minimum(_MOST, _MOST - score)
    np.fill_diagonal(costs, 0)
    return costs


def tcrdist_like(a: pd.DataFrame, b: pd.DataFrame) -> np.ndarray:
    """[chains of a, chains of b] Distance of CDR3s and V genes, as tcrdist's with V by name alone.

    Sequences of unlike length are compared from both ends, with the gap where tcrdist has it.
    """
    return _cdr3_distances(encode(a), encode(b)) + _v_distances(a["v_gene"], b["v_gene"])


def _cdr3_distances(a: Sequences, b: Sequences) -> np.ndarray:
    costs = residue_costs().astype(np.float32)
    same = np.eye(len(RESIDUES), dtype=np.float32)
    distances = np.zeros((len(a), len(b)), dtype=np.float32)
    for long_a, long_b in product(np.unique(a.lengths), np.unique(b.lengths)):
        rows, columns = np.flatnonzero(a.lengths == long_a), np.flatnonzero(b.lengths == long_b)
        shorter = min(long_a, long_b)
        left = min(6, 3 + (shorter - 5) // 2)
        at_start = np.arange(_TRIM_LEFT, left)
        from_end = np.arange(_TRIM_RIGHT, max(shorter - left, _TRIM_RIGHT))
        places = [
            np.concatenate([at_start, length - 1 - from_end]).astype(int)
            for length in (long_a, long_b)
        ]
        paid = _CDR3_WEIGHT * _MOST * abs(int(long_a) - int(long_b))
        # A sum of table look-ups over the places is one product: cost rows times one-hot rows.
        of_a = costs[a.residues[np.ix_(rows, places[0])] - 1].reshape(len(rows), -1)
        of_b = same[b.residues[np.ix_(columns, places[1])] - 1].reshape(len(columns), -1)
        distances[np.ix_(rows, columns)] = _CDR3_WEIGHT * (of_a @ of_b.T) + paid
    return distances


def _v_distances(a: pd.Series, b: pd.Series) -> np.ndarray:
    genes = [one.to_numpy(dtype=str) for one in (a, b)]
    families = [np.array([gene.partition("-")[0] for gene in one], dtype=str) for one in genes]
    known = (genes[0] != "")[:, None] & (genes[1] != "")[None, :]
    same = (genes[0][:, None] == genes[1][None, :]) & known
    near = (families[0][:, None] == families[1][None, :]) & known
    return np.where(same, 0, np.where(near, _SAME_FAMILY, _OTHER_FAMILY)).astype(np.float32)


def edit_distances(a: pd.DataFrame, b: pd.DataFrame) -> np.ndarray:
    """[chains of a, chains of b] Levenshtein's distance of the CDR3s.

    Ukkonen's table is filled for one sequence of `a` and all of `b` at a time.
    """
    of_a, of_b = encode(a), encode(b)
    longest = of_b.residues.shape[1]
    distances = np.empty((len(of_a), len(of_b)), dtype=np.float32)
    for number, (residues, length) in enumerate(zip(of_a.residues, of_a.lengths, strict=True)):
        before = np.tile(np.arange(longest + 1), (len(of_b), 1))
        for place in range(length):
            now = np.empty_like(before)
            now[:, 0] = place + 1
            replaced = before[:, :-1] + (of_b.residues != residues[place])
            cheapest = np.minimum(replaced, before[:, 1:] + 1)
            for column in range(longest):
                now[:, column + 1] = np.minimum(cheapest[:, column], now[:, column] + 1)
            before = now
        distances[number] = before[np.arange(len(of_b)), of_b.lengths]
    return distances


def kmer_counts(chains: pd.DataFrame, longest: int = 3) -> sparse.csr_matrix:
    """[chains, features] How often each run of up to so many residues is in the CDR3; the genes."""
    columns: dict[tuple[str, str], int] = {}
    rows, places = [], []
    for row, (cdr3, v, j) in enumerate(
        zip(chains["cdr3"], chains["v_gene"], chains["j_gene"], strict=True)
    ):
        runs = [
            ("", cdr3[at : at + k])
            for k in range(1, longest + 1)
            for at in range(len(cdr3) - k + 1)
        ]
        for feature in [*runs, ("V", v), ("J", j)]:
            rows.append(row)
            places.append(columns.setdefault(feature, len(columns)))
    counts = sparse.coo_matrix(
        (np.ones(len(rows), dtype=np.float32), (rows, places)), shape=(len(chains), len(columns))
    )
    return counts.tocsr()


def kmer_codes(chains: pd.DataFrame, n_components: int, *, seed: int) -> np.ndarray:
    """[chains, n_components] PCA of `kmer_counts`."""
    from sklearn.decomposition import PCA

    counts = kmer_counts(chains)
    pca = PCA(n_components, svd_solver="arpack", random_state=seed)
    return pca.fit_transform(counts).astype(np.float32)
