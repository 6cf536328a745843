"""Clip, Adam and casts over the memory of all weights."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

import math

import triton
import triton.language as tl
from torch import Tensor

from scpress.model import likelihoods as lk
from scpress.training.fused.kernels.arithmetic import clamp

_LOG_THETA_MIN = tl.constexpr(lk.LOG_THETA_MIN)
_LOG_THETA_MAX = tl.constexpr(lk.LOG_THETA_MAX)


@triton.jit
def _square_sums(gradient, parts, step, n, n_each, BLOCK: tl.constexpr):
    start = tl.program_id(0) * n_each
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(0, n_each, BLOCK):
        at = start + first + tl.arange(0, BLOCK)
        inside = (first + tl.arange(0, BLOCK) < n_each) & (at < n)
        g = tl.load(gradient + at, mask=inside, other=0.0)
        total += g * g
    tl.store(parts + tl.program_id(0), tl.sum(total, axis=0))
    if tl.program_id(0) == 0:
        tl.store(step, tl.load(step) + 1)


@triton.jit
def _move(
    values,
    gradient,
    mean,
    square,
    step,
    rate,
    parts,
    halves,
    n,
    n_parts,
    n_halves,
    n_decayed,
    first_clamped,
    last_clamped,
    clip_norm,
    beta1,
    beta2,
    log_beta1,
    log_beta2,
    epsilon,
    weight_decay,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    part = tl.arange(0, PARTS)
    norm = tl.sqrt(tl.sum(tl.load(parts + part, mask=part < n_parts, other=0.0), axis=0))
    # Written so that a norm which is not a number reaches all weights, as in plain torch.
    scale = tl.where(norm <= clip_norm, 1.0, clip_norm / norm)
    # 1 - beta^step cancels at first: float64.
    count = tl.load(step).to(tl.float64)
    first = (1.0 - tl.exp(count * log_beta1)).to(tl.float32)
    second = tl.sqrt((1.0 - tl.exp(count * log_beta2)).to(tl.float32))
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    p = tl.load(values + at, mask=inside, other=0.0)
    g = tl.load(gradient + at, mask=inside, other=0.0) * scale
    g += tl.where(at < n_decayed, weight_decay, 0.0) * p
    m = tl.load(mean + at, mask=inside, other=0.0)
    v = tl.load(square + at, mask=inside, other=0.0)
    m += (1.0 - beta1) * (g - m)
    v = beta2 * v + (1.0 - beta2) * g * g
    p -= tl.load(rate) / first * m / (tl.sqrt(v) / second + epsilon)
    is_clamped = (at >= first_clamped) & (at < last_clamped)
    p = tl.where(is_clamped, clamp(p, _LOG_THETA_MIN, _LOG_THETA_MAX), p)
    tl.store(values + at, p, mask=inside)
    tl.store(mean + at, m, mask=inside)
    tl.store(square + at, v, mask=inside)
    tl.store(halves + at, p.to(tl.bfloat16), mask=at < n_halves)


def move(
    values: Tensor,
    gradient: Tensor,
    mean: Tensor,
    square: Tensor,
    step: Tensor,
    rate: Tensor,
    parts: Tensor,
    halves: Tensor,
    *,
    clip_norm: float,
    betas: tuple[float, float],
    epsilon: float,
    weight_decay: float,
    decayed: int,
    clamped: tuple[int, int],
) -> None:
    """As `plain.move`."""
    n, block = len(values), 1024
    n_parts = min(len(parts), triton.cdiv(n, 4 * block))
    n_each = triton.cdiv(n, n_parts)
    _square_sums[(n_parts,)](gradient, parts, step, n, n_each, BLOCK=block)
    logs = [math.log(beta) for beta in betas]
    _move[(triton.cdiv(n, block),)](
        *(values, gradient, mean, square, step, rate, parts, halves),
        *(n, n_parts, len(halves), decayed, *clamped, clip_norm, *betas, *logs),
        *(epsilon, weight_decay),
        PARTS=triton.next_power_of_2(len(parts)),
        BLOCK=block,
    )
