import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from receptors.conftest import chain_frame
from sklearn.decomposition import PCA

from scpress.receptors.contigs import RESIDUES
from scpress.receptors.distances import (
    edit_distances,
    kmer_codes,
    kmer_counts,
    residue_costs,
    tcrdist_like,
)

texts = st.lists(st.text(RESIDUES, min_size=1, max_size=12), min_size=1, max_size=4)


def frame(*cdr3, v="TRBV1"):
    return chain_frame(*(("c", "TRB", one, v, "TRBJ1", 1) for one in cdr3))


def slow_edits(a, b):
    """Levenshtein's distance by its recursion."""
    table = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i, one in enumerate(a, start=1):
        for j, other in enumerate(b, start=1):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (one != other)
            )
    return table[len(a), len(b)]


def slow_cdr3(a, b):
    """tcrdist's CDR3, place by place: the gap stands where `left` residues are before it."""
    costs = residue_costs()
    shorter = min(len(a), len(b))
    left = min(6, 3 + (shorter - 5) // 2)
    pairs = [(a[n], b[n]) for n in range(3, left)]
    pairs += [(a[-n], b[-n]) for n in range(3, shorter - left + 1)]
    paid = sum(costs[RESIDUES.index(one), RESIDUES.index(other)] for one, other in pairs)
    return 3 * paid + 12 * abs(len(a) - len(b))


@settings(max_examples=30)
@given(texts, texts)
def test_distances_are_those_of_the_definitions(a, b):
    edits, like = edit_distances(frame(*a), frame(*b)), tcrdist_like(frame(*a), frame(*b))
    for row, one in enumerate(a):
        for column, other in enumerate(b):
            assert edits[row, column] == slow_edits(one, other)
            assert like[row, column] == slow_cdr3(one, other)


def test_costs_of_residues_are_those_of_blosum62():
    """Pairs whose scores every textbook has: I and V 3, F and Y 3, A and S 1, G and T -2."""
    costs = residue_costs()
    expected = {"IV": 1, "FY": 1, "AS": 3, "GT": 4, "WC": 4, "EK": 3, "DE": 2, "AV": 4, "QR": 3}
    assert {pair: costs[tuple(map(RESIDUES.index, pair))] for pair in expected} == expected
    assert (costs == costs.T).all()
    assert (np.diag(costs) == 0).all()
    assert (costs[~np.eye(20, dtype=bool)] >= 1).all()


@pytest.mark.parametrize(
    ("v", "other", "distance"),
    [
        ("TRBV6-1", "TRBV6-1", 0),
        ("TRBV6-1", "TRBV6-5", 12),
        ("TRBV6-1", "TRBV7-1", 36),
        ("", "", 36),
        ("TRBV6-1", "", 36),
    ],
)
def test_v_genes_are_apart_by_gene_and_family(v, other, distance):
    found = tcrdist_like(frame("CASSIRF", v=v), frame("CASSIRF", v=other))
    assert found.tolist() == [[distance]]


def test_counts_of_kmers_are_those_of_every_run():
    counts = kmer_counts(frame("CAAA", "CW"))
    # C, A three times, CA, AA twice, CAA, AAA, V and J; C, W, CW, V and J.
    assert sorted(counts[0].data.tolist()) == [1, 1, 1, 1, 1, 1, 2, 3]
    assert counts[1].nnz == 5
    assert counts[0].multiply(counts[1]).sum() == 3


def test_codes_of_kmers_are_the_principal_components(many_chains):
    wanted = PCA(4, svd_solver="full").fit_transform(kmer_counts(many_chains).toarray())
    found = kmer_codes(many_chains, 4, seed=0)
    np.testing.assert_allclose(np.abs(found), np.abs(wanted), atol=1e-3)
    assert found.tobytes() == kmer_codes(many_chains, 4, seed=0).tobytes()
