"""Hidden layers and the latent, forward and backward."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

import triton
import triton.language as tl
from torch import Tensor

from scpress.training.fused.plain import Norm

# The tile of a program: all cells of a few units, a few at a time.
_ROWS, _UNITS = 128, 8


@triton.jit
def _hidden(
    x,
    bias,
    gain,
    shift,
    running_mean,
    running_variance,
    n_batches,
    kept,
    out,
    inverse,
    n_cells,
    width,
    kept_stride,
    out_stride,
    epsilon,
    momentum,
    IS_DROPPED: tl.constexpr,
    ROWS: tl.constexpr,
    UNITS: tl.constexpr,
):
    unit = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    known = unit < width
    b = tl.load(bias + unit, mask=known, other=0.0)
    total = tl.zeros([UNITS], tl.float32)
    for first in range(0, n_cells, ROWS):
        cell = first + tl.arange(0, ROWS)
        inside = (cell < n_cells)[:, None] & known[None, :]
        h = tl.load(x + cell[:, None] * width + unit[None, :], mask=inside, other=0.0)
        total += tl.sum(h, axis=0)
    # The bias moves the mean and nothing else.
    mean = total / n_cells
    total = tl.zeros([UNITS], tl.float32)
    for first in range(0, n_cells, ROWS):
        cell = first + tl.arange(0, ROWS)
        inside = (cell < n_cells)[:, None] & known[None, :]
        h = tl.load(x + cell[:, None] * width + unit[None, :], mask=inside, other=0.0)
        d = tl.where(inside, h - mean[None, :], 0.0)
        total += tl.sum(d * d, axis=0)
    variance = total / n_cells
    scale = 1.0 / tl.sqrt(variance + epsilon)
    tl.store(inverse + unit, scale, mask=known)
    old = tl.load(running_mean + unit, mask=known, other=0.0)
    tl.store(running_mean + unit, old + momentum * (mean + b - old), mask=known)
    old = tl.load(running_variance + unit, mask=known, other=0.0)
    unbiased = total / tl.maximum(n_cells - 1, 1)
    tl.store(running_variance + unit, old + momentum * (unbiased - old), mask=known)
    if tl.program_id(0) == 0:
        tl.store(n_batches, tl.load(n_batches) + 1)
    g = tl.load(gain + unit, mask=known, other=0.0)
    s = tl.load(shift + unit, mask=known, other=0.0)
    for first in range(0, n_cells, ROWS):
        cell = first + tl.arange(0, ROWS)
        inside = (cell < n_cells)[:, None] & known[None, :]
        place = x + cell[:, None] * width + unit[None, :]
        h = (tl.load(place, mask=inside, other=0.0) - mean[None, :]) * scale[None, :]
        tl.store(place, h, mask=inside)
        value = h * g[None, :] + s[None, :]
        # Not maximum(): it would turn what is not a number into 0.
        value = tl.where(value <= 0, 0.0, value)
        if IS_DROPPED:
            of_kept = kept + cell[:, None] * kept_stride + unit[None, :]
            value *= tl.load(of_kept, mask=inside, other=0.0)
        tl.store(out + cell[:, None] * out_stride + unit[None, :], value, mask=inside)


def hidden(
    x: Tensor, bias: Tensor, norm: Norm, kept: Tensor | None, out: Tensor, inverse: Tensor
) -> None:
    """As `plain.hidden`."""
    n_cells, width = x.shape
    of_kept = x if kept is None else kept
    _hidden[(triton.cdiv(width, _UNITS),)](
        *(x, bias, norm.gain, norm.shift, norm.running_mean, norm.running_variance),
        *(norm.n_batches, of_kept, out, inverse),
        *(n_cells, width, of_kept.stride(0), out.stride(0), norm.epsilon, norm.momentum),
        IS_DROPPED=kept is not None,
        ROWS=_ROWS,
        UNITS=_UNITS,
    )


@triton.jit
def _hidden_gradient(
    gradient,
    out,
    gain,
    inverse,
    x,
    by_gain,
    by_shift,
    by_bias,
    n_cells,
    width,
    gradient_stride,
    out_stride,
    scale,
    ROWS: tl.constexpr,
    UNITS: tl.constexpr,
):
    unit = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    known = unit < width
    of_shift, of_gain = tl.zeros([UNITS], tl.float32), tl.zeros([UNITS], tl.float32)
    for first in range(0, n_cells, ROWS):
        cell = first + tl.arange(0, ROWS)
        inside = (cell < n_cells)[:, None] & known[None, :]
        g = tl.load(gradient + cell[:, None] * gradient_stride + unit[None, :], mask=inside)
        o = tl.load(out + cell[:, None] * out_stride + unit[None, :], mask=inside, other=0.0)
        h = tl.load(x + cell[:, None] * width + unit[None, :], mask=inside, other=0.0)
        g = tl.where(inside & (o > 0), g.to(tl.float32) * scale, 0.0)
        of_shift += tl.sum(g, axis=0)
        of_gain += tl.sum(g * h, axis=0)
    tl.store(by_shift + unit, of_shift, mask=known)
    tl.store(by_gain + unit, of_gain, mask=known)
    factor = tl.load(gain + unit, mask=known, other=0.0)
    factor *= tl.load(inverse + unit, mask=known, other=0.0)
    of_bias = tl.zeros([UNITS], tl.float32)
    for first in range(0, n_cells, ROWS):
        cell = first + tl.arange(0, ROWS)
        inside = (cell < n_cells)[:, None] & known[None, :]
        g = tl.load(gradient + cell[:, None] * gradient_stride + unit[None, :], mask=inside)
        o = tl.load(out + cell[:, None] * out_stride + unit[None, :], mask=inside, other=0.0)
        place = x + cell[:, None] * width + unit[None, :]
        h = tl.load(place, mask=inside, other=0.0)
        g = tl.where(inside & (o > 0), g.to(tl.float32) * scale, 0.0)
        rest = g - (of_shift[None, :] + h * of_gain[None, :]) / n_cells
        by_h = tl.where(inside, factor[None, :] * rest, 0.0)
        tl.store(place, by_h, mask=inside)
        of_bias += tl.sum(by_h, axis=0)
    tl.store(by_bias + unit, of_bias, mask=known)


def hidden_gradient(
    gradient: Tensor,
    out: Tensor,
    norm: Norm,
    scale: float,
    inverse: Tensor,
    x: Tensor,
    by_gain: Tensor,
    by_shift: Tensor,
    by_bias: Tensor,
) -> None:
    """As `plain.hidden_gradient`."""
    n_cells, width = x.shape
    _hidden_gradient[(triton.cdiv(width, _UNITS),)](
        *(gradient, out, norm.gain, inverse, x, by_gain, by_shift, by_bias),
        *(n_cells, width, gradient.stride(0), out.stride(0), scale),
        ROWS=_ROWS,
        UNITS=_UNITS,
    )


@triton.jit
def _posterior(
    moments, noise, z, kl, n_cells, n_latent, z_stride, floor, ROWS: tl.constexpr, L: tl.constexpr
):
    cell = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = tl.arange(0, L)
    inside = (cell < n_cells)[:, None] & (at < n_latent)[None, :]
    place = moments + cell[:, None] * (2 * n_latent) + at[None, :]
    mean = tl.load(place, mask=inside, other=0.0)
    variance = tl.exp(tl.load(place + n_latent, mask=inside, other=0.0)) + floor
    draw = tl.load(noise + cell[:, None] * n_latent + at[None, :], mask=inside, other=0.0)
    value = mean + tl.sqrt(variance) * draw
    tl.store(z + cell[:, None] * z_stride + at[None, :], value, mask=inside)
    part = tl.where(inside, 0.5 * (mean * mean + variance - 1.0 - tl.log(variance)), 0.0)
    tl.store(kl + cell, tl.sum(part, axis=1), mask=cell < n_cells)


def posterior(moments: Tensor, noise: Tensor, floor: float, z: Tensor, kl: Tensor) -> None:
    """As `plain.posterior`."""
    n_cells, n_latent = noise.shape
    _posterior[(triton.cdiv(n_cells, 16),)](
        *(moments, noise, z, kl, n_cells, n_latent, z.stride(0), floor),
        ROWS=16,
        L=triton.next_power_of_2(n_latent),
    )


@triton.jit
def _posterior_gradient(
    by_z,
    moments,
    noise,
    kl_weight,
    by_moments,
    by_bias,
    n_cells,
    n_latent,
    by_z_stride,
    floor,
    ROWS: tl.constexpr,
    L: tl.constexpr,
):
    at = tl.program_id(0) * L + tl.arange(0, L)
    known = at < n_latent
    weight = tl.load(kl_weight) / n_cells
    of_mean, of_spread = tl.zeros([L], tl.float32), tl.zeros([L], tl.float32)
    for first in range(0, n_cells, ROWS):
        cell = first + tl.arange(0, ROWS)
        inside = (cell < n_cells)[:, None] & known[None, :]
        g = tl.load(by_z + cell[:, None] * by_z_stride + at[None, :], mask=inside, other=0.0)
        g = g.to(tl.float32)
        place = cell[:, None] * (2 * n_latent) + at[None, :]
        mean = tl.load(moments + place, mask=inside, other=0.0)
        exponential = tl.exp(tl.load(moments + place + n_latent, mask=inside, other=0.0))
        draw = tl.load(noise + cell[:, None] * n_latent + at[None, :], mask=inside, other=0.0)
        variance = exponential + floor
        by_mean = tl.where(inside, g + weight * mean, 0.0)
        by_variance = g * draw / tl.sqrt(variance) + weight * (1.0 - 1.0 / variance)
        by_spread = tl.where(inside, 0.5 * by_variance * exponential, 0.0)
        tl.store(by_moments + place, by_mean, mask=inside)
        tl.store(by_moments + place + n_latent, by_spread, mask=inside)
        of_mean += tl.sum(by_mean, axis=0)
        of_spread += tl.sum(by_spread, axis=0)
    tl.store(by_bias + at, of_mean, mask=known)
    tl.store(by_bias + n_latent + at, of_spread, mask=known)


def posterior_gradient(
    by_z: Tensor,
    moments: Tensor,
    noise: Tensor,
    kl_weight: Tensor,
    floor: float,
    by_moments: Tensor,
    by_bias: Tensor,
) -> None:
    """As `plain.posterior_gradient`."""
    n_cells, n_latent = noise.shape
    _posterior_gradient[(triton.cdiv(n_latent, 4),)](
        *(by_z, moments, noise, kl_weight, by_moments, by_bias),
        *(n_cells, n_latent, by_z.stride(0), floor),
        ROWS=_ROWS,
        L=4,
    )
