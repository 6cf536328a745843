import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scpress import settings
from scpress.counts import thinning
from scpress.counts.thinning import (
    estimate_theta,
    estimate_theta_within,
    split_counts,
    split_folds,
)


def _draw(rng, n_cells, theta, mu, size_factor):
    rate = rng.gamma(theta, 1 / theta, (n_cells, len(mu))) * mu * size_factor[:, None]
    return sparse.csr_matrix(rng.poisson(rate).astype(np.int32))


def test_theta_is_estimated_whatever_the_library_sizes():
    rng = np.random.default_rng(0)
    theta = np.array([0.5, 2.0, 10.0])
    size_factor = rng.lognormal(0, 0.5, 40_000)
    counts = _draw(rng, 40_000, theta, np.full(3, 4.0), size_factor)
    np.testing.assert_allclose(estimate_theta(counts, size_factor), theta, rtol=0.15)


def test_theta_of_a_gene_without_overdispersion_is_large():
    counts = sparse.csr_matrix(np.array([[1, 0], [1, 0], [1, 3]], dtype=np.int32))
    assert estimate_theta(counts, np.ones(3))[0] == 1e8
    assert np.isfinite(estimate_theta(counts, np.ones(3))).all()


def test_folds_of_negative_binomial_counts_are_independent_and_plain_thinning_is_not():
    rng = np.random.default_rng(0)
    theta, mu = np.array([0.5, 2.0]), np.array([5.0, 10.0])
    counts = _draw(rng, 20_000, theta, mu, np.ones(20_000))
    first, second = split_counts(counts, theta, rng=rng)
    thinned = split_counts(counts, np.full(2, 1e8), rng=rng)
    for gene in range(2):
        one, two = (fold.toarray()[:, gene] for fold in (first, second))
        # The standard error of a correlation of 20,000 pairs is 0.007.
        assert abs(np.corrcoef(one, two)[0, 1]) < 0.03
        assert abs(np.corrcoef(one > 0, two)[0, 1]) < 0.03
        one, two = (fold.toarray()[:, gene] for fold in thinned)
        assert np.corrcoef(one, two)[0, 1] > 0.3


@given(st.integers(0, 10_000), st.floats(0.1, 0.9))
def test_sum_of_the_folds_is_the_counts(seed, fraction):
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 50, (20, 8)) * (rng.random((20, 8)) < 0.4)
    counts = sparse.csr_matrix(values.astype(np.int32))
    theta = rng.uniform(0.01, 100, 8)
    first, second = split_counts(counts, theta, fraction=fraction, rng=rng)
    assert (first + second != counts).nnz == 0
    assert first.dtype == np.int32
    assert (first.data > 0).all()
    assert (second.data > 0).all()


@pytest.mark.parametrize("chunk_bytes", [8, 10**6])
def test_theta_against_the_moments_cell_by_cell(monkeypatch, chunk_bytes):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    rng = np.random.default_rng(1)
    size_factor = rng.lognormal(0, 0.5, 60)
    counts = _draw(rng, 60, np.array([0.3, 1.0, 3.0]), np.array([2.0, 5.0, 9.0]), size_factor)
    x = counts.toarray().astype(float)
    for gene, found in enumerate(estimate_theta(counts, size_factor)):
        mean = x[:, gene].sum() / size_factor.sum()
        excess = sum((x[c, gene] - s * mean) ** 2 - s * mean for c, s in enumerate(size_factor))
        assert found == pytest.approx(mean**2 * (size_factor**2).sum() / excess)


def test_theta_is_never_zero_and_a_gene_without_molecules_is_poisson():
    x = np.zeros((4000, 2), dtype=np.int32)
    x[0, 0] = 10_000
    found = estimate_theta(sparse.csr_matrix(x), np.ones(4000))
    assert found.tolist() == [1e-3, 1e8]


@pytest.mark.parametrize("fraction", [0.2, 0.7])
def test_the_first_fold_has_the_stated_part_of_the_molecules(fraction):
    rng = np.random.default_rng(0)
    counts = _draw(rng, 5000, np.array([1.0, 5.0]), np.array([20.0, 50.0]), np.ones(5000))
    first, second = split_counts(counts, np.array([1.0, 5.0]), fraction=fraction, rng=rng)
    part = np.asarray(first.sum(axis=0)) / np.asarray(counts.sum(axis=0))
    np.testing.assert_allclose(part, fraction, atol=0.02)
    assert (first + second != counts).nnz == 0


@pytest.mark.parametrize("at_a_time", [3, 7, 2**22])
def test_every_part_of_the_values_is_divided_by_the_theta_of_its_gene(monkeypatch, at_a_time):
    monkeypatch.setattr(thinning, "_VALUES_AT_A_TIME", at_a_time)
    rng = np.random.default_rng(0)
    # Molecules of the first gene stay together, those of the last are divided evenly.
    theta = np.array([1e-3, 1.0, 1e8])
    values = np.full((50, 3), 1000, dtype=np.int32)
    values[::2, 1] = 0  # so that no part begins at a gene of its own
    counts = sparse.csr_matrix(values)
    first = split_counts(counts, theta, rng=rng)[0].toarray()
    assert np.isin(first[:, 0], (0, 1000)).mean() > 0.9
    np.testing.assert_allclose(first[:, 2], 500, atol=100)  # 6 standard deviations
    np.testing.assert_array_equal(counts.toarray(), values)


