"""The parts of the network as single autograd functions over the compiled kernels.

The products of matrices stay with torch; what lies between them is one compiled pass each way.
"""

import math
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from scipy.special import gammaln
from torch import Tensor, nn
from torch.nn import functional

from scpress import kernels, layer_kernels
from scpress import likelihoods as lk
from scpress.likelihoods import SparseBatch

KINDS = {"poisson": kernels.POISSON, "nb": kernels.NB, "zinb": kernels.ZINB}
# Above this share of nonzeros a densified batch is quicker than the sparse loops: measured with 128
# outputs and 128 cells, the two are equal at about 0.3.
DENSE_FROM = 0.3
_LOG_FACTORIALS = gammaln(np.arange(1024) + 1.0)
_LIMITS = np.array(
    [
        math.exp(lk.LOG_MU_MIN),
        math.exp(lk.LOG_MU_MAX),
        lk.LOG_THETA_MIN,
        lk.LOG_THETA_MAX,
        -lk.PI_LOGITS_MAX,
        lk.PI_LOGITS_MAX,
    ],
    dtype=np.float32,
)


def _use_torchs_threads() -> None:
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(torch.get_num_threads(), most))


class _SparseLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, x: SparseBatch) -> Tensor:
        _use_torchs_threads()
        batch = x.pointers.numpy(), x.indices.numpy(), x.values.numpy()
        out = bias.detach().expand(x.shape[0], -1).contiguous()
        layer_kernels.sparse_product(*batch, weight.detach().t().numpy(), out.numpy())
        ctx.batch, ctx.shape = batch, weight.shape
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        _use_torchs_threads()
        gradient = gradient.contiguous()
        n_outputs, n_genes = ctx.shape
        pointers, indices, values = ctx.batch
        by_gene, cells, order = layer_kernels.by_gene(pointers, indices, n_genes)
        by_weight = torch.empty(n_genes, n_outputs)
        layer_kernels.sparse_gradient(
            by_gene, cells, values[order], gradient.numpy(), by_weight.numpy()
        )
        return by_weight.t(), gradient.sum(dim=0), None


def sparse_linear(x: SparseBatch, weight: Tensor, bias: Tensor) -> Tensor:
    """[cells, outputs] x weight^T + bias; quick if weight [outputs, genes] is stored by genes."""
    n_cells, n_genes = x.shape
    if len(x.values) > DENSE_FROM * n_cells * n_genes:
        return functional.linear(x.dense(), weight, bias)
    return _SparseLinear.apply(weight, bias, x)


class _Hidden(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, h: Tensor, gain: Tensor, shift: Tensor, norm: nn.BatchNorm1d, rate: float
    ) -> Tensor:
        n_cells, width = h.shape
        h, out = h.detach().contiguous(), torch.empty(n_cells, width)
        kept = torch.empty(n_cells if rate > 0 else 0, width).bernoulli_(1 - rate)
        mean, inverse, variance = torch.empty(3, width)
        scale = np.float32(1 / (1 - rate))
        layer_kernels.hidden(
            h.numpy(),
            gain.detach().numpy(),
            shift.detach().numpy(),
            kept.numpy(),
            scale,
            np.float32(norm.eps),
            out.numpy(),
            mean.numpy(),
            inverse.numpy(),
            variance.numpy(),
        )
        # As torch's own norm does it: the variance that is kept is the unbiased one.
        kept_mean, kept_variance, n_batches = norm.buffers()
        assert norm.momentum is not None
        kept_mean.lerp_(mean, norm.momentum)
        kept_variance.lerp_(variance.mul_(n_cells / max(1, n_cells - 1)), norm.momentum)
        n_batches.add_(1)
        ctx.saved = h, out, gain.detach(), scale, mean, inverse
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        h, out, gain, scale, mean, inverse = ctx.saved
        by_h, by_gain, by_shift = (
            torch.empty_like(h),
            torch.empty_like(gain),
            torch.empty_like(gain),
        )
        layer_kernels.hidden_gradient(
            gradient.contiguous().numpy(),
            h.numpy(),
            out.numpy(),
            gain.numpy(),
            scale,
            mean.numpy(),
            inverse.numpy(),
            by_h.numpy(),
            by_gain.numpy(),
            by_shift.numpy(),
        )
        return by_h, by_gain, by_shift, None, None


def hidden(h: Tensor, norm: nn.BatchNorm1d, dropout_rate: float) -> Tensor:
    """[cells, width] Dropout of relu of the batch norm of h, in training; the norm keeps count."""
    return _Hidden.apply(h, norm.weight, norm.bias, norm, dropout_rate)


