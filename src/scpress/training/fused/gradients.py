"""The loss of a batch and its gradient by every weight on a GPU, written out by hand.

Matrix products are torch's; all else is of `Operations`, in kernels or in plain torch. Memory is
laid out once, nothing waits for a value and all shapes are fixed: one capture holds many steps.
`network` says what is computed, `training.gradients` computes the same on a CPU.
"""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from scpress.model.layers import Layers
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.network import VARIANCE_FLOOR, CountAutoencoder
from scpress.training.fused.plain import MOST_PARTS, Norm, Output
from scpress.training.fused.weights import Weights


class Operations(Protocol):
    """What `plain` and `kernels` both have; they are described in `plain`."""

    draw: Any
    gather: Any
    hidden: Any
    hidden_gradient: Any
    posterior: Any
    posterior_gradient: Any
    likelihood: Any
    loss: Any
    move: Any


class Given:
    """What a step computes from, at fixed places of the device.

    Attributes
    ----------
    counts
        [B, G].
    total, size
        [B] Molecules, and the size factor.
    one_hot, continuous, batch
        [B, batches], [B, covariates], [B] Covariates; None where the model has none.
    """

    def __init__(self, network: CountAutoencoder, n_cells: int, device: torch.device):
        config = network.config
        self.counts = torch.zeros(n_cells, config.n_genes, device=device)
        self.total, self.size = torch.ones(2, n_cells, device=device)
        n_continuous = len(config.continuous_covariates)
        self.one_hot = self.continuous = self.batch = None
        self._batches = torch.arange(config.n_batches, device=device)
        if config.n_batches:
            self.one_hot = torch.zeros(n_cells, config.n_batches, device=device)
            self.batch = torch.zeros(n_cells, dtype=torch.int64, device=device)
        if n_continuous:
            self.continuous = torch.zeros(n_cells, n_continuous, device=device)

    def choose(self, rows: Tensor, batch: Tensor | None, continuous: Tensor | None) -> None:
        """Set the covariates to those of some rows [B] of all cells' [cells], [cells, any]."""
        if self.batch is not None and self.one_hot is not None and batch is not None:
            torch.index_select(batch, 0, rows, out=self.batch)
            self.one_hot.copy_(self.batch[:, None] == self._batches)
        if self.continuous is not None and continuous is not None:
            torch.index_select(continuous, 0, rows, out=self.continuous)

    def covariates(self) -> list[Tensor]:
        """Those there are, in the order in which layers read them."""
        return [one for one in (self.continuous, self.one_hot) if one is not None]


class FusedGradients:
    """Computes the loss of batches of `n_cells` cells, and its gradient into `weights.gradient`.

    Attributes
    ----------
    given, inputs
        What is computed from, to be written before: inputs [B, G] is what the first layer reads of
        the counts.
    heads
        The last layer and the likelihood.
    """

    def __init__(
        self, network: CountAutoencoder, weights: Weights, n_cells: int, operations: Operations
    ):
        config, device = network.config, network.input_mean.device
        self.network, self._do = network, operations
        self.given = given = Given(network, n_cells, device)
        self.heads = _Heads(network, weights, n_cells, operations, given)
        everything, batch = given.covariates(), [one for one in (given.one_hot,) if one is not None]
        read = everything if config.encode_covariates else []
        self._encoder = _Stack(
            network.encoder,
            "encoder",
            weights,
            operations,
            _Input(n_cells, config.n_genes, read, device=device),
            batch if config.encode_covariates else [],
            last=torch.float32,
        )
        self.inputs = self._encoder.input.own
        names = ["z_mean", "z_log_variance"] if config.is_variational else ["z_mean"]
        matrices, biases = ([f"{name}.{leaf}" for name in names] for leaf in ("weight", "bias"))
        self._posterior = weights.of(*matrices)
        self._by_posterior = weights.of(*matrices, source=weights.gradient)
        self._bias = weights.of(*biases).view(-1)
        self._by_bias = weights.of(*biases, source=weights.gradient).view(-1)
        self._moments, self._by_moments = torch.zeros(2, n_cells, len(self._bias), device=device)
        self._kl = torch.zeros(n_cells, device=device)
        # Without hidden layers the latent and all covariates enter the heads themselves.
        entering = torch.float32 if len(network.decoder.linear) else self.heads.dtype
        first = _Input(n_cells, config.n_latent, everything, device=device, dtype=entering)
        self._decoder = _Stack(
            network.decoder, "decoder", weights, operations, first, batch, last=self.heads.dtype
        )

    def __call__(self, kept: Tensor | None, noise: Tensor, kl_weight: Tensor, out: Tensor) -> None:
        """Write to out [] the loss of the cells given, nats per cell.

        Parameters
        ----------
        kept
            [B, units of the encoder] As `plain.draw` writes it, or None without dropout.
        noise
            [B, L].
        kl_weight
            [] Weight of the KL term; 0 where there is none.
        """
        do, config, heads = self._do, self.network.config, self.heads
        encoded = self._encoder.forward(kept)
        torch.addmm(self._bias, encoded, self._posterior.t(), out=self._moments)
        z = self._decoder.input.own
        if config.is_variational:
            do.posterior(self._moments, noise, VARIANCE_FLOOR, z, self._kl)
        else:
            z.copy_(self._moments)
        h = self._decoder.forward(None)
        heads.forward(h)
        do.loss(heads.output.sums[0], self._kl, kl_weight, out)
        of_total = LIKELIHOODS[config.likelihood].of_total
        if of_total is not None:
            out.sub_(of_total(self.given.total).mean())

        by_z = self._decoder.backward(heads.backward(h))[:, : config.n_latent]
        if config.is_variational:
            to = (self._by_moments, self._by_bias)
            do.posterior_gradient(by_z, self._moments, noise, kl_weight, VARIANCE_FLOOR, *to)
        else:
            self._by_moments.copy_(by_z)
            torch.sum(self._by_moments, 0, out=self._by_bias)
        torch.mm(self._by_moments.t(), encoded, out=self._by_posterior)
        self._encoder.backward(self._by_moments @ self._posterior)