def test_the_same_stream_gives_the_same_folds():
    counts = sparse.csr_matrix(np.full((20, 3), 30, dtype=np.int32))
    one, two, other = (
        split_counts(counts, np.ones(3), rng=np.random.default_rng(seed))[0] for seed in (0, 0, 1)
    )
    assert (one != two).nnz == 0
    assert (one != other).nnz > 0


def _typed(rng, *, n_cells=3000, n_genes=60, theta=2.0):
    """Counts of three types that differ in every other gene, their means and types."""
    kind = rng.integers(0, 3, n_cells)
    fold_change = np.where(np.arange(n_genes) % 2, rng.choice([0.2, 1.0, 4.0], (3, n_genes)), 1.0)
    mu = 6.0 * fold_change[kind] * rng.lognormal(0, 0.3, n_cells)[:, None]
    rate = rng.gamma(theta, 1 / theta, mu.shape) * mu
    return sparse.csr_matrix(rng.poisson(rate).astype(np.int32)), mu, kind


def _residual_correlation(folds, mu, fractions):
    """Mean over genes of the correlation of two folds' residuals given the truth."""
    one, two = (
        (fold.toarray() - part * mu) / np.sqrt(part * mu)
        for fold, part in zip(folds, fractions, strict=True)
    )
    return np.mean([np.corrcoef(one[:, j], two[:, j])[0, 1] for j in range(mu.shape[1])])


def test_folds_are_independent_given_the_truth_where_types_are_known_and_not_otherwise():
    rng = np.random.default_rng(0)
    counts, mu, kind = _typed(rng)
    size_factor = np.asarray(mu[:, ::2].sum(axis=1)) / mu[:, ::2].sum(axis=1).mean()
    found = {}
    for name, theta in (
        ("within types", estimate_theta_within(counts, size_factor, kind)),
        ("over all cells", estimate_theta(counts, size_factor)),
        ("binomial", np.full(60, 1e8)),
    ):
        first, second, rest = split_folds(counts, theta, fractions=(0.2, 0.3), rng=rng)
        found[name] = [
            _residual_correlation(pair, mu, parts)
            for pair, parts in (
                ((first, second), (0.2, 0.3)),
                ((first, second + rest), (0.2, 0.8)),
                ((second, rest), (0.3, 0.5)),
            )
        ]
    # The standard error of a mean over 60 genes of 3,000 cells is 0.0024.
    assert np.abs(found["within types"]).max() < 0.008
    assert min(found["binomial"]) > 0.2
    assert max(found["over all cells"]) < -0.03


@pytest.mark.parametrize("chunk_bytes", [8, 10**6])
def test_theta_within_groups_against_the_moments_cell_by_cell(monkeypatch, chunk_bytes):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    rng = np.random.default_rng(1)
    size_factor = rng.lognormal(0, 0.5, 61)
    group = np.append(np.arange(60) % 2, 2)  # of a single cell nothing is learned
    mu = np.array([2.0, 5.0, 9.0])
    counts = _draw(rng, 61, np.array([0.3, 1.0, 3.0]), mu, size_factor * (1 + 5 * group))
    x = counts.toarray().astype(float)
    for gene, found in enumerate(estimate_theta_within(counts, size_factor, group)):
        excess = signal = 0.0
        for one in (0, 1):
            cells = np.flatnonzero(group == one)
            total, size = x[cells, gene].sum(), size_factor[cells].sum()
            squares = sum((x[c, gene] - size_factor[c] * total / size) ** 2 for c in cells)
            excess += squares * len(cells) / (len(cells) - 1) - total
            signal += total * (total - 1) / size**2 * (size_factor[cells] ** 2).sum()
        assert found == pytest.approx(signal / excess)


def test_theta_of_few_molecules_in_small_groups_is_right_in_the_middle():
    rng = np.random.default_rng(0)
    group = np.arange(4000) % 80
    counts = _draw(rng, 4000, np.full(400, 1.0), np.full(400, 0.3), np.ones(4000))
    found = estimate_theta_within(counts, np.ones(4000), group)
    assert np.median(found) == pytest.approx(1.0, abs=0.1)


@given(st.integers(0, 10_000), st.lists(st.floats(0.05, 0.33), min_size=1, max_size=3))
def test_folds_and_what_is_left_over_add_up_to_the_counts(seed, fractions):
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 50, (20, 8)) * (rng.random((20, 8)) < 0.4)
    counts = sparse.csr_matrix(values.astype(np.int32))
    theta = rng.uniform(0.01, 100, 8)
    folds = split_folds(counts, theta, fractions=fractions, rng=rng)
    assert len(folds) == len(fractions) + 1
    assert (sum(folds) != counts).nnz == 0
    assert all((fold.data > 0).all() for fold in folds)


def test_folds_of_all_molecules_leave_nothing_over():
    counts = sparse.csr_matrix(np.full((200, 3), 30, dtype=np.int32))
    rng = np.random.default_rng(0)
    *folds, rest = split_folds(counts, np.full(3, 5.0), fractions=(0.2,) * 5, rng=rng)
    assert rest.nnz == 0
    for fold in folds:
        assert fold.mean() == pytest.approx(6, abs=0.8)  # 4 standard errors
