"""What a step computes beside matrix products, as kernels in Triton; `plain` describes each.

Every number is written by one program, in one order: no atomics, the same bits on the same card.
A program's loops are over what is larger than its tile, so that a kernel is compiled once for many
shapes.
"""

from scpress.training.fused.kernels.cells import draw, gather
from scpress.training.fused.kernels.layers import (
    hidden,
    hidden_gradient,
    posterior,
    posterior_gradient,
)
from scpress.training.fused.kernels.likelihood import likelihood, loss
from scpress.training.fused.kernels.optimizer import move

__all__ = [
    "draw",
    "gather",
    "hidden",
    "hidden_gradient",
    "likelihood",
    "loss",
    "move",
    "posterior",
    "posterior_gradient",
]
