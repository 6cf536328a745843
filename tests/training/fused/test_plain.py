"""The plain operations of a step: random numbers, and what torch itself computes."""

import numpy as np
import pytest
import torch
from scipy import stats

from scpress.training.fused import plain


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        # Known answers of the authors' own library, Random123.
        ((0,) * 4, (0,) * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_known_answers(counter, key, expected):
    words = plain.philox(tuple(torch.tensor(one) for one in counter), key)
    assert [f"{int(one):08x}" for one in words] == expected.split()


def test_draws_are_dropout_and_normal_noise_of_step_and_seed():
    seeds = torch.tensor([3, 4, 3])
    kept, noise = torch.empty(3, 50, 33), torch.empty(3, 50, 31)
    plain.draw(seeds, kept, noise, 0.3)
    for drawn in (kept, noise):
        assert torch.equal(drawn[0], drawn[2])
        assert not torch.equal(drawn[0], drawn[1])
    assert set(kept.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.7))}
    assert stats.binomtest(int((kept[:2] > 0).sum()), kept[:2].numel(), 0.7).pvalue > 0.01
    values = noise[:2].flatten().numpy()
    assert stats.kstest(values, "norm").pvalue > 0.01
    # Neighbours are independent, also the two of one pair.
    assert stats.pearsonr(values[:-1:2], values[1::2]).pvalue > 0.01
    assert stats.pearsonr(values[:-1], values[1:]).pvalue > 0.01
    # The two kinds of draws do not share their words: those of a pair's radius are every other one.
    radius = noise[0].flatten()[::2] ** 2 + noise[0].flatten()[1::2] ** 2
    is_kept = kept[0].flatten()[: 2 * len(radius) : 2]
    assert abs(np.corrcoef(is_kept, radius)[0, 1]) < 0.15


def test_padding_of_short_rows_adds_nothing():
    csr = plain.Csr(
        torch.tensor([0, 0, 2, 3]),
        torch.tensor([1, 2, 0], dtype=torch.int32),
        torch.tensor([5.0, 6.0, 7.0]),
        2,
    )
    columns, values = plain.padded(csr, torch.tensor([2, 0, 1]), 3)
    dense = torch.zeros(3, 3).scatter_add_(1, columns, values)
    assert dense.tolist() == [[7, 0, 0], [0, 0, 0], [0, 5, 6]]


def test_a_step_is_adams_clipped_decayed_and_projected():
    torch.manual_seed(0)
    start, gradients = torch.randn(10), torch.randn(3, 10)
    values, mean, square, step = start.clone(), *torch.zeros(2, 10), torch.zeros(())
    rate, halves = torch.tensor(0.1), torch.zeros(4, dtype=torch.bfloat16)
    theirs = [start[:6].clone().requires_grad_(), start[6:].clone().requires_grad_()]
    groups = [
        {"params": theirs[:1], "weight_decay": 0.3},
        {"params": theirs[1:], "weight_decay": 0.0},
    ]
    adam = torch.optim.Adam(groups, lr=0.1, eps=0.03)
    for gradient in gradients:
        plain.move(
            *(values, gradient, mean, square, step, rate, torch.zeros(1), halves),
            clip_norm=1.5,
            betas=(0.9, 0.999),
            epsilon=0.03,
            weight_decay=0.3,
            decayed=6,
            clamped=(0, 0),
        )
        for one, part in zip(theirs, gradient.split([6, 4]), strict=True):
            one.grad = part.clone()
        torch.nn.utils.clip_grad_norm_(theirs, 1.5)
        adam.step()
    torch.testing.assert_close(values, torch.cat(theirs).detach())
    assert float(step) == 3
    assert torch.equal(halves, values[:4].bfloat16())
