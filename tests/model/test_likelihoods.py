"""How probable counts are: against mpmath, scvi-tools and each other."""

import dataclasses
import itertools

import mpmath as mp
import numpy as np
import pytest
import reference
import torch
from scipy import sparse, stats

from scpress.model import likelihoods as lk
from scpress.model.batches import sparse_batch

COUNTS = (0, 1, 2, 3, 7, 8, 9, 30, 300, 4000, 20_000)
LOG_MU = (-18.0, -6.0, -1.0, 0.0, 0.7, 2.1, 5.7, 8.3, 9.9, 12.0)
LOG_THETA = (lk.LOG_THETA_MIN, -2.0, 0.0, 1.0, 2.0794415, 4.0, lk.LOG_THETA_MAX)
PI_LOGITS = (-30.0, -3.0, 0.0, 2.0, 30.0)


def _grid(*axes):
    grid = np.array(list(itertools.product(*axes)))
    # The witness gets the very numbers float32 holds.
    return grid.astype(np.float32).astype(np.float64).T


@pytest.mark.parametrize("name", ["poisson", "nb", "zinb", "bernoulli", "gaussian", "laplace"])
def test_matches_mpmath_in_both_precisions(name):
    of_log_values = not lk.LIKELIHOODS[name].on_counts
    if of_log_values:
        x, *rest = _grid((0.0, 0.1, 1.0, 7.5), (-2.0, 0.0, 0.5, 8.0), (-3.0, 0.0, 4.0))
    else:
        axes = {"nb": (LOG_THETA,), "zinb": (LOG_THETA, PI_LOGITS)}.get(name, ())
        x, *rest = _grid(COUNTS, LOG_MU, *axes)
    witness = getattr(reference, name)
    counts = x if of_log_values else x.astype(int)
    truth = np.array(
        [
            float(witness(mp.mpf(float(a)), *map(mp.mpf, b)))
            for a, *b in zip(counts, *rest, strict=True)
        ]
    )
    for dtype, relative in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        tensors = [torch.tensor(v, dtype=dtype) for v in rest]
        ours = lk.LIKELIHOODS[name].dense(torch.tensor(x, dtype=dtype), lk.Parameters(*tensors))
        error = np.abs(ours.double().numpy() - truth)
        scale = np.abs(truth) if dtype is torch.float64 else np.maximum(1, np.abs(truth))
        floor = 1e-13 if dtype is torch.float64 else 0  # l = -1e-15 has no digits beside 1
        worst = np.argmax(error - relative * scale)
        assert np.all(error <= relative * scale + floor), (
            dtype,
            x[worst],
            [v[worst] for v in rest],
            truth[worst],
            ours[worst],
        )


@pytest.mark.parametrize("name", ["poisson", "nb", "zinb", "bernoulli"])
def test_gradients_are_finite_in_float32(name):
    x, *rest = _grid(COUNTS, LOG_MU, LOG_THETA, PI_LOGITS)
    likelihood = lk.LIKELIHOODS[name]
    tensors = [torch.tensor(v, dtype=torch.float32, requires_grad=True) for v in rest]
    log_probability = likelihood.dense(
        torch.tensor(x, dtype=torch.float32), lk.Parameters(*tensors)
    )
    log_probability.sum().backward()
    assert torch.isfinite(log_probability).all()
    used = 1 + likelihood.has_theta + likelihood.has_pi
    assert all(torch.isfinite(t.grad).all() for t in tensors[:used])


