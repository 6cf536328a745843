"""The likelihood with its softmax and theta, and the loss."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc"

import torch
import triton
import triton.language as tl
from torch import Tensor

from scpress.model import likelihoods as lk
from scpress.training.fused.kernels.arithmetic import (
    HALF_LOG_2PI,
    clamp,
    digamma_rest,
    log1p,
    sigmoid,
    softplus,
    stirling_error,
)
from scpress.training.fused.plain import MOST_PARTS, Output

# Entries of a program, two of a thread: with eight, registers spill and compiling takes 13 s.
_TILE = 512
_LEAST = tl.constexpr(-3e38)
_LOG_MU_MIN, _LOG_MU_MAX = tl.constexpr(lk.LOG_MU_MIN), tl.constexpr(lk.LOG_MU_MAX)
_LOG_THETA_MIN = tl.constexpr(lk.LOG_THETA_MIN)
_LOG_THETA_MAX = tl.constexpr(lk.LOG_THETA_MAX)
_PI_LOGITS_MAX = tl.constexpr(lk.PI_LOGITS_MAX)
_POISSON, _NB = tl.constexpr(0), tl.constexpr(1)
_KINDS = {"poisson": 0, "nb": 1, "zinb": 2}
_PARTS = tl.constexpr(MOST_PARTS)


@triton.jit
def _log_norm(products, bias, log_norm, n_genes, stride, BLOCK: tl.constexpr):
    cell = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    top = tl.zeros([BLOCK], tl.float32) + _LEAST
    total = tl.zeros([BLOCK], tl.float32)
    for first in range(0, n_genes, BLOCK):
        gene = first + at
        inside = gene < n_genes
        eta = tl.load(products + cell * stride + gene, mask=inside, other=0.0).to(tl.float32)
        eta += tl.load(bias + gene, mask=inside, other=0.0)
        eta = tl.where(inside, eta, _LEAST)
        higher = tl.maximum(top, eta)
        total = total * tl.exp(top - higher) + tl.where(inside, tl.exp(eta - higher), 0.0)
        top = higher
    highest = tl.max(top, axis=0)
    tl.store(log_norm + cell, highest + tl.log(tl.sum(total * tl.exp(top - highest), axis=0)))


@triton.jit
def _terms(
    products,
    gradient,
    by_log_mu,
    bias,
    theta,
    theta_row,
    library,
    counts,
    log_norm,
    by_theta_of_cell,
    sums,
    n_cells,
    n_genes,
    stride,
    by_log_mu_stride,
    KIND: tl.constexpr,
    IS_SHARED: tl.constexpr,
    IS_ONE_ROW: tl.constexpr,
    ROWS: tl.constexpr,
    GENES: tl.constexpr,
):
    cell = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    gene = tl.program_id(0) * GENES + tl.arange(0, GENES)
    in_cells, in_genes = cell < n_cells, gene < n_genes
    inside = in_cells[:, None] & in_genes[None, :]
    cell = cell.to(tl.int64)
    place = cell[:, None] * stride + gene[None, :]
    of_entry = cell[:, None] * n_genes + gene[None, :]
    x = tl.load(counts + of_entry, mask=inside, other=0.0)
    eta = tl.load(products + place, mask=inside, other=0.0).to(tl.float32)
    eta += tl.load(bias + gene, mask=in_genes, other=0.0)[None, :]
    shift = tl.log(tl.load(library + cell, mask=in_cells, other=1.0))
    shift -= tl.load(log_norm + cell, mask=in_cells, other=0.0)
    raw_log_mu = eta + shift[:, None]
    log_mu = clamp(raw_log_mu, _LOG_MU_MIN, _LOG_MU_MAX)
    mu = tl.exp(log_mu)
    is_zero = x == 0
    positive = tl.where(is_zero, 1.0, x)

    if KIND == _POISSON:
        gap = (mu - positive) / positive
        is_near = gap > -0.5
        log_ratio = tl.where(
            is_near, log1p(tl.where(is_near, gap, -0.5)), log_mu - tl.log(positive)
        )
        value = -positive * (gap - log_ratio) - stirling_error(positive)
        value -= 0.5 * tl.log(positive) + HALF_LOG_2PI
        value = tl.where(is_zero, -mu, value)
        by_mu = x - mu
    else:
        if IS_SHARED:
            if IS_ONE_ROW:
                raw_log_theta = tl.load(theta + gene, mask=in_genes, other=0.0)[None, :]
            else:
                row = tl.load(theta_row + cell, mask=in_cells, other=0)
                of_row = row[:, None] * n_genes + gene[None, :]
                raw_log_theta = tl.load(theta + of_row, mask=inside, other=0.0)
        else:
            head = n_genes if KIND == _NB else 2 * n_genes
            raw_log_theta = tl.load(products + place + head, mask=inside, other=0.0)
            raw_log_theta = raw_log_theta.to(tl.float32)
            raw_log_theta += tl.load(bias + head + gene, mask=in_genes, other=0.0)[None, :]
        log_theta = clamp(raw_log_theta, _LOG_THETA_MIN, _LOG_THETA_MAX)
        th = tl.exp(log_theta)
        ratio = mu / th
        n = -th * log1p(ratio)
        slope = mu / (1.0 + ratio)
        both = positive + th
        gap = (mu - positive) / both
        value = -th * log1p(gap) - positive * log1p(-th * gap / mu)
        value += stirling_error(both) - stirling_error(th) - stirling_error(positive)
        value += 0.5 * (log_theta - tl.log(both * positive)) - HALF_LOG_2PI
        g = (positive - mu) / (th + mu)
        by_mu = th * g
        by_theta = th * (log1p(g) - g + digamma_rest(both) - digamma_rest(th))
        if KIND == _NB:
            value = tl.where(is_zero, n, value)
            by_mu = tl.where(is_zero, -slope, by_mu)
            by_theta = tl.where(is_zero, n + slope, by_theta)
        else:
            raw_o = tl.load(products + place + n_genes, mask=inside, other=0.0).to(tl.float32)
            raw_o += tl.load(bias + n_genes + gene, mask=in_genes, other=0.0)[None, :]
            o = clamp(raw_o, -_PI_LOGITS_MAX, _PI_LOGITS_MAX)
            rest = softplus(o)
            extra = sigmoid(o - n)
            value = tl.where(is_zero, n + softplus(o - n), value) - rest
            by_mu = tl.where(is_zero, -(1.0 - extra) * slope, by_mu)
            by_theta = tl.where(is_zero, (1.0 - extra) * (n + slope), by_theta)
            by_pi = tl.where(is_zero, extra, 0.0) - sigmoid(o)
            is_free = (raw_o >= -_PI_LOGITS_MAX) & (raw_o <= _PI_LOGITS_MAX)
            by_pi = tl.where(is_free, by_pi, 0.0) / -n_cells
            tl.store(gradient + place + n_genes, by_pi, mask=inside)
        if IS_SHARED:
            tl.store(by_theta_of_cell + of_entry, by_theta, mask=inside)
        else:
            is_free = (raw_log_theta >= _LOG_THETA_MIN) & (raw_log_theta <= _LOG_THETA_MAX)
            by_theta = tl.where(is_free, by_theta, 0.0) / -n_cells
            tl.store(gradient + place + head, by_theta, mask=inside)
    is_free = (raw_log_mu >= _LOG_MU_MIN) & (raw_log_mu <= _LOG_MU_MAX)
    by_mu = tl.where(inside & is_free, by_mu, 0.0)
    tl.store(by_log_mu + cell[:, None] * by_log_mu_stride + gene[None, :], by_mu, mask=inside)
    of_sums = sums + cell * _PARTS + tl.program_id(0)
    tl.store(of_sums, tl.sum(tl.where(inside, value, 0.0), axis=1), mask=in_cells)
    tl.store(of_sums + n_cells * _PARTS, tl.sum(by_mu, axis=1), mask=in_cells)


@triton.jit
def _finish(
    products,
    gradient,
    by_log_mu,
    bias,
    by_bias,
    by_theta,
    theta_row,
    log_norm,
    by_theta_of_cell,
    sums,
    n_cells,
    n_genes,
    stride,
    by_log_mu_stride,
    IS_SOFTMAX: tl.constexpr,
    HEADS: tl.constexpr,
    IS_SHARED: tl.constexpr,
    IS_ONE_ROW: tl.constexpr,
    ROWS: tl.constexpr,
    GENES: tl.constexpr,
):
    gene = tl.program_id(0) * GENES + tl.arange(0, GENES)
    row = tl.program_id(1)
    in_genes = gene < n_genes
    part = tl.arange(0, _PARTS)
    if row == 0:
        b = tl.load(bias + gene, mask=in_genes, other=0.0)
        of_bias = tl.zeros([GENES], tl.float32)
        for first in range(0, n_cells, ROWS):
            cell = first + tl.arange(0, ROWS)
            inside = (cell < n_cells)[:, None] & in_genes[None, :]
            cell = cell.to(tl.int64)
            place = cell[:, None] * stride + gene[None, :]
            of_mu = by_log_mu + cell[:, None] * by_log_mu_stride + gene[None, :]
            by_eta = tl.load(of_mu, mask=inside, other=0.0)
            if IS_SOFTMAX:
                of_sums = sums + (n_cells + cell)[:, None] * _PARTS + part[None, :]
                all_parts = tl.load(of_sums, mask=(cell < n_cells)[:, None], other=0.0)
                eta = tl.load(products + place, mask=inside, other=0.0).to(tl.float32)
                norm = tl.load(log_norm + cell, mask=cell < n_cells, other=0.0)
                share = tl.exp(eta + b[None, :] - norm[:, None])
                by_eta -= share * tl.sum(all_parts, axis=1)[:, None]
            by_eta = tl.where(inside, by_eta / -n_cells, 0.0)
            tl.store(gradient + place, by_eta, mask=inside)
            of_bias += tl.sum(by_eta, axis=0)
        tl.store(by_bias + gene, of_bias, mask=in_genes)
        for head in tl.static_range(1, HEADS):
            of_bias = tl.zeros([GENES], tl.float32)
            for first in range(0, n_cells, ROWS):
                cell = first + tl.arange(0, ROWS)
                inside = (cell < n_cells)[:, None] & in_genes[None, :]
                place = cell.to(tl.int64)[:, None] * stride + head * n_genes + gene[None, :]
                value = tl.load(gradient + place, mask=inside, other=0.0).to(tl.float32)
                of_bias += tl.sum(value, axis=0)
            tl.store(by_bias + head * n_genes + gene, of_bias, mask=in_genes)
    if IS_SHARED:
        of_theta = tl.zeros([GENES], tl.float32)
        for first in range(0, n_cells, ROWS):
            cell = first + tl.arange(0, ROWS)
            chosen = cell < n_cells
            if not IS_ONE_ROW:
                chosen = chosen & (tl.load(theta_row + cell, mask=chosen, other=-1) == row)
            inside = chosen[:, None] & in_genes[None, :]
            place = cell.to(tl.int64)[:, None] * n_genes + gene[None, :]
            of_theta += tl.sum(tl.load(by_theta_of_cell + place, mask=inside, other=0.0), axis=0)
        tl.store(by_theta + row * n_genes + gene, of_theta / -n_cells, mask=in_genes)


def likelihood(o: Output) -> None:
    """As `plain.likelihood`."""
    n_cells, n_genes = o.counts.shape
    n_heads, n_rows, stride = o.products.shape[1] // n_genes, len(o.theta), o.products.stride(0)
    if o.softmax:
        block = min(4096, triton.next_power_of_2(n_genes))
        _log_norm[(n_cells,)](o.products, o.bias, o.log_norm, n_genes, stride, BLOCK=block)
    by_log_mu = o.gradient
    if by_log_mu.dtype != torch.float32:
        # The softmax subtracts what is nearly the same, of which bfloat16 would leave nothing.
        by_log_mu = torch.empty_like(o.counts)
    genes = max(32, triton.next_power_of_2(triton.cdiv(n_genes, MOST_PARTS)))
    rows = max(1, _TILE // genes)
    shared = {"IS_SHARED": n_rows > 0, "IS_ONE_ROW": n_rows == 1}
    _terms[triton.cdiv(n_genes, genes), triton.cdiv(n_cells, rows)](
        *(
            o.products,
            o.gradient,
            by_log_mu,
            o.bias,
            o.theta,
            o.theta_row,
            o.library,
            o.counts,
            o.log_norm,
        ),
        *(o.by_theta_of_cell, o.sums, n_cells, n_genes, stride, by_log_mu.stride(0)),
        KIND=_KINDS[o.kind],
        **shared,
        ROWS=rows,
        GENES=genes,
        num_warps=8,
    )
    _finish[triton.cdiv(n_genes, 16), max(1, n_rows)](
        *(
            o.products,
            o.gradient,
            by_log_mu,
            o.bias,
            o.by_bias,
            o.by_theta,
            o.theta_row,
            o.log_norm,
        ),
        *(o.by_theta_of_cell, o.sums, n_cells, n_genes, stride, by_log_mu.stride(0)),
        IS_SOFTMAX=o.softmax,
        HEADS=n_heads,
        **shared,
        ROWS=64,
        GENES=16,
    )


@triton.jit
def _loss(sums, kl, kl_weight, out, n_cells, ROWS: tl.constexpr):
    part = tl.arange(0, _PARTS)
    total = tl.zeros([ROWS], tl.float32)
    divergence = tl.zeros([ROWS], tl.float32)
    for first in range(0, n_cells, ROWS):
        cell = first + tl.arange(0, ROWS)
        inside = cell < n_cells
        place = sums + cell[:, None] * _PARTS + part[None, :]
        total += tl.sum(tl.load(place, mask=inside[:, None], other=0.0), axis=1)
        divergence += tl.load(kl + cell, mask=inside, other=0.0)
    value = tl.load(kl_weight) * tl.sum(divergence, axis=0) - tl.sum(total, axis=0)
    tl.store(out, value / n_cells)


def loss(sums: Tensor, kl: Tensor, kl_weight: Tensor, out: Tensor) -> None:
    """As `plain.loss`."""
    _loss[(1,)](sums, kl, kl_weight, out, len(kl), ROWS=64, num_warps=8)
