"""Draws, KL and their gradients against torch in float64."""

import numpy as np
import pytest
import torch

from scpress.model.compiled import posterior_loops
from scpress.model.network import kl_to_standard_normal


def test_the_posterior_is_the_plain_one():
    torch.manual_seed(0)
    mean, log_variance, noise, by_z = torch.randn(4, 30, 10)
    log_variance *= 4
    z, variance, by_mean, by_log_variance = np.empty((4, 30, 10), np.float32)
    floor = np.float32(1e-4)
    m, v, e, g = (one.numpy() for one in (mean, log_variance, noise, by_z))
    kl = posterior_loops.posterior(m, v, e, floor, z, variance)
    posterior_loops.posterior_gradient(
        g, np.float32(0.7), m, variance, e, floor, by_mean, by_log_variance
    )

    m, v = mean.double().requires_grad_(), log_variance.double().requires_grad_()
    sd = torch.sqrt(torch.exp(v) + 1e-4)
    drawn, divergence = m + sd * noise, kl_to_standard_normal(m, sd).sum()
    ((drawn * by_z).sum() + 0.7 * divergence).backward()
    assert kl == pytest.approx(divergence.item(), rel=1e-5)
    for ours, theirs in ((z, drawn), (by_mean, m.grad), (by_log_variance, v.grad)):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-5)