@pytest.mark.parametrize("name", ["zinb", "nb"])
def test_agrees_with_scvi_tools_where_its_epsilon_is_harmless(name):
    from scvi.distributions import NegativeBinomial, ZeroInflatedNegativeBinomial

    generator = torch.Generator().manual_seed(0)
    x = torch.poisson(torch.full((500,), 3.0), generator=generator)
    log_mu = torch.empty(500).uniform_(-4, 6, generator=generator)
    log_theta = torch.empty(500).uniform_(-2, 4, generator=generator)
    logits = torch.empty(500).uniform_(-4, 4, generator=generator)
    mu, theta = log_mu.exp(), log_theta.exp()
    theirs = (
        (
            ZeroInflatedNegativeBinomial(mu=mu, theta=theta, zi_logits=logits)
            if name == "zinb"
            else NegativeBinomial(mu=mu, theta=theta)
        )
        .log_prob(x)
        .squeeze(0)
    )
    ours = lk.LIKELIHOODS[name].dense(x, lk.Parameters(log_mu, log_theta, logits))
    torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "name", ["poisson", "nb", "zinb", "bernoulli", "gaussian", "laplace", "multinomial"]
)
@pytest.mark.parametrize("theta_shape", ["gene", "cell"])
@pytest.mark.parametrize("rows_at_a_time", [1, 2, 100])
def test_sparse_split_equals_the_dense_sum_and_its_gradient(
    name, theta_shape, rows_at_a_time, monkeypatch
):
    monkeypatch.setattr(lk, "_CACHED_ENTRIES", 40 * rows_at_a_time)
    generator = torch.Generator().manual_seed(1)
    x = torch.poisson(torch.full((5, 40), 0.4), generator=generator).double()
    x[2] = 0  # a cell without a nonzero
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    leaves = [draw(5, 40), draw(40) if theta_shape == "gene" else draw(5, 40), draw(5, 40)]
    parameters = lk.Parameters(*(leaf.requires_grad_() for leaf in leaves))
    rows, columns = torch.nonzero(x, as_tuple=True)
    pointers = torch.cat([torch.zeros(1, dtype=torch.int64), (x > 0).sum(1).cumsum(0)])
    batch = lk.SparseBatch(pointers, columns.int(), x[rows, columns], 40)
    assert torch.equal(batch.rows, rows)
    assert torch.equal(batch.dense(), x)
    used = leaves[: 1 + lk.LIKELIHOODS[name].has_theta + lk.LIKELIHOODS[name].has_pi]
    split = lk.sum_log_likelihood(name, parameters, batch)
    dense = lk.LIKELIHOODS[name].dense(x, parameters).sum(1)
    if name == "multinomial":
        dense = dense + lk.LIKELIHOODS[name].of_total(x.sum(1))
    torch.testing.assert_close(split, dense)
    if name not in ("nb", "zinb"):
        torch.testing.assert_close(lk.sum_log_likelihood(name, parameters, lk.DenseBatch(x)), dense)
    for ours, theirs in zip(
        torch.autograd.grad(split.sum(), used), torch.autograd.grad(dense.sum(), used), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_multinomial_is_scipys():
    generator = np.random.default_rng(0)
    share = generator.dirichlet(np.ones(30), size=4)
    totals = np.array([0, 1, 300, 4000])
    x = np.array([generator.multinomial(n, p) for n, p in zip(totals, share, strict=True)])
    expected = stats.multinomial.logpmf(x, totals, share)
    for dtype, limit in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        batch = sparse_batch(sparse.csr_matrix(x))
        batch = dataclasses.replace(batch, values=batch.values.to(dtype))
        mu = torch.tensor(np.maximum(totals, 1)[:, None] * share, dtype=dtype)
        found = lk.sum_log_likelihood("multinomial", lk.Parameters(torch.log(mu)), batch)
        np.testing.assert_allclose(found, expected, rtol=limit, atol=50 * limit)


def test_errors_of_log_values_are_torchs_losses():
    generator = torch.Generator().manual_seed(0)
    x, center = torch.rand(2, 50, generator=generator)
    p = lk.Parameters(center, torch.zeros(50))
    functional = torch.nn.functional
    squared = -2 * (lk.log_gaussian(x, p) + 0.5 * np.log(2 * np.pi))
    torch.testing.assert_close(squared.mean(), functional.mse_loss(x, center))
    absolute = -(lk.log_laplace(x, p) + np.log(2))
    torch.testing.assert_close(absolute.mean(), functional.l1_loss(x, center))
    p = lk.Parameters(torch.log(3 * x))
    presence = (center > 0.5).float()
    torch.testing.assert_close(
        -lk.log_bernoulli(presence, p).mean(),
        functional.binary_cross_entropy(1 - torch.exp(-3 * x), presence),
    )
    distribution = torch.distributions.Laplace(center, 0.3)
    p = lk.Parameters(center, torch.full((50,), -np.log(0.3)))
    torch.testing.assert_close(lk.log_laplace(x, p), distribution.log_prob(x))


def test_zinb_without_extra_zeros_is_nb():
    x = torch.arange(20.0)
    p = lk.Parameters(torch.full((20,), 1.0), torch.full((20,), 0.5), torch.full((20,), -30.0))
    torch.testing.assert_close(lk.log_zinb(x, p), lk.log_nb(x, p))


def test_nb_with_large_theta_is_poisson():
    x = torch.arange(20.0, dtype=torch.float64)
    log_mu = torch.full((20,), 1.0, dtype=torch.float64)
    p = lk.Parameters(log_mu, torch.full((20,), lk.LOG_THETA_MAX, dtype=torch.float64))
    torch.testing.assert_close(lk.log_nb(x, p), lk.log_poisson(x, p), atol=2e-2, rtol=0)


@pytest.mark.parametrize("name", ["zinb", "nb"])
@pytest.mark.parametrize("theta_shape", ["gene", "cell"])
def test_the_dense_terms_are_autograds(name, theta_shape):
    generator = torch.Generator().manual_seed(1)
    x = torch.poisson(torch.full((5, 40), 0.4), generator=generator).double() * 3
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    leaves = [draw(5, 40), draw(1, 40) if theta_shape == "gene" else draw(5, 40), draw(5, 40)]
    used = [leaf.requires_grad_() for leaf in leaves[: 2 + (name == "zinb")]]
    ours = lk.sum_log_likelihood(name, lk.Parameters(*used), lk.DenseBatch(x))
    plain = lk.LIKELIHOODS[name].dense(x, lk.Parameters(*used)).sum(1)
    torch.testing.assert_close(ours, plain)
    for one, two in zip(
        torch.autograd.grad(ours.sum(), used), torch.autograd.grad(plain.sum(), used), strict=True
    ):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("name", ["poisson", "nb", "zinb"])
def test_probabilities_of_all_counts_add_up_to_one(name):
    x = torch.arange(3000, dtype=torch.float64)
    for log_mu, log_theta, logit in itertools.product((-2.0, 1.0, 3.0), (-0.5, 2.0), (-3.0, 1.0)):
        parameters = [torch.full_like(x, value) for value in (log_mu, log_theta, logit)]
        density = lk.LIKELIHOODS[name].dense(x, lk.Parameters(*parameters)).exp()
        assert float(density.sum()) == pytest.approx(1, abs=1e-9)
        mean = np.exp(log_mu) / (1 + np.exp(logit) if name == "zinb" else 1)
        assert float((x * density).sum()) == pytest.approx(mean, rel=1e-6)


def test_parameters_of_single_entries_are_those_of_their_row_and_gene():
    rows, columns = torch.tensor([0, 2, 2]), torch.tensor([3, 0, 3])
    by_cell, by_gene = torch.arange(12.0).reshape(3, 4), torch.arange(4.0) + 100
    found = lk.Parameters(by_cell, by_gene, by_gene[None, :]).at(rows, columns)
    assert [one.tolist() for one in found] == [[3, 8, 11], [103, 100, 103], [103, 100, 103]]
    assert lk.Parameters(by_cell).at(rows, columns)[1:] == (None, None)


@pytest.mark.parametrize("name", ["poisson", "gaussian", "nb", "zinb"])
def test_a_dense_batch_is_as_likely_as_a_sparse_one(name):
    generator = torch.Generator().manual_seed(2)
    x = torch.poisson(torch.full((6, 30), 0.7), generator=generator).double()
    draws = [torch.randn(6, 30, generator=generator, dtype=torch.float64) for _ in range(3)]
    parameters = lk.Parameters(*draws)
    batch = sparse_batch(sparse.csr_matrix(x.numpy()))
    batch = dataclasses.replace(batch, values=batch.values.double())
    torch.testing.assert_close(
        lk.sum_log_likelihood(name, parameters, lk.DenseBatch(x)),
        lk.sum_log_likelihood(name, parameters, batch),
    )
