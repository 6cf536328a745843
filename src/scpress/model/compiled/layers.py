"""The first and the last layer over the compiled loops: products, likelihood and gradients.

The pieces are used twice: by `gradients`, which trains the usual networks, and as functions that
autograd goes through, for every other network and where there is no gradient.
"""

import math
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from scipy.special import gammaln
from torch import Tensor
from torch.nn import functional

from scpress.model import likelihoods as lk
from scpress.model.batches import Cells, SparseBatch
from scpress.model.compiled import layer_loops, likelihood_loops
from scpress.model.compiled.arithmetic import CHUNKS
from scpress.model.compiled.likelihood_loops import NB, POISSON, ZINB

# A multinomial is Poisson but for what its total adds, which no parameter moves.
KINDS = {"poisson": POISSON, "nb": NB, "zinb": ZINB, "multinomial": POISSON}
# Above this share of nonzeros a densified batch is quicker than the sparse loops: measured with 128
# outputs and 128 cells, the two are equal at about 0.3.
DENSE_FROM = 0.3
_NO_SETS = np.zeros(0, dtype=np.int64)
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


def use_torchs_threads() -> None:
    """Let the compiled loops run on as many threads as torch's."""
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(torch.get_num_threads(), most))


# the first layer ----------------------------------------------------------------------------------


def is_dense(x: SparseBatch) -> bool:
    """Whether the batch is quicker multiplied with its zeros."""
    return len(x.values) > DENSE_FROM * x.shape[0] * x.shape[1]


def add_sparse_product(x: SparseBatch, weight: Tensor, out: Tensor) -> None:
    """Add to out [cells, outputs] the product of a batch with weight [genes, outputs]."""
    layer_loops.sparse_product(
        x.pointers.numpy(), x.indices.numpy(), x.values.numpy(), weight.numpy(), out.numpy()
    )


def sparse_gradient(x: SparseBatch, gradient: Tensor, out: Tensor) -> None:
    """Write to out [genes, outputs] the gradient of the weight of `add_sparse_product`."""
    by_gene = layer_loops.by_gene(
        x.pointers.numpy(), x.indices.numpy(), x.values.numpy(), x.n_genes
    )
    layer_loops.sparse_gradient(*by_gene, gradient.numpy(), out.numpy())  # type: ignore[call-arg]


class _SparseLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, x: SparseBatch) -> Tensor:
        use_torchs_threads()
        out = bias.detach().expand(x.shape[0], -1).contiguous()
        add_sparse_product(x, weight.detach().t(), out)
        ctx.x, ctx.shape = x, weight.shape
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        use_torchs_threads()
        by_weight = torch.empty(ctx.shape[::-1])
        sparse_gradient(ctx.x, gradient.contiguous(), by_weight)
        return by_weight.t(), gradient.sum(dim=0), None


def sparse_linear(x: SparseBatch, weight: Tensor, bias: Tensor) -> Tensor:
    """[cells, outputs] x weight^T + bias; quick if weight [outputs, genes] is stored by genes."""
    if is_dense(x):
        return functional.linear(x.dense(), weight, bias)
    return _SparseLinear.apply(weight, bias, x)


# the last layer and the likelihood ----------------------------------------------------------------


class Heads(NamedTuple):
    """Weights [genes, inputs] and biases [genes] of the last layer, or their gradients.

    Attributes
    ----------
    theta
        [rows, genes] log theta that cells share, or the weight of its head where `theta_bias` is.
    """

    eta: Tensor
    eta_bias: Tensor
    pi: Tensor | None
    pi_bias: Tensor | None
    theta: Tensor | None
    theta_bias: Tensor | None


_PRODUCTS = ("eta", "pi", "theta")


