"""All weights of a network in one memory, so that one pass over it moves them."""

import math

import torch
from torch import Tensor

from scpress.config.options import TrainOptions
from scpress.model.network import CountAutoencoder
from scpress.training.stepper import PER_GENE, build_optimizer

# What is multiplied together lies together: all heads, the first in memory, and both halves of the
# posterior.
_TOGETHER = (
    ("eta.weight", "pi_logits.weight", "log_theta.weight"),
    ("z_mean.weight", "z_log_variance.weight"),
    ("z_mean.bias", "z_log_variance.bias"),
    ("eta.bias", "pi_logits.bias", "log_theta.bias"),
)
# Where a group may start: the products read 16 bytes at a time.
_ALIGNED = 64


class Weights:
    """The network's parameters as parts of one tensor, and Adam's moments at the same places.

    Attributes
    ----------
    values, gradient, mean, square
        [floats] The parameters, their gradient and Adam's two moments; gaps stay 0.
    step
        [] Steps that Adam has moved.
    rate
        [] Adam's rate.
    decayed
        How many of the floats are decayed, the first of them.
    clamped
        Where theta of each gene starts and ends, which is projected into its range.
    optimizer
        torch's Adam over the same memory, by which a training is saved and gone on from.
    """

    def __init__(self, network: CountAutoencoder, options: TrainOptions):
        parameters = dict(network.named_parameters())
        groups = [[name for name in group if name in parameters] for group in _TOGETHER]
        together = {name for group in groups for name in group}
        groups += [[name] for name in parameters if name not in together]
        groups = [group for group in groups if group]
        groups.sort(key=lambda group: group[0] in PER_GENE)
        self._starts: dict[str, int] = {}
        end = self.decayed = 0
        for group in groups:
            end = math.ceil(end / _ALIGNED) * _ALIGNED
            for name in group:
                self._starts[name] = end
                end += parameters[name].numel()
            if group[0] not in PER_GENE:
                self.decayed = end
        device = network.input_mean.device
        self.values, self.gradient, self.mean, self.square = torch.zeros(4, end, device=device)
        # The first layer's weight is stored by genes.
        self._transposed = {name for name, p in parameters.items() if not p.is_contiguous()}
        self._shapes = {}
        for name, parameter in parameters.items():
            is_transposed = name in self._transposed
            stored = parameter.data.t() if is_transposed else parameter.data
            self._shapes[name] = stored.shape
            part = self.of(name)
            part.copy_(stored)
            parameter.data = part.t() if is_transposed else part
        self.clamped = (0, 0)
        if "log_theta" in parameters:
            start = self._starts["log_theta"]
            self.clamped = (start, start + parameters["log_theta"].numel())
        self.step = torch.zeros((), device=device)
        self.rate = torch.full((), options.first_rate, device=device)
        self.optimizer = build_optimizer(network, options)
        first = self.values.data_ptr()
        for options_of in self.optimizer.param_groups:
            options_of["lr"] = self.rate
            for moved in options_of["params"]:
                start = (moved.data_ptr() - first) // self.values.element_size()
                place = slice(start, start + moved.numel())
                self.optimizer.state[moved] = {
                    "step": self.step,
                    "exp_avg": self.mean[place].view(moved.shape),
                    "exp_avg_sq": self.square[place].view(moved.shape),
                }

    def of(self, *names: str, source: Tensor | None = None) -> Tensor:
        """Parameters that lie together, as they are stored: one under the other.

        Parameters
        ----------
        source
            [floats] What to read instead of the values, such as the gradient.
        """
        start, shape = self._starts[names[0]], self._shapes[names[0]]
        length = sum(self._shapes[name][0] for name in names)
        whole = self.values if source is None else source
        size = length * math.prod(shape[1:])
        return whole[start : start + size].view(length, *shape[1:])

    def gradient_of(self, name: str) -> Tensor:
        """The gradient by a parameter, in the parameter's own shape."""
        gradient = self.of(name, source=self.gradient)
        return gradient.t() if name in self._transposed else gradient

    def end_of(self, name: str) -> int:
        """Where a parameter ends."""
        return self._starts[name] + math.prod(self._shapes[name])
