"""Draws and gathered cells of the kernels, against the plain ones."""

import pytest
import torch

from scpress.training.fused.plain import Csr


def test_draws_are_the_same_bits_of_dropout_and_the_same_noise(both):
    seeds = torch.tensor([3, 2**32 - 1])
    kept, noise = torch.zeros(2, 7, 9), torch.zeros(2, 7, 5)
    both("draw", seeds, kept, noise, 0.3, rtol=1e-5, atol=2e-6)
    ours = both("draw", seeds, kept, noise[:, :, :0], 0.3)
    assert 0 < int((ours[1] == 0).sum()) < kept.numel()


@pytest.mark.parametrize("is_scaled", [True, False])
def test_gathered_cells_are_the_same(both, is_scaled):
    csr = Csr(
        torch.tensor([0, 0, 3, 4]),
        torch.tensor([0, 2, 5, 6], dtype=torch.int32),
        torch.tensor([1.0, 200.0, 3.0, 9.0]),
        3,
    )
    rows, size_factor = torch.tensor([4, 2, 0]), torch.linspace(0.5, 2, 5)
    moments = (torch.linspace(0, 1, 7), torch.linspace(1, 2, 7)) if is_scaled else None
    counts, total, size = torch.full((3, 7), 5.0), torch.zeros(3), torch.zeros(3)
    inputs = torch.full((3, 9), 7.0)[:, :7]  # what stands behind is not written to
    csr_rows = torch.tensor([2, 0, 1])
    ours = both("gather", csr, csr_rows, size_factor, rows, moments, counts, inputs, total, size)
    assert ours[5].tolist()[2] == [1, 0, 200, 0, 0, 3, 0]