class _Heads:
    """The last layer and the likelihood.

    Attributes
    ----------
    dtype
        What the last layer is multiplied in, and reads.
    halves
        [floats] The heads as they are multiplied in bfloat16, from the start of the memory of all
        weights on; none in float32.
    output
        What the likelihood reads and writes.
    """

    def __init__(
        self,
        network: CountAutoencoder,
        weights: Weights,
        n_cells: int,
        operations: Operations,
        given: Given,
    ):
        config, device = network.config, network.input_mean.device
        self._do, self._given, self._values = operations, given, weights.values
        self._is_cast = network.products == "bfloat16"
        self.dtype = torch.bfloat16 if self._is_cast else torch.float32
        all_heads = ("eta", "pi_logits", "log_theta")
        names = [name for name in all_heads if isinstance(getattr(network, name), nn.Linear)]
        matrices, biases = ([f"{name}.{leaf}" for name in names] for leaf in ("weight", "bias"))
        n_halves = weights.end_of(matrices[-1]) if self._is_cast else 0
        self.halves = torch.zeros(n_halves, dtype=self.dtype, device=device)
        self._weight = weights.of(*matrices, source=self.halves if self._is_cast else None)
        self._by_weight = weights.of(*matrices, source=weights.gradient)
        self._product = torch.zeros_like(self._weight) if self._is_cast else self._by_weight
        n_outputs, n_inputs = self._weight.shape
        self._by_h = torch.zeros(n_cells, n_inputs, dtype=self.dtype, device=device)
        products, gradient = torch.zeros(2, n_cells, n_outputs, dtype=self.dtype, device=device)
        theta = by_theta = torch.zeros(0, config.n_genes, device=device)
        if isinstance(network.log_theta, nn.Parameter):
            theta = weights.of("log_theta")
            by_theta = weights.of("log_theta", source=weights.gradient)
        theta_row = given.batch if config.dispersion == "gene-batch" else None
        if theta_row is None:
            theta_row = torch.zeros(n_cells, dtype=torch.int64, device=device)
        n_shared = n_cells if len(theta) else 0
        self.output = Output(
            # A multinomial is Poisson but for what its total adds, which no parameter moves.
            kind="poisson" if config.likelihood == "multinomial" else config.likelihood,
            products=products,
            gradient=gradient,
            bias=weights.of(*biases).view(-1),
            by_bias=weights.of(*biases, source=weights.gradient).view(-1),
            theta=theta,
            by_theta=by_theta,
            theta_row=theta_row,
            softmax=config.library == "observed",
            library=torch.ones(n_cells, device=device),
            counts=given.counts,
            log_norm=torch.zeros(n_cells, device=device),
            by_theta_of_cell=torch.zeros(n_shared, config.n_genes, device=device),
            sums=torch.zeros(2, n_cells, MOST_PARTS, device=device),
        )

    def cast(self) -> None:
        """Bring the bfloat16 copy of the heads up to date."""
        if self._is_cast:
            self.halves.copy_(self._values[: len(self.halves)])

    def forward(self, h: Tensor) -> None:
        """Compute the likelihood, and the gradient by the products, from the last layer's input."""
        o = self.output
        torch.mm(h, self._weight.t(), out=o.products)
        if o.softmax:
            # A cell without molecules of the modelled genes has log-likelihood near 0 at total 1.
            torch.clamp(self._given.total, min=1, out=o.library)
        else:
            o.library.copy_(self._given.size)
        self._do.likelihood(o)

    def backward(self, h: Tensor) -> Tensor:
        """[B, inputs] The gradient by the input; overwritten by the next call."""
        torch.mm(self.output.gradient.t(), h, out=self._product)
        if self._is_cast:
            self._by_weight.copy_(self._product)
        return torch.mm(self.output.gradient, self._weight, out=self._by_h)


