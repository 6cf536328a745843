"""How one step of the optimizer is computed: op by op on the CPU, as a captured graph on a GPU."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scpress.config.options import TrainOptions
from scpress.model.batches import Cells
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts
from scpress.model.network import CountAutoencoder
from scpress.training.gradients import Gradients

log = logging.getLogger("scpress")

PER_GENE = ("log_theta", "log_theta.bias", "eta.bias", "pi_logits.bias")


def build_optimizer(network: CountAutoencoder, options: TrainOptions) -> torch.optim.Optimizer:
    """Adam; what is one number per gene is not decayed."""
    named = dict(network.named_parameters())
    per_gene = [p for name, p in named.items() if name in PER_GENE]
    rest = [_contiguous(p) for name, p in named.items() if name not in PER_GENE]
    groups = [
        {"params": rest, "weight_decay": options.weight_decay},
        {"params": per_gene, "weight_decay": 0.0},
    ]
    device = network.input_mean.device
    on_gpu = device.type == "cuda"
    rate = options.first_rate
    optimizer = torch.optim.Adam(
        groups,
        lr=rate,
        eps=options.epsilon,
        fused=True,
        capturable=on_gpu,
    )
    for group in optimizer.param_groups:
        if on_gpu:
            # A captured graph reads the rate from where it is.
            group["lr"] = torch.tensor(rate, device=device)
        for parameter in group["params"]:
            # What Adam makes at its first step, so that a saved state has somewhere to go.
            optimizer.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
    return optimizer


def _contiguous(parameter: torch.nn.Parameter) -> torch.nn.Parameter:
    """The same memory in the order it is stored in: Adam copies what is stored transposed."""
    return parameter if parameter.is_contiguous() else torch.nn.Parameter(parameter.detach().t())


_SLOTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class _Group:
    """What Adam moves with the same options, as it wants it."""

    options: dict[str, Any]
    parameters: list[Tensor]
    gradients: list[Tensor]
    exp_avg: list[Tensor]
    exp_avg_sq: list[Tensor]
    step: list[Tensor]


class Stepper:
    """One step of the optimizer on the CPU, its gradients by autograd."""

    # Whether the network is as it is used while it is stepped: no dropout, norms as they were.
    is_frozen = False

    def __init__(self, model: TrainedModel, training: ModelledCounts, options: TrainOptions):
        self.model, self.training, self.options = model, training, options
        self.network = model.network
        self.optimizer = build_optimizer(self.network, options)
        parameters = list(self.network.parameters())
        adams = {p.data_ptr(): p for g in self.optimizer.param_groups for p in g["params"]}
        self._pairs = [(p, adams[p.data_ptr()]) for p in parameters]
        self._groups: list[_Group] = []

    def __call__(self, rows: np.ndarray, *, kl_weight: float, seed: int) -> Tensor | float:
        """[] Loss of the given training cells, without its gradient; the network moves a step."""
        # torch.manual_seed seeds every kind of device, which takes 0.13 ms.
        torch.default_generator.manual_seed(seed)
        noise = torch.randn(len(rows), self.network.config.n_latent)
        return self.update(self.training.cells_at(self.model, rows), noise, kl_weight)

    @property
    def is_idle(self) -> bool:
        """Whether all steps that were asked for have been computed."""
        return True

    def finish(self) -> Tensor | float:
        """[] Sum of the losses of steps that were asked for, but are computed only now."""
        return 0.0

    def update(self, cells: Cells, noise: Tensor, kl_weight: float | Tensor) -> Tensor | float:
        """[] Loss of some cells, without its gradient; the network moves a step."""
        loss = self._differentiate(cells, noise, kl_weight)
        self._clip()
        self._move()
        self.network.clamp_theta()
        return loss

    def _differentiate(
        self, cells: Cells, noise: Tensor, kl_weight: float | Tensor
    ) -> Tensor | float:
        for parameter, _ in self._pairs:
            parameter.grad = None
        loss = self.network.loss(cells, kl_weight=kl_weight, noise=noise).total
        loss.backward()
        self._hand_over_gradients()
        return loss.detach()

    def _hand_over_gradients(self) -> None:
        """Give Adam the gradients of the network's parameters, where there are some."""
        for parameter, moved in self._pairs:
            gradient = parameter.grad
            moved.grad = gradient if moved is parameter or gradient is None else gradient.t()
        self._groups = []
        for options in self.optimizer.param_groups:
            moving = [p for p in options["params"] if p.grad is not None]
            slots = [self.optimizer.state[p] for p in moving]
            of = {name: [slot[name] for slot in slots] for name in _SLOTS}
            if moving:
                self._groups.append(_Group(options, moving, [p.grad for p in moving], **of))

    def _move(self) -> None:
        """What `optimizer.step` computes, without 0.1 to 0.3 ms of Python around it."""
        for group in self._groups:
            torch._foreach_add_(group.step, 1)
            beta1, beta2 = group.options["betas"]
            torch._fused_adam_(
                group.parameters,
                group.gradients,
                group.exp_avg,
                group.exp_avg_sq,
                [],
                group.step,
                lr=group.options["lr"],
                beta1=beta1,
                beta2=beta2,
                weight_decay=group.options["weight_decay"],
                eps=group.options["eps"],
                amsgrad=False,
                maximize=False,
            )

    def _clip(self) -> None:
        gradients = [gradient for group in self._groups for gradient in group.gradients]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))  # type: ignore[arg-type]
        self._scale(gradients, norm)

    def _scale(self, gradients: list[Tensor], norm: Tensor) -> None:
        """Scale gradients of a norm to the limit, if they are above it."""
        limit = self.options.clip_norm
        # Few steps are clipped, and the others need no pass over all gradients.
        if norm > limit:
            torch._foreach_mul_(gradients, limit / norm)


class CompiledStepper(Stepper):
    """One step of the optimizer on the CPU, its gradients written out by hand."""

    def __init__(self, model: TrainedModel, training: ModelledCounts, options: TrainOptions):
        super().__init__(model, training, options)
        self._gradients = Gradients(self.network, min(options.batch_size, len(training)))
        self._hand_over_gradients()

    def _differentiate(
        self, cells: Cells, noise: Tensor, kl_weight: float | Tensor
    ) -> Tensor | float:
        return self._gradients(cells, noise, float(kl_weight))

    def _clip(self) -> None:
        self._scale([self._gradients.all], torch.linalg.vector_norm(self._gradients.all))


class PartStepper(Stepper):
    """One step of a few weights of a network that stays as it was trained otherwise.

    Parameters
    ----------
    free
        Parameter -> 1 where it moves and 0 where it does not; others are not moved at all. Adam
        leaves a weight whose gradient was always zero, and that does not decay, at its bits.
    """

    is_frozen = True

    def __init__(
        self,
        model: TrainedModel,
        training: ModelledCounts,
        options: TrainOptions,
        free: Mapping[str, Tensor],
    ):
        super().__init__(model, training, replace(options, weight_decay=0.0))
        self._free = [
            (parameter, free[name])
            for name, parameter in self.network.named_parameters()
            if name in free
        ]
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in free)

    def _differentiate(
        self, cells: Cells, noise: Tensor, kl_weight: float | Tensor
    ) -> Tensor | float:
        loss = super()._differentiate(cells, noise, kl_weight)
        for parameter, mask in self._free:
            assert parameter.grad is not None
            parameter.grad.mul_(mask)
        return loss
