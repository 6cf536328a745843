"""Clip, Adam and casts of the kernels, against the plain ones."""

import pytest
import torch


@pytest.mark.parametrize("clip_norm", [1.0, 1e9])
def test_weights_move_the_same(both, clip_norm):
    torch.manual_seed(0)
    n = 5000  # more than one program of either pass
    values, gradient, mean = torch.randn(3, n)
    values[4000:] *= 20  # theta, beyond its range
    square, halves = torch.rand(n), torch.zeros(300, dtype=torch.bfloat16)
    options = {
        "clip_norm": clip_norm,
        "betas": (0.9, 0.999),
        "epsilon": 0.03,
        "weight_decay": 0.1,
        "decayed": 3000,
        "clamped": (4000, n),
    }
    for step in (0.0, 5000.0):
        ours = both(
            *("move", values, gradient, mean, square, torch.tensor(step), torch.tensor(0.1)),
            *(torch.zeros(16), halves),
            skip={6, 7},
            **options,
        )
        torch.testing.assert_close(ours[7].float(), ours[0][:300], rtol=1e-2, atol=0)


def test_a_gradient_that_is_not_a_number_reaches_all_weights(kernels):
    values, gradient, mean, square = torch.ones(4, 100)
    gradient[3] = float("nan")
    kernels.move(
        *(values, gradient, mean, square, torch.zeros(()), torch.tensor(0.1), torch.zeros(16)),
        torch.zeros(0, dtype=torch.bfloat16),
        clip_norm=1.0,
        betas=(0.9, 0.999),
        epsilon=0.03,
        weight_decay=0.0,
        decayed=0,
        clamped=(0, 0),
    )
    assert torch.isnan(values).all()
