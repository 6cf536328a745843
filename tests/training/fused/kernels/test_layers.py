"""Hidden layers and the latent of the kernels, against the plain ones."""

import pytest
import torch

from scpress.training.fused.plain import Norm


def _norm(width):
    spread = torch.linspace(0.5, 2, width)
    seen = torch.tensor(4)
    return Norm(spread, 1 - spread, torch.ones(width), spread + 1, seen, 1e-3, 0.01)


# More cells than a program holds at a time, and units of a program that are not there.
@pytest.mark.parametrize("n_cells", [7, 150])
@pytest.mark.parametrize("is_dropped", [True, False])
def test_a_hidden_layer_and_its_gradient_are_the_same(both, n_cells, is_dropped):
    torch.manual_seed(0)
    x, gradient = 2 + 3 * torch.randn(2, n_cells, 11)
    scale = 1 / 0.7 if is_dropped else 1.0
    kept = (torch.rand(n_cells, 20) < 0.7)[:, 4:15] * scale if is_dropped else None
    out, norm = torch.zeros(n_cells, 13)[:, :11], _norm(11)
    ours = both("hidden", x, torch.randn(11), norm, kept, out, torch.zeros(11))
    assert int(ours[2].n_batches) == 5
    x, out, inverse = (ours[i].cpu() for i in (0, 4, 5))
    to = torch.zeros(3, 11)
    both(
        *("hidden_gradient", gradient, out, norm, scale, inverse, x, *to),
        rtol=1e-4,
        atol=1e-4,  # of sums of n_cells values
    )


def test_what_is_not_a_number_passes_a_hidden_layer(kernels):
    x = torch.randn(5, 4)
    x[2, 1] = float("nan")
    out = torch.zeros(5, 4)
    kernels.hidden(x, torch.zeros(4), _norm(4), None, out, torch.zeros(4))
    assert torch.isnan(out[:, 1]).all()
    assert torch.isfinite(out[:, [0, 2, 3]]).all()


@pytest.mark.parametrize("n_cells", [7, 150])
def test_the_latent_and_its_gradient_are_the_same(both, n_cells):
    torch.manual_seed(0)
    moments, noise = torch.randn(n_cells, 10), torch.randn(n_cells, 5)
    z, kl = torch.zeros(n_cells, 8)[:, :5], torch.zeros(n_cells)
    both("posterior", moments, noise, 1e-4, z, kl)
    by_z, to = torch.randn(n_cells, 9)[:, :5], torch.zeros(n_cells, 10)
    weight = torch.tensor(0.7)
    both("posterior_gradient", by_z, moments, noise, weight, 1e-4, to, torch.zeros(10), atol=1e-5)
    both(
        "posterior_gradient",
        by_z.bfloat16(),
        moments,
        noise,
        weight,
        1e-4,
        to,
        torch.zeros(10),
        atol=1e-5,
    )
