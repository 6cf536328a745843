"""What is chosen for a file's counts."""

import numpy as np
import pytest
from scipy import sparse

from scpress.archive import survey
from scpress.archive.fit import fit_parameters
from scpress.archive.numpy_reader import ABSENT, Parameters


def fitted(X, n_block=100, **words):
    X = sparse.csr_matrix(X)
    blocks = lambda: (X[at : at + n_block] for at in range(0, X.shape[0], n_block))  # noqa: E731
    made = fit_parameters(blocks, X.shape, latent=words.get("latent"), seed=0)
    return made, Parameters(made.packed, X.shape[1])


def test_levels_are_all_that_occur():
    X = np.zeros((50, 3), int)
    X[:, 0] = np.arange(50) + 1
    X[0] = 0
    p = fitted(X)[1]
    wanted = np.unique(np.rint(16 * np.log2(np.maximum(X.sum(axis=1), 1))))
    np.testing.assert_array_equal(p.tables[0][0], wanted)


@pytest.mark.parametrize("theta", [0.25, 1, 4])
def test_theta_is_found(theta):
    rng = np.random.default_rng(0)
    X = rng.negative_binomial(theta, theta / (theta + 3.0), (3000, 40))
    p = fitted(X)[1]
    assert abs(np.median(p.t) - (np.log2(theta) + 6)) <= 0.5


def test_poisson_counts_are_poisson():
    rng = np.random.default_rng(0)
    X = rng.poisson(rng.gamma(1, 2, 60), (1500, 60))
    made, p = fitted(X)
    # Dispersions of 2^6 and more are as good.
    assert np.median(p.t) >= 12
    assert made.story["rungs"]["poisson"] < 1.01 * made.story["rungs"]["negative binomial"]


def test_a_part_of_many_cells_is_as_good_as_all(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.negative_binomial(2, 2 / (2 + rng.gamma(1, 2, 50)), (2000, 50))
    whole = fitted(X)[0].story["rungs"]["negative binomial"]
    monkeypatch.setattr(survey, "_SAMPLE_CELLS", 500)
    part = fitted(X)[0].story["rungs"]["negative binomial"]
    assert part == pytest.approx(whole, rel=0.02)
    monkeypatch.setattr(survey, "_SAMPLE_NONZEROS", 10_000)
    fewer = fitted(X)[0].story["rungs"]["negative binomial"]
    assert fewer == pytest.approx(whole, rel=0.03)


def test_the_order_of_the_cells_changes_nothing_but_the_sample():
    rng = np.random.default_rng(0)
    X = rng.negative_binomial(2, 0.5, (300, 30))
    made, p = fitted(X)
    again, _ = fitted(X, n_block=37)
    assert made.packed == again.packed
    other = fitted(X[::-1])[1]
    np.testing.assert_array_equal(p.b, other.b)


def test_where_nothing_was_counted_there_are_no_parameters():
    for shape in ((0, 0), (0, 4), (4, 0), (30, 4)):
        made, p = fitted(np.zeros(shape, int))
        assert (p.b == ABSENT).all()
        assert made.story == {}