class _Posterior(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, mean: Tensor, log_variance: Tensor, noise: Tensor, floor: float
    ) -> tuple[Tensor, Tensor]:
        z, variance, least = torch.empty_like(mean), torch.empty_like(mean), np.float32(floor)
        kl = kernels.posterior(
            mean.detach().numpy(),
            log_variance.detach().numpy(),
            noise.numpy(),
            least,
            z.numpy(),
            variance.numpy(),
        )
        ctx.saved = mean.detach().numpy(), variance.numpy(), noise.numpy(), least
        return z, torch.tensor(kl / len(mean), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, by_z: Tensor, by_kl: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        mean, variance, noise, floor = ctx.saved
        by_mean, by_log_variance = torch.empty(mean.shape), torch.empty(mean.shape)
        kernels.posterior_gradient(
            by_z.contiguous().numpy(),
            np.float32(float(by_kl) / len(mean)),
            mean,
            variance,
            noise,
            floor,
            by_mean.numpy(),
            by_log_variance.numpy(),
        )
        return by_mean, by_log_variance, None, None


def posterior(
    mean: Tensor, log_variance: Tensor, noise: Tensor, floor: float
) -> tuple[Tensor, Tensor]:
    """([cells, n_latent] z = mean + s noise, [] mean KL(N(mean, s^2) || N(0, 1)), nats).

    s^2 is exp(log_variance) + floor.
    """
    return _Posterior.apply(mean, log_variance, noise, floor)


class Heads(NamedTuple):
    """The last layer: what it is given and its weights [genes, inputs] and biases [genes].

    Attributes
    ----------
    theta
        [rows, genes] log theta that cells share, or the weight of its head where `theta_bias` is.
    theta_row
        [cells] Row of each cell; empty where theta is one of each cell.
    """

    h: Tensor
    eta: Tensor
    eta_bias: Tensor
    pi: Tensor | None
    pi_bias: Tensor | None
    theta: Tensor | None
    theta_bias: Tensor | None
    theta_row: Tensor


class _OutputLikelihood(torch.autograd.Function):
    """([] sum over cells, [cells]) Log-likelihood of a batch; the gradient is of the sum alone."""

    @staticmethod
    def forward(
        ctx: Any,
        kind: int,
        with_gradient: bool,
        softmax: bool,
        products: str,
        library: Tensor,
        x: SparseBatch,
        *heads: Any,
    ) -> tuple[Tensor, Tensor]:
        _use_torchs_threads()
        one = Heads(*heads)
        dtype = torch.bfloat16 if products == "bfloat16" else torch.float32
        h = one.h.detach().to(dtype)
        n_cells, n_genes = x.shape
        nothing = torch.empty(0)
        zeros = torch.zeros(n_genes)

        weights: dict[int, Tensor] = {}  # as they were multiplied, for the backward pass

        def product(weight: Tensor) -> Tensor:
            weights[id(weight)] = weight.detach().to(dtype)
            return h @ weights[id(weight)].t()

        eta = product(one.eta)
        pi = torch.empty(0, 0, dtype=dtype) if one.pi is None else product(one.pi)
        if one.theta is None:
            theta = torch.empty(0, 0)
        else:
            theta = one.theta.detach() if one.theta_bias is None else product(one.theta)
        chunks = kernels.CHUNKS if with_gradient else 0
        rows = len(theta) if one.theta_bias is None else 1  # one row sums a bias
        sums = [
            torch.empty(chunks, n_genes),
            torch.empty(chunks if one.pi is not None else 0, n_genes),
            torch.empty(chunks, rows, n_genes),
        ]
        by_cell = torch.empty(n_cells, dtype=torch.float64)
        kernels.log_likelihood(
            kind,
            _numpy(eta),
            one.eta_bias.detach().numpy(),
            _numpy(pi),
            (nothing if one.pi_bias is None else one.pi_bias.detach()).numpy(),
            _numpy(theta),
            (zeros if one.theta_bias is None else one.theta_bias.detach()).numpy(),
            one.theta_row.numpy(),
            library.numpy(),
            x.pointers.numpy(),
            x.indices.numpy(),
            x.values.numpy(),
            _LOG_FACTORIALS,
            softmax,
            _LIMITS,
            with_gradient,
            by_cell.numpy(),
            *(total.numpy() for total in sums),
        )
        if with_gradient:
            ctx.heads, ctx.products, ctx.h, ctx.weights = one, (eta, pi, theta), h, weights
            ctx.sums = [total.sum(dim=0) for total in sums]
        by_cell = by_cell.float()
        ctx.mark_non_differentiable(by_cell)
        return by_cell.double().sum().float(), by_cell

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        one: Heads = ctx.heads
        eta, pi, theta = ctx.products
        by_eta, by_pi, by_theta = (gradient * total for total in ctx.sums)
        scaled = (ctx.h * gradient).to(ctx.h.dtype)
        by_h = eta @ ctx.weights[id(one.eta)]
        grads: dict[str, Tensor] = {
            "eta": (eta.t() @ scaled).float(),
            "eta_bias": by_eta,
        }
        if one.pi is not None:
            by_h += pi @ ctx.weights[id(one.pi)]
            grads |= {"pi": (pi.t() @ scaled).float(), "pi_bias": by_pi}
        if one.theta is not None and one.theta_bias is not None:
            by_h += theta @ ctx.weights[id(one.theta)]
            grads |= {"theta": (theta.t() @ scaled).float(), "theta_bias": by_theta[0]}
        elif one.theta is not None:
            inside = (one.theta >= lk.LOG_THETA_MIN) & (one.theta <= lk.LOG_THETA_MAX)
            grads["theta"] = by_theta * inside
        grads["h"] = by_h.float() * gradient
        return (None,) * 6 + tuple(grads.get(name) for name in Heads._fields)


def output_log_likelihood(
    likelihood: str, library: Tensor, x: SparseBatch, heads: Heads, *, softmax: bool, products: str
) -> tuple[Tensor, Tensor]:
    """Log-likelihood of a batch given its last hidden layer, nats.

    Parameters
    ----------
    library
        [cells] Molecules that the softmax shares out, or the size factor where there is none.
    products
        float32 or bfloat16: what the matrices are multiplied in. The softmax and the likelihood are
        float32, the nonzeros' terms float64, in either case.

    Returns
    -------
    [] sum over the cells, which has a gradient, and [cells] its parts, which have none
    """
    # Inside of `forward` it is always off.
    with_gradient = torch.is_grad_enabled()
    return _OutputLikelihood.apply(
        KINDS[likelihood], with_gradient, softmax, products, library, x, *heads
    )


def _numpy(tensor: Tensor) -> np.ndarray:
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
