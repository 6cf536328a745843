"""Several steps of the optimizer as one captured graph, each in few kernels."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scpress.config.options import TrainOptions
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts
from scpress.model.network import CountAutoencoder
from scpress.training.cuda_graph import captured
from scpress.training.fused.gradients import FusedGradients, Operations
from scpress.training.fused.source import Source, Step
from scpress.training.fused.weights import Weights
from scpress.training.gradients import Gradients
from scpress.training.state import AVERAGE_EVERY
from scpress.training.stepper import Stepper

# Sums of squares of parts of the gradient.
_MOST_SUMS = 1024


class FusedStepper(Stepper):
    """Steps of a GPU, `n_steps` of them a replay; on a CPU the same, one after another.

    A step waits until there are `n_steps`, or until it is asked for: the host says no more than
    which cells, which seed and which weight of the KL term, and is never in the way.

    Parameters
    ----------
    operations
        `kernels`, or their twin `plain`.
    resident
        Whether all counts are on the device, or those of the next steps are copied there.
    tensor_cores
        Whether a GPU multiplies float32 matrices in TF32, which keeps 10 bits of every factor.
    source
        The cells on the device, if they are there already.
    """

    n_steps = AVERAGE_EVERY

    def __init__(
        self,
        model: TrainedModel,
        training: ModelledCounts,
        options: TrainOptions,
        operations: Operations,
        *,
        resident: bool = True,
        tensor_cores: bool = True,
        source: Source | None = None,
    ):
        self.model, self.training, self.options = model, training, options
        self.network = network = model.network
        self.weights = Weights(network, options)
        self.optimizer = self.weights.optimizer
        self._do, self._tensor_cores = operations, tensor_cores
        config, device = network.config, network.input_mean.device
        n_cells = min(options.batch_size, len(training))
        self.source = source or Source(model, training, n_cells, self.n_steps, resident=resident)
        self.gradients = FusedGradients(network, self.weights, n_cells, operations)
        is_scaled = config.input == "zscore"
        self._moments = (network.input_mean, network.input_scale) if is_scaled else None
        n_units = sum(config.hidden) if config.dropout_rate else 0
        self.kept = torch.ones(self.n_steps, n_cells, n_units, device=device)
        n_noise = config.n_latent if config.is_variational else 0
        self.noise = torch.zeros(self.n_steps, n_cells, n_noise, device=device)
        self.losses = torch.zeros(self.n_steps, device=device)
        self._sums = torch.zeros(_MOST_SUMS, device=device)
        self._waiting: list[Step] = []
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}

    @staticmethod
    def is_for(network: CountAutoencoder) -> bool:
        """Whether this network's steps are written out here."""
        config = network.config
        is_other = config.gene_mask or config.molecule_thinning or config.masked
        return Gradients.have_formulas(network) and not is_other

    def __call__(self, rows: np.ndarray, *, kl_weight: float, seed: int) -> Tensor | float:
        """[] Sum of the losses of the steps that this call computes; the others wait."""
        # Where the prior is another one, nothing is weighed.
        weight = kl_weight if self.network.config.prior == "kl" else 0.0
        self._waiting.append(Step(rows, weight, seed))
        return self.finish() if len(self._waiting) == self.n_steps else 0.0

    @property
    def is_idle(self) -> bool:
        """Whether no step waits."""
        return not self._waiting

    def finish(self) -> Tensor | float:
        """[] Sum of the losses of the steps that have waited; the network moves those steps."""
        n_steps = len(self._waiting)
        if not n_steps:
            return 0.0
        self.source.choose(self._waiting)
        self._waiting = []
        if self.losses.device.type == "cuda":
            if n_steps not in self._graphs:
                self._graphs[n_steps] = captured(lambda: self.compute(n_steps), self.state())
            self._graphs[n_steps].replay()
        else:
            self.compute(n_steps)
        return self.losses[:n_steps].sum()

    def compute(self, n_steps: int) -> None:
        """Move the network so many of the chosen steps, from fixed places in memory alone."""
        # Between two replays the weights may have become others.
        self.gradients.heads.cast()
        self.draw(n_steps)
        for step in range(n_steps):
            self.differentiate(step)
            self.move()

    def draw(self, n_steps: int) -> None:
        """Draw the random numbers of the steps."""
        seeds, rate = self.source.seeds[:n_steps], self.network.config.dropout_rate
        self._do.draw(seeds, self.kept[:n_steps], self.noise[:n_steps], rate)

    def differentiate(self, step: int, *, tensor_cores: bool | None = None) -> None:
        """Compute loss and gradient of a step's cells; None: on tensor cores if steps are."""
        source, given = self.source, self.gradients.given
        csr_rows, rows = source.rows(step)
        to = (given.counts, self.gradients.inputs, given.total, given.size)
        self._do.gather(source.csr, csr_rows, source.size_factor, rows, self._moments, *to)
        given.choose(rows, source.batch, source.continuous)
        kept = self.kept[step] if self.kept.shape[2] else None
        with _products(self._tensor_cores if tensor_cores is None else tensor_cores):
            self.gradients(kept, self.noise[step], source.kl_weight(step), self.losses[step])

    def move(self) -> None:
        """Clip the gradient, and move the network by it."""
        weights = self.weights
        self._do.move(
            *(weights.values, weights.gradient, weights.mean, weights.square),
            *(weights.step, weights.rate, self._sums, self.gradients.heads.halves),
            **self.how_to_move(),
        )

    def how_to_move(self) -> dict[str, Any]:
        """The options of `plain.move`."""
        options, weights = self.options, self.weights
        return {
            "clip_norm": options.clip_norm,
            "betas": self.optimizer.param_groups[0]["betas"],
            "epsilon": options.epsilon,
            "weight_decay": options.weight_decay,
            "decayed": weights.decayed,
            "clamped": weights.clamped,
        }

    def state(self) -> list[Tensor]:
        """What steps change."""
        weights = self.weights
        moved = [weights.values, weights.mean, weights.square, weights.step]
        return [*moved, self.gradients.heads.halves, *self.network.buffers()]


@contextmanager
def _products(tensor_cores: bool) -> Iterator[None]:
    """Whether a GPU multiplies float32 matrices in TF32; afterwards it is as before."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tensor_cores
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
