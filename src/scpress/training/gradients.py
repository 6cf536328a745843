"""The loss of a batch and its gradient by every weight, written out by hand for the CPU.

What autograd would do for the usual networks, in memory that is laid out once: a step of 128 cells
calls a few dozen functions, and each that asks for memory or is recorded costs as much as what it
computes. `network` says what is computed, and tests hold the two against each other.
"""

import numpy as np
import torch
from torch import Tensor, nn

from scpress.model.batches import Cells, SparseBatch
from scpress.model.compiled import layer_loops, layers, posterior_loops
from scpress.model.layers import Layers
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.network import VARIANCE_FLOOR, CountAutoencoder


class Gradients:
    """Computes the loss of batches of `n_cells` cells; every parameter's `grad` is overwritten.

    Attributes
    ----------
    all
        [parameters] The gradient by all parameters, one after another: `grad` are parts of it.
    """

    def __init__(self, network: CountAutoencoder, n_cells: int):
        self.network, self.n_cells = network, n_cells
        parameters = list(network.parameters())
        self.all = torch.zeros(sum(p.numel() for p in parameters))
        for parameter, part in zip(
            parameters, self.all.split([p.numel() for p in parameters]), strict=True
        ):
            # The first layer's weight is stored by genes, and its gradient as it is.
            is_straight = parameter.is_contiguous()
            shape = parameter.shape if is_straight else parameter.shape[::-1]
            parameter.grad = part.view(shape) if is_straight else part.view(shape).t()

        config = network.config
        hidden = config.hidden
        self._first = _FirstLayer(network, n_cells)
        self._encoder = _Stack(network.encoder, hidden[0], n_cells, n_applied=1)
        self._mean = _Linear(network.z_mean, hidden[-1], n_cells)
        spread = network.z_log_variance
        self._spread = None if spread is None else _Linear(spread, hidden[-1], n_cells)
        self._z, self._variance, self._by_mean, self._by_spread = torch.empty(
            4, n_cells, config.n_latent
        )
        self._decoder = _Stack(network.decoder, config.n_latent, n_cells)
        heads = network.heads()
        self._output = network.output_layer(
            heads, n_cells, products=network.products, with_gradient=True
        )
        self._to = layers.Heads(*(None if one is None else one.grad for one in heads))  # type: ignore[arg-type]

    @staticmethod
    def are_written_out_for(network: CountAutoencoder) -> bool:
        """Whether this network's gradients are written out here, where it is."""
        return network.is_compiled and Gradients.have_formulas(network)

    @staticmethod
    def have_formulas(network: CountAutoencoder) -> bool:
        """Whether this network's gradients are written out, here and for a GPU."""
        config = network.config
        return (
            len(config.hidden) > 0
            and config.norm == "batch"
            and config.activation == "relu"
            and config.likelihood in layers.KINDS
            and not (config.is_penalized or config.tied_weights or config.residual)
            and not config.input_noise
            and config.prior in ("none", "kl")
        )

    @torch.no_grad()
    def __call__(self, cells: Cells, noise: Tensor, kl_weight: float) -> float:
        """Loss of the cells in training, nats per cell, as `CountAutoencoder.loss` has it."""
        assert isinstance(cells.counts, SparseBatch)
        layers.use_torchs_threads()
        network, n_cells = self.network, self.n_cells
        one_hot = network.one_hot(cells.batch)
        batch = [] if one_hot is None else [one_hot]
        all_covariates = ([] if cells.continuous is None else [cells.continuous]) + batch
        if network.config.encode_covariates:
            h = self._first.forward(cells, all_covariates)
            h = self._encoder.forward(h, [], batch)
        else:
            h = self._encoder.forward(self._first.forward(cells, []), [], [])
        z, kl = self._draw(h, noise)
        if network.config.prior != "kl":
            kl_weight = 0.0
        if self._decoder.linear:
            h = self._decoder.forward(z, all_covariates, batch)
        else:
            h = torch.cat([z, *all_covariates], dim=1) if all_covariates else z
        by_cell = self._output.forward(h, network.theta_row(cells), network.library(cells), cells)
        loss = (kl_weight * kl - float(by_cell.sum())) / n_cells
        of_total = LIKELIHOODS[network.config.likelihood].of_total
        if of_total is not None:
            loss -= float(of_total(cells.total).mean())

        by_h = self._output.backward(-1 / n_cells, self._to)
        if self._decoder.linear:
            by_z = self._decoder.backward(by_h)
        else:
            by_z = by_h[:, : network.config.n_latent].contiguous()
        by_h = self._draw_backward(by_z, noise, kl_weight / n_cells)
        self._first.backward(self._encoder.backward(by_h))
        return loss

    def _draw(self, h: Tensor, noise: Tensor) -> tuple[Tensor, float]:
        """([cells, n_latent] Latent, sum of the KL), as `posterior_loops.posterior` has them."""
        mean = self._mean.forward(h, [])
        if self._spread is None:
            return mean, 0.0
        kl = posterior_loops.posterior(
            mean.numpy(),
            self._spread.forward(h, []).numpy(),
            noise.numpy(),
            np.float32(VARIANCE_FLOOR),
            self._z.numpy(),
            self._variance.numpy(),
        )
        return self._z, kl

    def _draw_backward(self, by_z: Tensor, noise: Tensor, by_kl: float) -> Tensor:
        if self._spread is None:
            return self._mean.backward(by_z)
        posterior_loops.posterior_gradient(
            by_z.numpy(),
            np.float32(by_kl),
            self._mean.out.numpy(),
            self._variance.numpy(),
            noise.numpy(),
            np.float32(VARIANCE_FLOOR),
            self._by_mean.numpy(),
            self._by_spread.numpy(),
        )
        by_h = self._mean.backward(self._by_mean)
        return by_h.add_(self._spread.backward(self._by_spread))


