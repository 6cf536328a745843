"""Random numbers of some steps, and the cells that a step reads."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

import triton
import triton.language as tl
from torch import Tensor

from scpress.training.fused.kernels.arithmetic import log1p
from scpress.training.fused.plain import Csr

_2PI = tl.constexpr(6.283185307179586)
_2_TO_MINUS_24 = tl.constexpr(2.0**-24)


@triton.jit
def _words(seeds, BLOCK: tl.constexpr, STREAM: tl.constexpr):
    counter = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    seed = tl.load(seeds + tl.program_id(1))
    nothing = counter * 0
    words = tl.philox(seed, counter, nothing + STREAM, nothing, nothing)
    a, b, c, d = words
    return 4 * counter, a >> 8, b >> 8, c >> 8, d >> 8


@triton.jit
def _draw_kept(seeds, kept, n, threshold, scale, BLOCK: tl.constexpr):
    at, a, b, c, d = _words(seeds, BLOCK, 0)
    to = kept + tl.program_id(1) * n + at
    tl.store(to, tl.where(a < threshold, scale, 0.0), mask=at < n)
    tl.store(to + 1, tl.where(b < threshold, scale, 0.0), mask=at + 1 < n)
    tl.store(to + 2, tl.where(c < threshold, scale, 0.0), mask=at + 2 < n)
    tl.store(to + 3, tl.where(d < threshold, scale, 0.0), mask=at + 3 < n)


@triton.jit
def _normal(first, second):
    radius = tl.sqrt(-2.0 * tl.log(first.to(tl.float32) * _2_TO_MINUS_24 + _2_TO_MINUS_24))
    angle = _2PI * (second.to(tl.float32) * _2_TO_MINUS_24)
    return radius * tl.cos(angle), radius * tl.sin(angle)


@triton.jit
def _draw_noise(seeds, noise, n, BLOCK: tl.constexpr):
    at, a, b, c, d = _words(seeds, BLOCK, 1)
    to = noise + tl.program_id(1) * n + at
    one, two = _normal(a, b)
    three, four = _normal(c, d)
    tl.store(to, one, mask=at < n)
    tl.store(to + 1, two, mask=at + 1 < n)
    tl.store(to + 2, three, mask=at + 2 < n)
    tl.store(to + 3, four, mask=at + 3 < n)


def draw(seeds: Tensor, kept: Tensor, noise: Tensor, rate: float) -> None:
    """As `plain.draw`."""
    block = 256
    if kept.numel():
        n = kept[0].numel()
        grid = (triton.cdiv(n, 4 * block), len(seeds))
        _draw_kept[grid](seeds, kept, n, round((1 - rate) * 2**24), 1 / (1 - rate), BLOCK=block)
    if noise.numel():
        n = noise[0].numel()
        _draw_noise[triton.cdiv(n, 4 * block), len(seeds)](seeds, noise, n, BLOCK=block)


@triton.jit
def _gather(
    pointers,
    indices,
    values,
    csr_rows,
    size_factor,
    rows,
    mean,
    scale,
    counts,
    inputs,
    total,
    size,
    n_genes,
    stride,
    IS_SCALED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    cell = tl.program_id(0).to(tl.int64)
    row = tl.load(csr_rows + cell)
    start, stop = tl.load(pointers + row), tl.load(pointers + row + 1)
    factor = tl.load(size_factor + tl.load(rows + cell))
    own = counts + cell * n_genes
    at = tl.arange(0, BLOCK)
    for first in range(0, n_genes, BLOCK):
        gene = first + at
        tl.store(own + gene, tl.zeros([BLOCK], tl.float32), mask=gene < n_genes)
    # A program's own writes are in order only behind a barrier.
    tl.debug_barrier()
    molecules = tl.zeros([BLOCK], tl.float32)
    for first in range(0, (stop - start).to(tl.int32), BLOCK):
        inside = start + first + at < stop
        gene = tl.load(indices + start + first + at, mask=inside, other=0)
        value = tl.load(values + start + first + at, mask=inside, other=0.0)
        tl.store(own + gene, value, mask=inside)
        molecules += value
    tl.debug_barrier()
    for first in range(0, n_genes, BLOCK):
        gene = first + at
        inside = gene < n_genes
        x = tl.load(own + gene, mask=inside, other=0.0)
        if IS_SCALED:
            x = log1p(x / factor) - tl.load(mean + gene, mask=inside, other=0.0)
            x = x / tl.load(scale + gene, mask=inside, other=1.0)
        else:
            x = log1p(x)
        tl.store(inputs + cell * stride + gene, x, mask=inside)
    tl.store(total + cell, tl.sum(molecules))
    tl.store(size + cell, factor)


def gather(
    csr: Csr,
    csr_rows: Tensor,
    size_factor: Tensor,
    rows: Tensor,
    moments: tuple[Tensor, Tensor] | None,
    counts: Tensor,
    inputs: Tensor,
    total: Tensor,
    size: Tensor,
) -> None:
    """As `plain.gather`."""
    mean, scale = (size_factor, size_factor) if moments is None else moments
    _gather[(len(counts),)](
        *(csr.pointers, csr.indices, csr.values, csr_rows, size_factor, rows, mean, scale),
        *(counts, inputs, total, size, counts.shape[1], inputs.stride(0)),
        IS_SCALED=moments is not None,
        BLOCK=1024,
    )