class _Input:
    """[B, width and covariates] What a linear layer reads; the covariates stand behind."""

    def __init__(
        self,
        n_cells: int,
        width: int,
        covariates: list[Tensor],
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ):
        n_all = width + sum(one.shape[1] for one in covariates)
        self.all = torch.zeros(n_cells, n_all, dtype=dtype, device=device)
        self.own = self.all[:, :width]
        self._covariates = covariates

    def fill(self) -> Tensor:
        """All of it, the covariates as they are now."""
        end = self.own.shape[1]
        for one in self._covariates:
            self.all[:, end : end + one.shape[1]].copy_(one)
            end += one.shape[1]
        return self.all


class _Stack:
    """The hidden layers of an encoder or decoder.

    Attributes
    ----------
    input
        What the first layer reads, or whoever comes after if there is none.
    out
        [B, units] Of the last layer.
    """

    def __init__(
        self,
        stack: Layers,
        prefix: str,
        weights: Weights,
        operations: Operations,
        first: _Input,
        covariates: list[Tensor],
        *,
        last: torch.dtype,
    ):
        self._do, self.input = operations, first
        self._layers: list[_Layer] = []
        n_cells, device = len(first.all), first.all.device
        entering = first
        for i, norm in enumerate(stack.norm):
            assert isinstance(norm, nn.BatchNorm1d)
            width, is_last = norm.num_features, i == len(stack.norm) - 1
            after = _Input(
                n_cells,
                width,
                [] if is_last else covariates,
                device=device,
                dtype=last if is_last else torch.float32,
            )
            scale = 1 / (1 - stack.dropout_rate)
            self._layers.append(_Layer(f"{prefix}.{{}}.{i}", norm, scale, weights, entering, after))
            entering = after
        self.out = entering.all

    def forward(self, kept: Tensor | None) -> Tensor:
        """[B, units] Of the last layer, or what enters where there is none."""
        start = 0
        for layer in self._layers:
            torch.mm(layer.entering.fill(), layer.weight, out=layer.x)
            end = start + layer.x.shape[1]
            of_layer = None if kept is None else kept[:, start:end]
            start = end
            out = layer.after.own
            self._do.hidden(layer.x, layer.bias, layer.norm, of_layer, out, layer.inverse)
        return self.out if self._layers else self.input.fill()

    def backward(self, gradient: Tensor) -> Tensor:
        """[B, what enters] The gradient by it; what an encoder's first layer read has none."""
        for layer in reversed(self._layers):
            self._do.hidden_gradient(
                gradient,
                layer.after.own,
                layer.norm,
                layer.scale,
                layer.inverse,
                layer.x,
                *layer.by_norm,
                layer.by_bias,
            )
            torch.mm(layer.entering.all.t(), layer.x, out=layer.by_weight)
            if not layer.is_first_of_all:
                gradient = layer.x @ layer.weight[: layer.entering.own.shape[1]].t()
        return gradient


class _Layer:
    """A hidden layer's weights, and what its gradient needs of the forward pass."""

    def __init__(
        self,
        name: str,
        norm: nn.BatchNorm1d,
        scale: float,
        weights: Weights,
        entering: _Input,
        after: _Input,
    ):
        self.entering, self.after, self.scale = entering, after, scale
        linear, of_norm = name.format("linear"), name.format("norm")
        self.is_first_of_all = linear == "encoder.linear.0"

        def both(leaf: str) -> tuple[Tensor, Tensor]:
            return weights.of(leaf), weights.of(leaf, source=weights.gradient)

        self.weight, self.by_weight = both(f"{linear}.weight")
        # [inputs, outputs], as the first layer of an encoder is stored.
        if not self.is_first_of_all:
            self.weight, self.by_weight = self.weight.t(), self.by_weight.t()
        self.bias, self.by_bias = both(f"{linear}.bias")
        gain, by_gain = both(f"{of_norm}.weight")
        shift, by_shift = both(f"{of_norm}.bias")
        self.by_norm = (by_gain, by_shift)
        running = (norm.running_mean, norm.running_var, norm.num_batches_tracked)
        assert norm.momentum is not None
        self.norm = Norm(gain, shift, *running, norm.eps, norm.momentum)  # type: ignore[arg-type]
        self.x = torch.zeros(len(after.all), norm.num_features, device=gain.device)
        self.inverse = torch.zeros(norm.num_features, device=gain.device)
