"""Priors by their moments, distances by double loops, and who learns from whose loss."""

import numpy as np
import pytest
import torch
from builders import modelled, untrained
from scipy import stats

from scpress.config.options import TrainOptions
from scpress.model.priors import _SCALES, Discriminator, draw_prior, squared_mmd

SHAPES = ("normal", "mixture", "ball")


def _noise(n_cells, n_latent):
    torch.manual_seed(0)
    return torch.randn(n_cells, n_latent, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_latent", [1, 4])
def test_every_prior_has_mean_0_and_covariance_1(shape, n_latent):
    draws = draw_prior(shape, _noise(40_000, n_latent)).numpy()
    assert np.abs(draws.mean(axis=0)).max() < 0.03
    covariance = np.cov(draws.T).reshape(n_latent, n_latent)
    np.testing.assert_allclose(covariance, np.eye(n_latent), atol=0.03)


def test_a_ball_is_uniform_within_its_radius():
    draws = draw_prior("ball", _noise(4000, 3)).numpy()
    radius = np.linalg.norm(draws, axis=1) / np.sqrt(5)
    # A third of the radius holds a 27th of a ball.
    assert stats.kstest(radius**3, "uniform").pvalue > 0.01
    direction = draws / np.linalg.norm(draws, axis=1, keepdims=True)
    assert stats.kstest(direction[:, 0], "uniform", (-1, 2)).pvalue > 0.01


def test_a_mixture_has_two_parts_on_each_axis():
    draws = draw_prior("mixture", _noise(6000, 3)).numpy()
    far = np.sqrt(0.75 * 3)
    centers = far * np.concatenate([np.eye(3), -np.eye(3)])
    part = np.linalg.norm(draws[:, None] - centers, axis=2).argmin(axis=1)
    assert np.bincount(part).min() > 850
    for i, center in enumerate(centers):
        np.testing.assert_allclose(draws[part == i].mean(axis=0), center, atol=0.15)


def test_the_mmd_is_that_of_double_loops():
    one, other = _noise(7, 3), 0.5 + 2 * _noise(14, 3)[7:]

    def kernel(a, b):
        square = float(((a - b) ** 2).sum())
        return np.mean([6 * s / (6 * s + square) for s in _SCALES])

    pairs = [(i, j) for i in range(7) for j in range(7)]
    within = sum(kernel(x[i], x[j]) for x in (one, other) for i, j in pairs if i != j) / 42
    between = sum(kernel(one[i], other[j]) for i, j in pairs) / 49
    assert float(squared_mmd(one, other)) == pytest.approx(within - 2 * between, rel=1e-10)
    assert float(squared_mmd(one[:1], other[:1])) == 0


def test_the_mmd_of_one_distribution_is_0_on_average_and_of_two_is_not():
    noise = _noise(8000, 5)
    same = [float(squared_mmd(*noise[i : i + 200].chunk(2))) for i in range(0, 8000, 200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(len(same))
    assert float(squared_mmd(noise[:100], 2 + noise[100:200])) > 10 * np.std(same)


def test_each_loss_moves_its_own_side():
    torch.manual_seed(0)
    discriminator = Discriminator(4)
    z = torch.randn(30, 4, requires_grad=True)
    prior = torch.randn(30, 4)
    own, fooled = discriminator.losses(z, prior)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    logits = [discriminator(x).detach() for x in (prior, z)]
    ones, zeros = torch.ones(30), torch.zeros(30)
    torch.testing.assert_close(own, bce(logits[0], ones) + bce(logits[1], zeros))
    torch.testing.assert_close(fooled, bce(logits[1], ones))
    own.backward()
    assert z.grad is None
    assert all(p.grad is not None and p.grad.any() for p in discriminator.parameters())
    for parameter in discriminator.parameters():
        parameter.grad = None
    fooled.backward()
    assert z.grad.any()
    assert all(p.grad is None for p in discriminator.parameters())


@pytest.mark.parametrize("prior", ["mmd", "adversarial"])
def test_the_loss_has_its_prior_with_its_weight(pbmc, prior):
    data = modelled(pbmc).take(np.arange(20))
    options = TrainOptions(preset="wae", prior=prior, prior_weight=3.0, prior_shape="ball")
    model = untrained(data, options)
    cells, network = data.cells_of(model), model.network.eval()
    z = torch.from_numpy(model.encode(cells)[0])
    for is_training in (False, True):
        torch.manual_seed(4)
        network.training = is_training  # of the network alone: its layers stay as they are
        penalty = float(network.loss(cells, kl_weight=0.0).penalty.detach())
        torch.manual_seed(4)
        draws = draw_prior("ball", torch.randn_like(z))
        expected = 3 * squared_mmd(z, draws)
        if is_training and prior == "adversarial":
            own, fooled = network.discriminator.losses(z, draws)
            expected = own + 3 * fooled
        assert penalty == pytest.approx(float(expected.detach()), rel=1e-4, abs=1e-6)
