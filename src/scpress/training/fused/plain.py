"""What a step computes beside matrix products, in plain torch: the twin of `kernels`.

Every function writes to where it is told to, reads no value on the host and keeps all shapes, so
that it can be captured as a graph; B cells, G genes, W units of a layer, L dimensions of the
latent, H heads (eta, then pi and theta where there are some) one beside the other.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scpress.model import likelihoods as lk

# Philox4x32-10 (Salmon et al. 2011): ten rounds of two products, and what is added to the key.
_ROUNDS = 10
_FACTORS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_32_BITS = 0xFFFFFFFF
# Uniform numbers have the 24 bits that float32 holds exactly.
_24_BITS = 2**24
# Parts of genes whose sums the kernels add up; `sums` of `Output` has a column for each.
MOST_PARTS = 64
# What the draws of a step are for: counters of one are never those of another.
_OF_DROPOUT, _OF_NOISE = 0, 1


class Csr(NamedTuple):
    """Counts on the device.

    Attributes
    ----------
    pointers, indices, values
        [rows + 1] int64, [nonzeros] int32, [nonzeros] float32.
    width
        Nonzeros of the fullest row.
    """

    pointers: Tensor
    indices: Tensor
    values: Tensor
    width: int


class Norm(NamedTuple):
    """[W] Gain, shift and running moments of a batch norm, and [] the batches it has seen."""

    gain: Tensor
    shift: Tensor
    running_mean: Tensor
    running_variance: Tensor
    n_batches: Tensor
    epsilon: float
    momentum: float


class Output(NamedTuple):
    """What a likelihood is computed from, and where its gradient goes.

    Attributes
    ----------
    kind
        poisson, nb or zinb.
    products, gradient
        [B, H * G] The last hidden layer times the heads, without bias; the gradient by it.
    bias, by_bias
        [H * G].
    theta, by_theta
        [rows, G] log theta that cells share; no rows where there is none.
    theta_row
        [B] Row of theta of each cell, int64.
    softmax
        Whether the library is shared out, or scales exp(eta).
    library
        [B] Molecules to share out, or the size factor.
    counts
        [B, G] float32.
    log_norm
        [B] Written: log of what the softmax divides by; 0 without one.
    by_theta_of_cell
        [B, G] Written where theta is shared.
    sums
        [2, B, parts] Written: log-likelihood, and its derivatives by log mu, over parts of genes.
    """

    kind: str
    products: Tensor
    gradient: Tensor
    bias: Tensor
    by_bias: Tensor
    theta: Tensor
    by_theta: Tensor
    theta_row: Tensor
    softmax: bool
    library: Tensor
    counts: Tensor
    log_norm: Tensor
    by_theta_of_cell: Tensor
    sums: Tensor


def draw(seeds: Tensor, kept: Tensor, noise: Tensor, rate: float) -> None:
    """The random numbers of some steps, each a function of its step's seed and its place alone.

    Parameters
    ----------
    seeds
        [steps] Below 2^32, int64.
    kept
        [steps, B, W] Written: 0 where dropout takes a value, else what it is multiplied by.
    noise
        [steps, B, L] Written: standard normal (Box and Muller 1958).
    """
    if kept.numel():
        uniform = _uniform(seeds, kept[0].numel(), _OF_DROPOUT)
        is_kept = uniform < round((1 - rate) * _24_BITS)
        kept.copy_((is_kept / (1 - rate)).view_as(kept))
    if noise.numel():
        uniform = _uniform(seeds, noise[0].numel(), _OF_NOISE, whole=True)
        first, second = (uniform[:, i::2].float() / _24_BITS for i in (0, 1))
        radius = torch.sqrt(-2 * torch.log(first + 1 / _24_BITS))
        angle = 2 * math.pi * second
        normal = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=2)
        noise.copy_(normal.flatten(1)[:, : noise[0].numel()].view_as(noise))


def _uniform(seeds: Tensor, n: int, stream: int, *, whole: bool = False) -> Tensor:
    """[steps, n] Integers below 2^24; whole: all four of the last counter."""
    counters = torch.arange(math.ceil(n / 4), device=seeds.device).expand(len(seeds), -1)
    words = philox((counters, stream, 0, 0), (seeds[:, None], 0))
    drawn = torch.stack(words, dim=2).flatten(1) >> 8
    return drawn if whole else drawn[:, :n]


def philox(
    counter: tuple[Any, Any, Any, Any], key: tuple[Any, Any]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four words of 32 random bits, int64, of four words of counter and two of key."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # int64 wraps, but the upper half of the product is right once the sign is masked.
        first, second = c0 * _FACTORS[0], c2 * _FACTORS[1]
        c0 = ((second >> 32) & _32_BITS) ^ c1 ^ k0
        c2 = ((first >> 32) & _32_BITS) ^ c3 ^ k1
        c1, c3 = second & _32_BITS, first & _32_BITS
        k0, k1 = (k0 + _KEY_STEPS[0]) & _32_BITS, (k1 + _KEY_STEPS[1]) & _32_BITS
    return c0, c1, c2, c3


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
    """The chosen cells, densified, and what the first layer reads of them.

    Parameters
    ----------
    csr_rows, rows
        [B] Rows of the cells in the CSR matrix, and in what is known of all cells.
    size_factor
        [cells].
    moments
        [G] each: what log1p(counts / size factor) is shifted and scaled by; None: log1p(counts).
    counts, inputs
        [B, G] Written.
    total, size
        [B] Written: molecules, and the size factor.
    """
    columns, values = padded(csr, csr_rows, counts.shape[1])
    counts.zero_()
    # Padding adds 0, to all genes in turn; no place is written to by two nonzeros.
    counts.scatter_add_(1, columns, values)
    total.copy_(values.sum(dim=1))
    size.copy_(size_factor[rows])
    if moments is None:
        inputs.copy_(torch.log1p(counts))
        return
    mean, scale = moments
    inputs.copy_((torch.log1p(counts / size[:, None]) - mean) / scale)


def padded(csr: Csr, rows: Tensor, n_genes: int) -> tuple[Tensor, Tensor]:
    """([B, width] genes, [B, width] values) Nonzeros of rows; zeros, where a row has fewer."""
    start, stop = csr.pointers[rows], csr.pointers[rows + 1]
    places = torch.arange(csr.width, device=start.device)
    at = start[:, None] + places
    inside = at < stop[:, None]
    at = torch.where(inside, at, 0)
    columns = torch.where(inside, csr.indices[at].long(), places % n_genes)
    return columns, torch.where(inside, csr.values[at], 0.0)


def hidden(
    x: Tensor, bias: Tensor, norm: Norm, kept: Tensor | None, out: Tensor, inverse: Tensor
) -> None:
    """Bias, batch norm, relu and dropout of a hidden layer, in training.

    Parameters
    ----------
    x
        [B, W] The product; overwritten with its normalized value.
    kept
        [B, W] As `draw` writes it, or None without dropout.
    out
        [B, W] Written.
    inverse
        [W] Written: one over the deviation of the cells.
    """
    x += bias
    mean = x.mean(dim=0)
    x -= mean
    variance = x.square().mean(dim=0)
    inverse.copy_(torch.rsqrt(variance + norm.epsilon))
    x *= inverse
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_variance.lerp_(variance * (len(x) / max(1, len(x) - 1)), norm.momentum)
    norm.n_batches.add_(1)
    value = torch.relu(x * norm.gain + norm.shift)
    out.copy_(value if kept is None else value * kept)


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
    """Write the gradients of `hidden`, the one by its input over the normalized x.

    With g what comes back through dropout and relu:
    dl/dh = gain / deviation * (g - mean g - x mean(x g)).

    Parameters
    ----------
    gradient
        [B, W] By the layer's output.
    scale
        What dropout multiplies by where it keeps.
    """
    g = torch.where(out > 0, gradient.float() * scale, 0.0)
    by_shift.copy_(g.sum(dim=0))
    by_gain.copy_((g * x).sum(dim=0))
    rest = g - (by_shift + x * by_gain) / len(x)
    x.copy_(norm.gain * inverse * rest)
    by_bias.copy_(x.sum(dim=0))


def posterior(moments: Tensor, noise: Tensor, floor: float, z: Tensor, kl: Tensor) -> None:
    """Draw a latent, and measure the KL divergence from the standard normal.

    Parameters
    ----------
    moments
        [B, 2 L] Mean, and log-variance before the floor is added to the variance.
    z, kl
        [B, L], [B] Written.
    """
    mean, log_variance = moments.chunk(2, dim=1)
    variance = torch.exp(log_variance) + floor
    z.copy_(mean + torch.sqrt(variance) * noise)
    kl.copy_(0.5 * (mean.square() + variance - 1 - torch.log(variance)).sum(dim=1))


def posterior_gradient(
    by_z: Tensor,
    moments: Tensor,
    noise: Tensor,
    kl_weight: Tensor,
    floor: float,
    by_moments: Tensor,
    by_bias: Tensor,
) -> None:
    """Write the gradients by both halves of the moments [B, 2 L] and by their biases [2 L].

    Parameters
    ----------
    by_z
        [B, L].
    kl_weight
        [] Of the KL term, which is a mean over the cells.
    """
    mean, log_variance = moments.chunk(2, dim=1)
    exponential = torch.exp(log_variance)
    variance = exponential + floor
    weight = kl_weight / len(moments)
    by_z = by_z.float()
    by_variance = by_z * noise / torch.sqrt(variance) + weight * (1 - 1 / variance)
    by_log_variance = 0.5 * by_variance * exponential
    by_moments.copy_(torch.cat([by_z + weight * mean, by_log_variance], dim=1))
    by_bias.copy_(by_moments.sum(dim=0))


def likelihood(o: Output) -> None:
    """The log-likelihood of counts, and the gradient of minus its mean over the cells.

    As `likelihoods` has it: log mu, log theta and the logit of pi are clamped, and have no gradient
    beyond.
    """
    n_genes = o.counts.shape[1]
    raw = (o.products.float() + o.bias).split(n_genes, dim=1)
    eta = raw[0]
    if o.softmax:
        o.log_norm.copy_(torch.logsumexp(eta, dim=1))
        eta = eta - o.log_norm[:, None]
    log_mu = torch.log(o.library)[:, None] + eta
    bounds = {0: (lk.LOG_MU_MIN, lk.LOG_MU_MAX)}
    if o.kind == "zinb":
        bounds[1] = (-lk.PI_LOGITS_MAX, lk.PI_LOGITS_MAX)
    if not len(o.theta) and o.kind != "poisson":
        bounds[len(raw) - 1] = (lk.LOG_THETA_MIN, lk.LOG_THETA_MAX)
    given = [log_mu, *raw[1:]]
    clamped = [given[i].clamp(*bounds[i]) for i in range(len(given))]
    by: list[Tensor]
    if o.kind == "poisson":
        p = lk.Parameters(clamped[0])
        value, by = lk.log_poisson(o.counts, p), [o.counts - torch.exp(clamped[0])]
    else:
        log_theta = clamped[-1]
        if len(o.theta):
            log_theta = o.theta[o.theta_row].clamp(lk.LOG_THETA_MIN, lk.LOG_THETA_MAX)
        logits = clamped[1] if o.kind == "zinb" else None
        value, by_mu, by_theta, by_pi = lk.dense_nb_terms(o.counts, clamped[0], log_theta, logits)
        by = [by_mu] if by_pi is None else [by_mu, by_pi]
        if len(o.theta):
            o.by_theta_of_cell.copy_(by_theta)
        else:
            by.append(by_theta)
    for i, (low, high) in bounds.items():
        by[i] = torch.where((given[i] >= low) & (given[i] <= high), by[i], 0.0)
    o.sums.zero_()
    o.sums[0, :, 0] = value.sum(dim=1)
    o.sums[1, :, 0] = by[0].sum(dim=1)
    if o.softmax:
        by[0] = by[0] - torch.exp(eta) * o.sums[1, :, :1]
    gradient = torch.cat(by, dim=1) * (-1 / len(eta))
    o.gradient.copy_(gradient)
    o.by_bias.copy_(gradient.sum(dim=0))
    if len(o.theta):
        rows = torch.arange(len(o.theta), device=o.theta.device)[:, None] == o.theta_row
        o.by_theta.copy_(rows.float() @ o.by_theta_of_cell * (-1 / len(eta)))


def loss(sums: Tensor, kl: Tensor, kl_weight: Tensor, out: Tensor) -> None:
    """Write to out [] the mean over the cells of minus log-likelihood [B, parts] and KL [B]."""
    out.copy_((kl_weight * kl.sum() - sums.sum()) / len(kl))


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
    """Clip, move all weights as Adam does, project theta, and cast what is multiplied in bfloat16.

    Parameters
    ----------
    values, gradient, mean, square, step, rate, decayed, clamped
        As in `Weights`.
    parts
        [any] Overwritten: sums of squares of the gradient.
    halves
        [floats or 0] Written: the first of the values in bfloat16.
    """
    step += 1
    norm = torch.linalg.vector_norm(gradient)
    g = gradient * (clip_norm / norm).clamp(max=1.0)
    g[:decayed] += weight_decay * values[:decayed]
    mean.lerp_(g, 1 - betas[0])
    square.mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
    count = step.double()
    first, second = (1 - beta**count for beta in betas)
    deviation = torch.sqrt(square) / torch.sqrt(second).float() + epsilon
    values -= (rate / first).float() * mean / deviation
    values[slice(*clamped)].clamp_(lk.LOG_THETA_MIN, lk.LOG_THETA_MAX)
    halves.copy_(values[: len(halves)])
