"""Bits that fitting reckons with are those of the law, and about those that are written."""

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import nbinom

from scpress.archive import costs
from scpress.archive.costs import Costs
from scpress.archive.numpy_reader import ABSENT, T_LOW


@pytest.fixture(scope="module")
def drawn():
    """Counts of 40 cells and 5 genes, their levels, shares and thetas."""
    rng = np.random.default_rng(0)
    levels = rng.integers(90, 120, 40)
    b, t = np.array([-60, -90, -120, ABSENT, -200]), np.array([6, 8, 7, 0, 9])
    mu = 2.0 ** ((levels[:, None] + b) / 16)
    theta = 2.0 ** (t + T_LOW)
    X = rng.negative_binomial(theta, theta / (theta + mu))
    X[:, 3] = 0
    return X, levels, b, t


def exact_bits(X, levels, b, t):
    mu, theta = 2.0 ** ((levels[:, None] + b) / 16), 2.0 ** (t + T_LOW)
    return -nbinom.logpmf(X, theta, theta / (theta + mu)).sum(axis=0) / np.log(2)


def sparse_bits(X, levels, b, tried, told):
    X = sparse.csc_matrix(X)
    values, counts = np.unique(levels, return_counts=True)
    out = np.zeros(tried.shape)
    costs.sparse_bits(
        X.indptr.astype(np.int64), X.indices, X.data, levels, values, counts, b, tried,
        told.arrays, out,
    )  # fmt: skip
    return out


def test_sparse_counts_cost_what_the_law_says_with_each_theta(drawn):
    X, levels, b, t = drawn
    told = Costs(b, np.array([90, 119]), reach=0)
    tried = np.column_stack([t, t + 2])
    found = sparse_bits(X, levels, b, tried, told)
    present = b > ABSENT
    for k in range(2):
        wanted = exact_bits(X, levels, b, tried[:, k])
        np.testing.assert_allclose(found[present, k], wanted[present], rtol=2e-3)
    assert not found[~present].any()


def test_dense_counts_cost_the_same_and_a_latent_moves_their_means(drawn):
    X, levels, b, t = drawn
    genes = np.flatnonzero(b > ABSENT)
    told = Costs(b, np.array([90, 119]), reach=40)
    w, z = np.array([[3, -2, 0, 5]]), np.random.default_rng(1).integers(-4, 5, (40, 1))
    out = np.zeros((4, 2))
    dense = X[:, genes].astype(np.float32)
    costs.dense_bits(dense, levels, b[genes], t[genes], w, z, told.arrays, out)
    for k in range(2):
        wanted = [
            exact_bits(X[:, [g]], levels + z[:, 0] * w[0, j], b[[g]], t[[g]] + k)[0]
            for j, g in enumerate(genes)
        ]
        np.testing.assert_allclose(out[:, k], wanted, rtol=2e-3)


def test_counts_beyond_the_tables_cost_their_lost_bits_and_an_escape_its_own():
    b, levels = np.array([0]), np.array([16 * 12])
    told = Costs(b, levels, reach=0)
    tried = np.array([[12]])
    near, far = (
        sparse_bits(np.array([[value]]), levels, b, tried, told)[0, 0] for value in (4096, 2**30)
    )
    # Within 2^12 and its spread of an eighth, four bits lost: about log2 of 4 standard deviations.
    assert 9 < near < 13
    assert far > near + 25