class OutputLayer:
    """The last layer and the likelihood of a batch: forward, and backward through both.

    Parameters
    ----------
    likelihood
        One of `KINDS`.
    heads
        Weights, read at every call.
    n_cells
        Cells of a batch.
    softmax
        Whether the library is shared out by a softmax, or scales exp(eta).
    products
        float32 or bfloat16: what the matrices are multiplied in. The softmax and the likelihood are
        float32, the nonzeros' terms float64, in either case.
    with_gradient
        Whether `backward` will be called.
    """

    def __init__(
        self,
        likelihood: str,
        heads: Heads,
        n_cells: int,
        *,
        softmax: bool,
        products: str,
        with_gradient: bool,
    ):
        self.heads = Heads(*(None if one is None else one.detach() for one in heads))  # type: ignore[arg-type]
        self._kind, self._softmax, self._with_gradient = KINDS[likelihood], softmax, with_gradient
        n_genes, n_inputs = heads.eta.shape
        dtype = torch.bfloat16 if products == "bfloat16" else torch.float32
        self._is_cast = dtype != torch.float32
        # The weights as they are multiplied, of the heads that are.
        multiplied = [n for n in _PRODUCTS if getattr(self.heads, f"{n}_bias") is not None]
        self._weights = {
            name: torch.empty(n_genes, n_inputs, dtype=dtype)
            if self._is_cast
            else getattr(self.heads, name)
            for name in multiplied
        }
        # The products, which `forward` overwrites with the gradients by them.
        self._products = {
            name: torch.empty(n_cells if name in self._weights else 0, n_genes, dtype=dtype)
            for name in _PRODUCTS
        }
        self._h = torch.empty(n_cells, n_inputs, dtype=dtype)
        self._by_cell = torch.empty(n_cells, dtype=torch.float64)
        shared = self.heads.theta if heads.theta_bias is None else None
        self._theta = self._products["theta"] if shared is None else shared
        chunks = CHUNKS if with_gradient else 0
        self._sums = {
            "eta": torch.empty(chunks, n_genes),
            "pi": torch.empty(chunks if heads.pi is not None else 0, n_genes),
            # One row is the sum of a bias.
            "theta": torch.empty(chunks, 1 if shared is None else len(shared), n_genes),
        }
        if with_gradient:
            self._scaled_h, self._by_h_cast = torch.empty_like(self._h), torch.empty_like(self._h)
            self._by_h = torch.empty(self._h.shape)
        if with_gradient and self._is_cast:
            self._by_weight = torch.empty(n_genes, n_inputs, dtype=dtype)
        self._all_measured = np.ones((0, n_genes), dtype=np.bool_)
        no_bias = torch.zeros(n_genes)
        biases = (self.heads.eta_bias, self.heads.pi_bias, self.heads.theta_bias)
        eta_bias, pi_bias, theta_bias = (no_bias if b is None else b for b in biases)
        self._arrays = tuple(
            _numpy(one)
            for one in (
                *(self._products["eta"], eta_bias),
                *(self._products["pi"], pi_bias),
                *(self._theta, theta_bias),
            )
        )
        self._written = tuple(one.numpy() for one in (self._by_cell, *self._sums.values()))

    def forward(self, h: Tensor, theta_row: Tensor, library: Tensor, cells: Cells) -> Tensor:
        """[cells] Log-likelihoods, nats, float64; overwritten by the next call.

        Parameters
        ----------
        h
            [cells, inputs] The last hidden layer.
        theta_row
            [cells] Row of the shared theta of each cell; empty where theta is one of each cell.
        library
            [cells] Molecules that the softmax shares out, or the size factor where there is none.
        cells
            Their counts, and which of them were measured.
        """
        x = cells.counts
        assert isinstance(x, SparseBatch)
        self._h.copy_(h)
        for name, weight in self._weights.items():
            if self._is_cast:
                weight.copy_(getattr(self.heads, name))
            torch.mm(self._h, weight.t(), out=self._products[name])
        likelihood_loops.log_likelihood(  # type: ignore[call-arg]
            self._kind,
            *self._arrays,
            theta_row.numpy(),
            library.numpy(),
            x.pointers.numpy(),
            x.indices.numpy(),
            x.values.numpy(),
            self._all_measured if cells.measured is None else cells.measured.numpy(),
            _NO_SETS if cells.gene_set is None else cells.gene_set.numpy(),
            _LOG_FACTORIALS,
            self._softmax,
            _LIMITS,
            self._with_gradient,
            *self._written,
        )
        return self._by_cell

    def backward(self, scale: float, to: Heads) -> Tensor:
        """[cells, inputs] Gradient of scale * the sum over the cells by h; the others go into `to`.

        The result is overwritten by the next call.
        """
        for i, name in enumerate(self._weights):
            product, weight = self._products[name], self._weights[name]
            self._by_h_cast.addmm_(product, weight, beta=min(i, 1))
        self._by_h.copy_(self._by_h_cast).mul_(scale)
        torch.mul(self._h, scale, out=self._scaled_h)
        for name in self._weights:
            target = getattr(to, name)
            by_weight = self._by_weight if self._is_cast else target
            torch.mm(self._products[name].t(), self._scaled_h, out=by_weight)
            if self._is_cast:
                target.copy_(by_weight)
            sums = self._sums[name].view(CHUNKS, -1)
            torch.sum(sums, 0, out=getattr(to, f"{name}_bias")).mul_(scale)
        if to.theta is not None and to.theta_bias is None:
            torch.sum(self._sums["theta"], 0, out=to.theta).mul_(scale)
            to.theta.mul_((self._theta >= lk.LOG_THETA_MIN) & (self._theta <= lk.LOG_THETA_MAX))
        return self._by_h


class _OutputLikelihood(torch.autograd.Function):
    """([] sum over cells, [cells]) Log-likelihood of a batch; the gradient is of the sum alone."""

    @staticmethod
    def forward(
        ctx: Any,
        layer: OutputLayer,
        theta_row: Tensor,
        library: Tensor,
        cells: Cells,
        h: Tensor,
        *heads: Any,
    ) -> tuple[Tensor, Tensor]:
        use_torchs_threads()
        by_cell = layer.forward(h.detach(), theta_row, library, cells)
        ctx.layer, ctx.heads = layer, heads
        parts = by_cell.float()
        ctx.mark_non_differentiable(parts)
        return parts.double().sum().float(), parts

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        to = Heads(*(None if one is None else torch.empty(one.shape) for one in ctx.heads))  # type: ignore[arg-type]
        return *(None,) * 4, ctx.layer.backward(float(gradient), to), *to


def output_log_likelihood(
    layer: OutputLayer, heads: Heads, h: Tensor, theta_row: Tensor, library: Tensor, cells: Cells
) -> tuple[Tensor, Tensor]:
    """As `OutputLayer.forward`, for autograd.

    Returns
    -------
    [] sum over the cells, which has a gradient, and [cells] its parts, which have none
    """
    return _OutputLikelihood.apply(layer, theta_row, library, cells, h, *heads)


def _numpy(tensor: Tensor) -> np.ndarray:
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