class _FirstLayer:
    """The first linear layer of the encoder, on a sparse batch; its weight is stored by genes."""

    def __init__(self, network: CountAutoencoder, n_cells: int):
        linear = network.encoder.linear[0]
        assert isinstance(linear, nn.Linear)
        self._network, self._bias, self._by_bias = network, linear.bias.detach(), linear.bias.grad
        n_genes = network.config.n_genes
        weight, by_weight = linear.weight.detach().t(), linear.weight.grad.t()  # type: ignore[union-attr]
        self._weight, self._by_weight = weight[:n_genes], by_weight[:n_genes]
        self._of_rest, self._by_rest = weight[n_genes:], by_weight[n_genes:]
        self._is_scaled = network.config.input == "zscore"
        self._scaled = torch.empty_like(self._weight) if self._is_scaled else self._weight
        self._out = torch.empty(n_cells, linear.out_features)

    def forward(self, cells: Cells, rest: list[Tensor]) -> Tensor:
        """[cells, width]; rest is [cells, any] what enters beside the counts."""
        values = self._network.input_values(cells)
        assert isinstance(values, SparseBatch)
        self._values = values.dense() if layers.is_dense(values) else values
        self._rest = torch.cat(rest, dim=1) if rest else None
        bias = self._bias
        if self._is_scaled:
            # W ((u - mean) / scale) = (W / scale) u - (W / scale) mean: the zeros stay unstored.
            torch.div(self._weight, self._network.input_scale[:, None], out=self._scaled)
            bias = bias - self._network.input_mean @ self._scaled
        if self._rest is None:
            self._out.copy_(bias.expand_as(self._out))
        else:
            torch.addmm(bias, self._rest, self._of_rest, out=self._out)
        self._cells = cells
        if cells.measured is not None:
            self._absent = self._network.absent(cells)
            self._out.add_((self._absent @ self._scaled)[cells.gene_set])
        if isinstance(self._values, Tensor):
            return self._out.addmm_(self._values, self._scaled)
        layers.add_sparse_product(self._values, self._scaled, self._out)
        return self._out

    def backward(self, gradient: Tensor) -> None:
        if isinstance(self._values, Tensor):
            torch.mm(self._values.t(), gradient, out=self._by_weight)
        else:
            layers.sparse_gradient(self._values, gradient, self._by_weight)
        if self._cells.gene_set is not None:
            by_set = torch.zeros(len(self._absent), gradient.shape[1])
            by_set.index_add_(0, self._cells.gene_set, gradient)
            self._by_weight.addmm_(self._absent.t(), by_set)
        by_bias = torch.sum(gradient, 0, out=self._by_bias)
        if self._rest is not None:
            torch.mm(self._rest.t(), gradient, out=self._by_rest)
        if self._is_scaled:
            self._by_weight.addr_(self._network.input_mean, by_bias, alpha=-1)
            self._by_weight.div_(self._network.input_scale[:, None])


