"""The one autoencoder: how counts become a latent and a latent becomes a distribution of counts."""

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from scpress.model import likelihoods as lk
from scpress.model import penalties
from scpress.model.axes import ModelConfig
from scpress.model.batches import Cells, DenseBatch, SparseBatch
from scpress.model.compiled import layers
from scpress.model.layers import Layers, Tied
from scpress.model.likelihoods import LIKELIHOODS, Parameters
from scpress.model.priors import Discriminator, draw_prior, squared_mmd

# Added to the variance of the posterior, as scvi-tools does: it keeps log q finite.
VARIANCE_FLOOR = 1e-4


class Loss(NamedTuple):
    """[] Means over the cells, nats: total = reconstruction + kl_weight * kl + penalty."""

    total: Tensor
    reconstruction: Tensor
    kl: Tensor
    penalty: Tensor


class CountAutoencoder(nn.Module):
    """Encoder, latent and decoder along the axes of a `ModelConfig`."""

    input_mean: Tensor
    input_scale: Tensor
    continuous_mean: Tensor
    continuous_scale: Tensor
    rate: Tensor
    measured: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        likelihood = LIKELIHOODS[config.likelihood]
        n_continuous = len(config.continuous_covariates)
        n_genes, n_latent, n_batches = config.n_genes, config.n_latent, config.n_batches

        encoded = config.encode_covariates
        widths = [n_genes + (n_continuous if encoded else 0), *config.hidden]
        self.encoder = Layers(config, widths, n_batches if encoded else 0, config.dropout_rate)
        # Without hidden layers the batch enters here, as it would enter the first of them.
        direct = n_batches if encoded and not config.hidden else 0
        self.z_mean = nn.Linear(widths[-1] + direct, n_latent)
        self.z_log_variance = (
            nn.Linear(widths[-1] + direct, n_latent) if config.is_variational else None
        )

        mirrored = list(reversed(config.hidden)) if config.decoder == "mlp" else []
        widths = [n_latent + n_continuous, *mirrored]
        self.decoder = Layers(config, widths, n_batches, 0.0)
        n_head = widths[-1] + (0 if mirrored else n_batches)
        self.eta: nn.Linear | Tied = nn.Linear(n_head, n_genes)
        self.pi_logits = nn.Linear(n_head, n_genes) if likelihood.has_pi else None
        self.log_theta: nn.Parameter | nn.Linear | None = None
        if likelihood.has_theta:
            if config.dispersion == "gene-cell":
                self.log_theta = nn.Linear(n_head, n_genes)
            else:
                rows = max(1, n_batches) if config.dispersion == "gene-batch" else 1
                self.log_theta = nn.Parameter(torch.zeros(rows, n_genes))

        if config.hidden:
            # Stored by genes, as the products with a sparse batch read and write it.
            first = self._first_linear
            first.weight = nn.Parameter(first.weight.detach().t().contiguous().t())
        if config.tied_weights:
            *hidden, last = [self.z_mean, *reversed(self.encoder.linear)]
            for i, source in enumerate(hidden):
                self.decoder.linear[i] = Tied(source, source.in_features)  # type: ignore[arg-type]
            self.eta = Tied(last, n_genes)  # type: ignore[arg-type]
        if config.prior == "adversarial":
            self.discriminator = Discriminator(n_latent)
        # Whether the compiled kernels do what they can, and what training multiplies matrices in.
        self.kernels, self.products = "numba", "float32"

        # What the input is shifted and scaled by (`input: zscore`), folded into the first layer.
        self.register_buffer("input_mean", torch.zeros(n_genes))
        self.register_buffer("input_scale", torch.ones(n_genes))
        # Mean and deviation of the continuous covariates over the training cells.
        self.register_buffer("continuous_mean", torch.zeros(n_continuous))
        self.register_buffer("continuous_scale", torch.ones(n_continuous))
        if config.masked:
            # Molecules at size factor 1, and which batch measured which gene. What enters for a
            # gene that was not measured is `input_mean`, of log1p input, too.
            self.register_buffer("rate", torch.ones(n_genes))
            measured = torch.ones(max(1, n_batches), n_genes, dtype=torch.bool)
            self.register_buffer("measured", measured)

    @property
    def _first_linear(self) -> nn.Linear:
        first = self.encoder.linear[0]
        assert isinstance(first, nn.Linear)
        return first

    # encode ---------------------------------------------------------------------------------

    def encode(self, cells: Cells) -> tuple[Tensor, Tensor | None]:
        """([cells, n_latent] mean or code, [cells, n_latent] deviation or None)."""
        z_mean, log_variance = self._encoded(cells)
        return z_mean, None if log_variance is None else _deviation(log_variance)

    def _encoded(
        self, cells: Cells, entering: list[Tensor] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """([cells, n_latent] mean or code, [cells, n_latent] log-variance before its floor)."""
        one_hot = self.one_hot(cells.batch) if self.config.encode_covariates else None
        continuous = cells.continuous if self.config.encode_covariates else None
        others = [part for part in (continuous, one_hot) if part is not None]
        if self.config.hidden:
            first = self._first_layer(cells, others)
            h = self.encoder(first, one_hot, n_applied=1, entering=entering)
        else:
            h = torch.cat([self._input(cells), *others], dim=-1)
        z_mean = self.z_mean(h)
        return z_mean, None if self.z_log_variance is None else self.z_log_variance(h)

    def input_values(self, cells: Cells) -> SparseBatch | DenseBatch:
        """[cells, genes] What the first layer reads, before it is shifted and scaled.

        In training it is corrupted (Vincent et al. 2008). What is left is scaled up, as dropout
        does, so that cells which are read whole look alike on average.
        """
        config = self.config
        if self.training and config.molecule_thinning:
            counts = cells.counts
            kept = torch.full_like(counts.values, 1 - config.molecule_thinning)
            left = torch.binomial(counts.values, kept) / kept
            cells = dataclasses.replace(cells, counts=dataclasses.replace(counts, values=left))
        if config.input == "log1p":
            values = dataclasses.replace(cells.counts, values=torch.log1p(cells.counts.values))
        else:
            values = self.log_normalized(cells)
        if self.training and config.gene_mask:
            masked = functional.dropout(values.values, config.gene_mask)
            values = dataclasses.replace(values, values=masked)
        return values

    @property
    def _is_noisy(self) -> bool:
        return self.training and self.config.input_noise > 0

    def _noise(self, cells: Cells) -> Tensor:
        """[cells, genes] Noise on the shifted and scaled input; none where nothing was measured."""
        like = self.input_mean
        shape = (len(cells.total), self.config.n_genes)
        noise = torch.randn(shape, dtype=like.dtype, device=like.device)
        noise = self.config.input_noise * noise
        return noise if cells.mask is None else noise * cells.mask

    def absent(self, cells: Cells) -> Tensor:
        """[sets, genes] What enters for the genes that were not measured, 0 for the others."""
        assert cells.measured is not None
        return (~cells.measured) * self.input_mean

    def _input(self, cells: Cells) -> Tensor:
        """[cells, genes] Input with its zeros, shifted and scaled."""
        values = self.input_values(cells).dense()
        if cells.mask is not None:
            values = torch.where(cells.mask, values, self.input_mean)
        if self.config.input == "zscore":
            values = (values - self.input_mean) / self.input_scale
        return values + self._noise(cells) if self._is_noisy else values

    def _first_layer(self, cells: Cells, others: list[Tensor]) -> Tensor:
        """[cells, width] First linear layer of the encoder."""
        linear, n_genes = self._first_linear, self.config.n_genes
        weight: Tensor = linear.weight[:, :n_genes]
        bias: Tensor = linear.bias
        if self.config.input == "zscore":
            # W (u - mean)/scale = (W/scale) u - (W/scale) mean: the zeros stay unstored.
            weight = weight / self.input_scale
            bias = bias - weight @ self.input_mean
        if others:
            rest = torch.cat(others, dim=-1)
            more = functional.linear(rest, linear.weight[:, n_genes:])
        else:
            more = None
        values = self.input_values(cells)
        if self.is_compiled and isinstance(values, SparseBatch):
            h = layers.sparse_linear(values, weight, bias)
        else:
            h = functional.linear(values.dense(), weight, bias)
        if cells.measured is not None:
            h = h + functional.linear(self.absent(cells), weight)[cells.gene_set]
        if self._is_noisy:
            h = h + functional.linear(self._noise(cells), linear.weight[:, :n_genes])
        return h if more is None else h + more

    def log_normalized(self, cells: Cells) -> SparseBatch | DenseBatch:
        """[cells, genes] log1p(counts / size_factor); zeros stay zero and unstored."""
        counts = cells.counts
        scaled = counts.values / counts.of_cells(cells.size_factor)
        return dataclasses.replace(counts, values=torch.log1p(scaled))

    def one_hot(self, batch: Tensor | None) -> Tensor | None:
        """[cells, batches] The batch as decoder and encoder are given it."""
        if batch is None or not self.config.n_batches:
            return None
        return functional.one_hot(batch, self.config.n_batches).to(self.eta.weight.dtype)

    # decode ---------------------------------------------------------------------------------

    def decode(self, z: Tensor, cells: Cells) -> Parameters:
        """Parameters of every entry from a latent [cells, n_latent]."""
        return self._decoded(self._last_hidden(z, cells), cells)

    def _decoded(self, h: Tensor, cells: Cells) -> Parameters:
        return Parameters(
            self._log_mu(self._product(self.eta, h), cells),
            self._log_theta(h, cells.batch),  # type: ignore[arg-type]
            self._pi_logits(h),  # type: ignore[arg-type]
        )

    def _last_hidden(self, z: Tensor, cells: Cells) -> Tensor:
        """[cells, width] What the heads are given."""
        one_hot = self.one_hot(cells.batch)
        h = z
        if cells.continuous is not None:
            h = torch.cat([h, cells.continuous], dim=-1)
        if len(self.decoder.linear):
            h = self.decoder(h, one_hot)
        elif one_hot is not None:
            h = torch.cat([h, one_hot], dim=-1)
        return h

    def _product(self, head: nn.Linear | Tied, h: Tensor) -> Tensor:
        if self.products == "float32" or not self.training:
            return head(h)
        return (h.bfloat16() @ head.weight.bfloat16().t()).float() + head.bias

    def _log_mu(self, eta: Tensor, cells: Cells) -> Tensor:
        if not LIKELIHOODS[self.config.likelihood].on_counts:
            return eta
        if self.config.library == "observed":
            if cells.mask is None:
                eta = functional.log_softmax(eta, dim=-1)
            else:
                # What was counted is shared out over what was measured; another gene's mean is in
                # proportion to theirs.
                seen = eta.masked_fill(~cells.mask, -torch.inf)
                eta = eta - torch.logsumexp(seen, dim=-1, keepdim=True)
        log_mu = torch.log(self.library(cells))[:, None] + eta
        return log_mu.clamp(lk.LOG_MU_MIN, lk.LOG_MU_MAX)

    def _log_theta(self, h: Tensor, batch: Tensor | None) -> Tensor | None:
        if self.log_theta is None:
            return None
        if isinstance(self.log_theta, nn.Linear):
            log_theta = self._product(self.log_theta, h)
        elif self.config.dispersion == "gene-batch" and batch is not None:
            log_theta = self.log_theta[batch]
        else:
            log_theta = self.log_theta
        return log_theta.clamp(lk.LOG_THETA_MIN, lk.LOG_THETA_MAX)

    def _pi_logits(self, h: Tensor) -> Tensor | None:
        if self.pi_logits is None:
            return None
        return self._product(self.pi_logits, h).clamp(-lk.PI_LOGITS_MAX, lk.PI_LOGITS_MAX)

    # loss -----------------------------------------------------------------------------------

    def loss(self, cells: Cells, *, kl_weight: float | Tensor, noise: Tensor | None = None) -> Loss:
        """Negative evidence lower bound, or negative log-likelihood of a deterministic model.

        Parameters
        ----------
        noise
            [cells, n_latent] Standard normal draws of the reparametrization; variational only.
        """
        config = self.config
        entering: list[Tensor] | None = [] if config.contractive else None
        z, log_variance = self._encoded(cells, entering)
        code, kl = z, None
        if log_variance is not None:
            sd = _deviation(log_variance)
            kl = kl_to_standard_normal(z, sd).mean()
            z = z if noise is None else z + sd * noise
        if kl is None or config.prior != "kl":
            kl = torch.zeros((), device=z.device)
        h = self._last_hidden(z, cells)
        reconstruction = -self._summed(h, cells)[0] / len(z)
        total = reconstruction + kl_weight * kl
        penalty = torch.zeros((), device=z.device)
        if config.is_penalized:
            penalty = self._penalty(code, h, entering or [], cells) + self._prior_penalty(z)
            total = total + penalty
        return Loss(total, reconstruction, kl, penalty)

    def _prior_penalty(self, z: Tensor) -> Tensor:
        """[] How far the latent of these cells is from the prior, nats per cell."""
        config = self.config
        if config.prior not in ("mmd", "adversarial"):
            return z.new_zeros(())
        prior = draw_prior(config.prior_shape, torch.randn_like(z))
        if config.prior == "adversarial" and self.training:
            own, fooled = self.discriminator.losses(z, prior)
            return own + config.prior_weight * fooled
        # A discriminator moves, so that its losses of two steps do not compare.
        return config.prior_weight * squared_mmd(z, prior)

    def _penalty(self, code: Tensor, h: Tensor, entering: list[Tensor], cells: Cells) -> Tensor:
        """[] Mean over the cells, nats."""
        config, of_cells = self.config, code.new_zeros(len(code))
        if config.latent_l1:
            of_cells = of_cells + config.latent_l1 * code.abs().sum(dim=1)
        if config.contractive:
            linear = [one.weight for one in (*self.encoder.linear, self.z_mean)]
            # Covariates stand behind the genes, a batch behind what comes from the layer before.
            widths = [config.n_genes, *(len(one) for one in linear)]
            weights = [one[:, :width] for one, width in zip(linear, widths, strict=False)]
            of_cells = of_cells + config.contractive * penalties.squared_jacobian(
                entering, weights, config.activation, self.encoder.skips
            )
        if config.pi_ridge:
            logits = self._pi_logits(h)
            assert logits is not None
            if cells.mask is not None:
                logits = logits.masked_fill(~cells.mask, -torch.inf)
            of_cells = of_cells + config.pi_ridge * penalties.pi_ridge(logits)
        return of_cells.mean()

    def log_likelihood(self, z: Tensor, cells: Cells) -> Tensor:
        """[cells] Log-likelihood given a latent [cells, n_latent], nats; it has no gradient.

        Of the counts; of the log-normalized values for a gaussian or laplace model.
        """
        with torch.no_grad():
            return self._summed(self._last_hidden(z, cells), cells)[1]

    @property
    def is_compiled(self) -> bool:
        """Whether the kernels compute: only float32 on the CPU."""
        weight = self.eta.weight
        is_plain = weight.device.type == "cpu" and weight.dtype is torch.float32
        return self.kernels != "torch" and is_plain

    def _summed(self, h: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
        """([] sum over the cells, [cells] its parts) Log-likelihood given the last hidden layer."""
        name = self.config.likelihood
        counts = cells.counts
        if not (self.is_compiled and name in layers.KINDS and isinstance(counts, SparseBatch)):
            on_counts = LIKELIHOODS[name].on_counts
            target = cells.counts if on_counts else self.log_normalized(cells)
            parts = lk.sum_log_likelihood(name, self._decoded(h, cells), target, cells.mask)
            return parts.sum(), parts
        heads = self.heads()
        layer = self.output_layer(
            heads,
            len(h),
            products=self.products if self.training else "float32",
            with_gradient=torch.is_grad_enabled(),
        )
        total, parts = layers.output_log_likelihood(
            layer, heads, h, self.theta_row(cells), self.library(cells), cells
        )
        of_total = LIKELIHOODS[name].of_total
        if of_total is not None:
            rest = of_total(cells.total)
            total, parts = total + rest.sum(), parts + rest
        return total, parts

    def output_layer(
        self, heads: layers.Heads, n_cells: int, *, products: str, with_gradient: bool
    ) -> layers.OutputLayer:
        """The compiled last layer and likelihood of batches of so many cells."""
        return layers.OutputLayer(
            self.config.likelihood,
            heads,
            n_cells,
            softmax=self.config.library == "observed",
            products=products,
            with_gradient=with_gradient,
        )

    def library(self, cells: Cells) -> Tensor:
        """[cells] Molecules that the softmax shares out, or the size factor without a softmax."""
        if self.config.library == "observed":
            # A cell without molecules of the modelled genes has log-likelihood near 0 at total 1.
            return cells.total.clamp(min=1)
        return cells.size_factor

    def theta_row(self, cells: Cells) -> Tensor:
        """[cells] Row of the shared theta of each cell; empty where theta is one of each cell."""
        if isinstance(self.log_theta, nn.Linear):
            return torch.zeros(0, dtype=torch.int64)
        if self.config.dispersion == "gene-batch" and cells.batch is not None:
            return cells.batch
        return torch.zeros(len(cells.total), dtype=torch.int64)

    def is_decoding(self, name: str) -> bool:
        """Whether decoding needs a tensor of the state."""
        parts: tuple[str, ...] = ("decoder.", "eta.", "pi_logits.", "log_theta", "continuous_")
        if self.config.tied_weights and name.endswith("weight"):
            parts = (*parts, "encoder.linear", "z_mean")
        return name.startswith(parts) and not name.endswith("num_batches_tracked")

    def heads(self) -> layers.Heads:
        """Weights and biases of the last layer."""
        pi, of_theta = self.pi_logits, self.log_theta
        is_head = isinstance(of_theta, nn.Linear)
        return layers.Heads(
            self.eta.weight,
            self.eta.bias,
            None if pi is None else pi.weight,
            None if pi is None else pi.bias,
            of_theta.weight if is_head else of_theta,  # type: ignore[union-attr,arg-type]
            of_theta.bias if is_head else None,  # type: ignore[union-attr,arg-type]
        )

    def clamp_theta(self) -> None:
        """Project a per-gene theta into its range, so that the clamp never stops its gradient."""
        if isinstance(self.log_theta, nn.Parameter):
            with torch.no_grad():
                self.log_theta.clamp_(lk.LOG_THETA_MIN, lk.LOG_THETA_MAX)


def _deviation(log_variance: Tensor) -> Tensor:
    return torch.sqrt(torch.exp(log_variance) + VARIANCE_FLOOR)


def kl_to_standard_normal(mean: Tensor, sd: Tensor) -> Tensor:
    """[cells] KL(N(mean, sd^2) || N(0, 1)) summed over dimensions: (m^2 + s^2 - 1 - log s^2)/2."""
    return 0.5 * (mean**2 + sd**2 - 1 - 2 * torch.log(sd)).sum(dim=-1)
