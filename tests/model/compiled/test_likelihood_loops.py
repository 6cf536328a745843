"""The compiled likelihood against mpmath, and its gradient against autograd."""

import itertools

import mpmath as mp
import numpy as np
import pytest
import reference
import torch
from scipy import sparse, special, stats

from scpress.model import likelihoods as lk
from scpress.model.compiled import layers, likelihood_loops
from scpress.model.compiled.arithmetic import CHUNKS

COUNTS = (0, 1, 2, 7, 8, 30, 300, 1023, 1024, 20_000)
LOG_MU = (-18.0, -6.0, -1.0, 0.0, 2.1, 5.7, 9.9, 12.0)
LOG_THETA = (lk.LOG_THETA_MIN, -2.0, 0.0, 2.0794415, 4.0, lk.LOG_THETA_MAX)
PI_LOGITS = (-30.0, -3.0, 0.0, 2.0, 30.0)


# No set of genes, and none of any cell.
ALL_MEASURED = (np.ones((0, 1), np.bool_), np.zeros(0, np.int64))


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
        *ALL_MEASURED,
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


def _cells(name, eta, log_theta, theta_row, library, counts, *, softmax=False, pi=None):
    """([cells] log-likelihoods, gradients of their sum by eta, pi and theta) of the kernel."""
    n_cells, n_genes = eta.shape
    rows = sparse.csr_matrix(counts)
    zero = np.zeros(n_genes, np.float32)
    by_eta = eta.copy()
    by_pi = np.zeros((0, 0), np.float32) if pi is None else pi.copy()
    by_cell = np.empty(n_cells)
    sum_eta = np.empty((CHUNKS, n_genes), np.float32)
    sum_theta = np.empty((CHUNKS, len(log_theta), n_genes), np.float32)
    likelihood_loops.log_likelihood(
        layers.KINDS[name],
        by_eta,
        zero,
        by_pi,
        zero,
        log_theta.copy(),
        zero,
        theta_row,
        library,
        rows.indptr.astype(np.int64),
        rows.indices,
        rows.data.astype(np.float32),
        *ALL_MEASURED,
        layers._LOG_FACTORIALS,
        softmax,
        layers._LIMITS,
        True,
        by_cell,
        sum_eta,
        np.empty((CHUNKS if pi is not None else 0, n_genes), np.float32),
        sum_theta,
    )
    np.testing.assert_allclose(sum_eta.sum(axis=0), by_eta.sum(axis=0), rtol=1e-4, atol=1e-4)
    return by_cell, by_eta, by_pi, sum_theta.sum(axis=0)


@pytest.mark.parametrize("density", [0.01, 0.5])  # a table of the thetas, or none
@pytest.mark.parametrize("name", ["poisson", "nb", "zinb"])
def test_every_block_of_genes_and_every_row_of_theta_is_its_own(name, density):
    n_cells, n_genes = 20, 2 * likelihood_loops._BLOCK + 77
    rng = np.random.default_rng(0)
    counts = rng.poisson(3, (n_cells, n_genes)) * (rng.random((n_cells, n_genes)) < density)
    eta = rng.normal(0, 1, (n_cells, n_genes)).astype(np.float32)
    pi = rng.normal(0, 2, (n_cells, n_genes)).astype(np.float32) if name == "zinb" else None
    log_theta = rng.normal(0, 1, (3, n_genes)).astype(np.float32)
    rows = rng.permutation(np.arange(n_cells) % 3)
    library = rng.uniform(0.5, 2, n_cells).astype(np.float32)
    assert (3 * n_genes < np.count_nonzero(counts)) == (density > 0.1)
    by_cell, by_eta, by_pi, by_theta = _cells(name, eta, log_theta, rows, library, counts, pi=pi)

    leaves = [torch.from_numpy(a).double().requires_grad_() for a in (eta, log_theta)]
    logits = None if pi is None else torch.from_numpy(pi).double().requires_grad_()
    log_mu = leaves[0] + torch.log(torch.from_numpy(library).double())[:, None]
    parameters = lk.Parameters(log_mu, leaves[1][rows], logits)
    expected = lk.LIKELIHOODS[name].dense(torch.from_numpy(counts).double(), parameters).sum(dim=1)
    np.testing.assert_allclose(by_cell, expected.detach(), rtol=1e-6)
    expected.sum().backward()
    np.testing.assert_allclose(by_eta, leaves[0].grad, rtol=1e-4, atol=1e-4)
    if name != "poisson":
        np.testing.assert_allclose(by_theta, leaves[1].grad, rtol=1e-4, atol=1e-3)
    if name == "zinb":
        np.testing.assert_allclose(by_pi, logits.grad, rtol=1e-4, atol=1e-5)


def test_where_the_mean_is_clamped_nothing_comes_back():
    eta = np.array([[-40.0, 0.0, 40.0]], np.float32)
    counts = np.array([[1, 2, 0]])
    theta, one = np.zeros((1, 3), np.float32), np.ones(1, np.float32)
    by_cell, by_eta, _, _ = _cells("nb", eta, theta, np.zeros(1, np.int64), one, counts)
    mu = np.exp([lk.LOG_MU_MIN, 0.0, lk.LOG_MU_MAX])
    expected = stats.nbinom.logpmf(counts[0], 1, 1 / (1 + mu)).sum()
    assert by_cell[0] == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(by_eta, [[0, (2 - 1) / (1 + 1), 0]], rtol=1e-5)