class _Linear:
    """A linear layer of `width` inputs and what enters beside them."""

    def __init__(self, linear: nn.Linear, width: int, n_cells: int):
        self._weight, self._bias = linear.weight.detach(), linear.bias.detach()
        self._by_weight, self._by_bias = linear.weight.grad, linear.bias.grad
        self._of_input = self._weight[:, :width]
        self._input = torch.empty(0)
        self.out = torch.empty(n_cells, linear.out_features)
        self._by_input = torch.empty(n_cells, width)

    def forward(self, h: Tensor, rest: list[Tensor]) -> Tensor:
        self._input = torch.cat([h, *rest], dim=1) if rest else h
        return torch.addmm(self._bias, self._input, self._weight.t(), out=self.out)

    def backward(self, gradient: Tensor) -> Tensor:
        torch.mm(gradient.t(), self._input, out=self._by_weight)
        torch.sum(gradient, 0, out=self._by_bias)
        return torch.mm(gradient, self._of_input, out=self._by_input)


class _Hidden:
    """Batch norm, relu and dropout, in training; the norm keeps count."""

    def __init__(self, norm: nn.BatchNorm1d, dropout_rate: float, n_cells: int):
        width = norm.num_features
        assert norm.momentum is not None
        self._rate = dropout_rate
        self._kept = torch.empty(n_cells if dropout_rate > 0 else 0, width)
        self._n_batches = norm.num_batches_tracked
        self._out, self._by_h = torch.empty(2, n_cells, width)
        mean, inverse = torch.empty(2, width).numpy()
        gain = norm.weight.detach().numpy()
        scale = np.float32(1 / (1 - dropout_rate))
        self._reads = (
            gain,
            norm.bias.detach().numpy(),
            self._kept.numpy(),
            scale,
            np.float32(norm.eps),
            np.float32(norm.momentum),
        )
        running = [one.numpy() for one in (norm.running_mean, norm.running_var)]  # type: ignore[union-attr]
        out = self._out.numpy()
        self._writes = (out, mean, inverse, *running)
        self._for_backward = (out, gain, scale, mean, inverse)
        by = [self._by_h, norm.weight.grad, norm.bias.grad]
        self._gradients = tuple(one.numpy() for one in by)  # type: ignore[union-attr]

    def forward(self, h: Tensor) -> Tensor:
        self._h = h.numpy()
        if self._rate:
            self._kept.bernoulli_(1 - self._rate)
        layer_loops.hidden(self._h, *self._reads, *self._writes)
        self._n_batches.add_(1)  # type: ignore[operator,union-attr]
        return self._out

    def backward(self, gradient: Tensor) -> Tensor:
        layer_loops.hidden_gradient(
            gradient.numpy(), self._h, *self._for_backward, *self._gradients
        )
        return self._by_h


class _Stack:
    """The hidden layers of an encoder or decoder, but for the first `n_applied` linear ones."""

    def __init__(self, stack: Layers, width: int, n_cells: int, *, n_applied: int = 0):
        self.linear: list[_Linear | None] = []
        self._hidden = []
        for i, (linear, norm) in enumerate(zip(stack.linear, stack.norm, strict=True)):
            assert isinstance(linear, nn.Linear)
            assert isinstance(norm, nn.BatchNorm1d)
            self.linear.append(None if i < n_applied else _Linear(linear, width, n_cells))
            self._hidden.append(_Hidden(norm, stack.dropout_rate, n_cells))
            width = linear.out_features

    def forward(self, h: Tensor, rest_of_first: list[Tensor], rest: list[Tensor]) -> Tensor:
        """[cells, width]; the rest is what enters a linear layer beside the one before."""
        for i, (linear, hidden) in enumerate(zip(self.linear, self._hidden, strict=True)):
            if linear is not None:
                h = linear.forward(h, rest if i else rest_of_first)
            h = hidden.forward(h)
        return h

    def backward(self, gradient: Tensor) -> Tensor:
        for linear, hidden in zip(reversed(self.linear), reversed(self._hidden), strict=True):
            gradient = hidden.backward(gradient)
            if linear is not None:
                gradient = linear.backward(gradient)
        return gradient
