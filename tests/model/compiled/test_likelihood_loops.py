"""The compiled likelihood against mpmath, and its gradient against autograd."""

import itertools

import mpmath as mp
import numpy as np
import pytest
import reference
from scipy import sparse, special

from scpress.model import likelihoods as lk
from scpress.model.compiled import layers, likelihood_loops

COUNTS = (0, 1, 2, 7, 8, 30, 300, 1023, 1024, 20_000)
LOG_MU = (-18.0, -6.0, -1.0, 0.0, 2.1, 5.7, 9.9, 12.0)
LOG_THETA = (lk.LOG_THETA_MIN, -2.0, 0.0, 2.0794415, 4.0, lk.LOG_THETA_MAX)
PI_LOGITS = (-30.0, -3.0, 0.0, 2.0, 30.0)


def _by_kernel(name, x, log_mu, log_theta, pi_logits):
    """The kernel on cells of one gene each: what it says of single entries."""
    n = len(x)
    shape = {"poisson": (0, 0), "nb": (0, 0), "zinb": (n, 1)}[name]
    pi = np.zeros(shape, np.float32) if name != "zinb" else pi_logits[:, None].copy()
    rows = sparse.csr_matrix(x[:, None])
    by_cell = np.empty(n)
    zero = np.zeros(1, np.float32)
    likelihood_loops.log_likelihood(
        layers.KINDS[name],
        log_mu[:, None].copy(),
        zero,
        pi,
        zero,
        log_theta[:, None].copy(),
        zero,
        np.zeros(0, np.int64),
        np.ones(n, np.float32),
        rows.indptr.astype(np.int64),
        rows.indices,
        rows.data.astype(np.float32),
        layers._LOG_FACTORIALS,
        False,
        layers._LIMITS,
        False,
        by_cell,
        np.empty((0, 1), np.float32),
        np.empty((0, 1), np.float32),
        np.empty((0, 1, 1), np.float32),
    )
    return by_cell


@pytest.mark.parametrize("name", ["poisson", "nb", "zinb"])
def test_the_likelihood_matches_mpmath(name):
    axes = {"poisson": (), "nb": (LOG_THETA,), "zinb": (LOG_THETA, PI_LOGITS)}[name]
    grid = np.array(list(itertools.product(COUNTS, LOG_MU, *axes))).astype(np.float32).T
    x, log_mu, *rest = grid
    log_theta, pi_logits = (*rest, *([np.zeros_like(x)] * 2))[:2]
    ours = _by_kernel(name, x.astype(np.int64), log_mu, log_theta, pi_logits)
    witness = getattr(reference, name)
    truth = np.array(
        [
            float(witness(int(a), *(mp.mpf(float(v)) for v in b)))
            for a, *b in zip(x, log_mu, *rest, strict=True)
        ]
    )
    # mu and theta are float32 exponentials: their relative error, 1e-7, moves l by its derivatives.
    slack = 2e-7 * np.abs(x.astype(np.float64) - np.exp(log_mu.astype(np.float64)))
    error = np.abs(ours - truth)
    allowed = 1e-5 * np.maximum(1, np.abs(truth)) + slack
    worst = np.argmax(error - allowed)
    assert np.all(error <= allowed), (grid[:, worst], truth[worst], ours[worst])


def test_log_factorials_go_on_beyond_their_table():
    x = np.array([0.0, 1023.0, 1024.0, 2e4])
    ours = [likelihood_loops._log_factorial(v, layers._LOG_FACTORIALS) for v in x]
    np.testing.assert_allclose(ours, special.gammaln(x + 1), rtol=1e-13)
