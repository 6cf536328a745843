"""What stays of counts that are dealt anew, and what does not."""

import numpy as np
import pytest
from scipy import sparse

from scpress.config.options import SimulateOptions
from scpress.counts.permutation import depth_strata, permute_counts
from scpress.counts.simulation import simulate_counts


@pytest.fixture(scope="module")
def planted():
    """Counts of two types that differ in depth, too, and the types."""
    truth = simulate_counts(
        SimulateOptions(n_cells=600, n_genes=150, n_types=2, marker_fraction=0.2), seed=0
    )
    rng = np.random.default_rng(0)
    thinned = truth.counts.copy()
    # The second type has a fifth of the molecules.
    rows = np.repeat(np.arange(600), np.diff(thinned.indptr))
    thinned.data = rng.binomial(thinned.data, np.where(truth.cell_type[rows] == 1, 0.2, 1.0))
    thinned.eliminate_zeros()
    return thinned.astype(np.int32), truth.cell_type


def size_factor_of(X):
    total = np.asarray(X.sum(axis=1)).ravel()
    return total / np.median(total)


def correlations(X, size_factor):
    """[pairs of genes] Of Pearson residuals: depth alone correlates log-values."""
    mu = np.outer(size_factor, np.asarray(X.sum(axis=0)).ravel() / size_factor.sum())
    found = np.corrcoef(((X.toarray() - mu) / np.sqrt(mu + mu**2 / 5)).T)
    return np.abs(found[np.triu_indices(len(found), 1)])


def test_strata_are_parts_of_a_group_by_depth():
    depth = np.array([5, 1, 3, 2, 4, 6, 10, 20, 30.0])
    group = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1])
    assert depth_strata(depth, group, 1).tolist() == group.tolist()
    assert depth_strata(depth, group, 2).tolist() == [1, 0, 0, 0, 1, 1, 2, 2, 3]
    # More strata than cells are one for each cell.
    assert depth_strata(depth, group, 99).tolist() == [4, 0, 2, 1, 3, 5, 6, 7, 8]


@pytest.mark.parametrize("n_strata", [1, 3])
def test_each_gene_keeps_its_counts_in_every_stratum(planted, n_strata):
    X, _ = planted
    size_factor = size_factor_of(X)
    group = np.arange(600) % 2
    stratum = depth_strata(size_factor, group, n_strata)
    assert stratum.max() + 1 == 2 * n_strata
    dealt = permute_counts(X, size_factor, stratum, rng=np.random.default_rng(0))
    assert dealt.dtype == X.dtype
    assert dealt.nnz == X.nnz
    for number in range(stratum.max() + 1):
        before, after = (np.sort(one[stratum == number].toarray(), axis=0) for one in (X, dealt))
        np.testing.assert_array_equal(after, before)
    assert (dealt != X).nnz > 0.5 * X.nnz


def test_depth_is_nearly_kept(planted):
    X, _ = planted
    size_factor = size_factor_of(X)
    stratum = np.zeros(600, dtype=np.int64)
    dealt = permute_counts(X, size_factor, stratum, rng=np.random.default_rng(0))
    depth, before = (np.asarray(one.sum(axis=1)).ravel() for one in (dealt, X))
    assert np.corrcoef(np.log(depth), np.log(before))[0, 1] > 0.9
    assert np.std(np.log(depth)) == pytest.approx(np.std(np.log(before)), rel=0.25)


def test_what_genes_know_of_each_other_is_gone(planted):
    X, cell_type = planted
    size_factor = size_factor_of(X)
    stratum = np.zeros(600, dtype=np.int64)
    dealt = permute_counts(X, size_factor, stratum, rng=np.random.default_rng(0))
    detected = np.asarray((X > 0).mean(axis=0)).ravel() > 0.2
    before, after = (correlations(one[:, detected], size_factor) for one in (X, dealt))
    assert (before > 0.3).mean() > 0.1
    assert (after > 0.3).mean() < 0.1 * (before > 0.3).mean()
    # Nor is a type known by its genes, though it is by its depth.
    in_type = cell_type == 0
    scale = size_factor[in_type].sum() / size_factor[~in_type].sum()
    first, second = (
        np.abs(np.log2(one[in_type].sum(axis=0) / one[~in_type].sum(axis=0) / scale)).max()
        for one in (X, dealt)
    )
    assert first > 2
    assert second < 0.6 * first


def test_strata_of_depth_leave_what_types_of_unlike_depth_have(planted):
    """Why one stratum is the default."""
    X, _ = planted
    size_factor = size_factor_of(X)
    group = np.zeros(600, dtype=np.int64)
    shares = []
    for n_strata in (1, 20):
        stratum = depth_strata(size_factor, group, n_strata)
        dealt = permute_counts(X, size_factor, stratum, rng=np.random.default_rng(0))
        shares.append((correlations(dealt, size_factor) > 0.15).mean())
    assert shares[1] > 3 * shares[0]


def test_a_seed_is_a_copy_and_no_count_is_no_matter():
    X = sparse.random(50, 8, density=0.4, format="csr", random_state=0)
    X.data = np.ceil(5 * X.data)
    X = sparse.hstack([X, sparse.csr_matrix((50, 1))]).tocsr().astype(np.int32)
    one, stratum = np.ones(50), np.zeros(50, dtype=np.int64)
    first, again, other = (
        permute_counts(X, one, stratum, rng=np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert (first != again).nnz == 0
    assert (first != other).nnz > 0
    assert first[:, 8].nnz == 0
