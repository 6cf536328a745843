"""Which stepper a GPU is given: the fused one where it keeps its promise, else the graph."""

import copy
import dataclasses
import importlib.util
import logging

import numpy as np
import torch
from torch import Tensor

from scpress.config.options import TrainOptions
from scpress.model.batches import DenseBatch
from scpress.model.fitted import TrainedModel
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.modelled import ModelledCounts
from scpress.settings import set_cache_directories
from scpress.training.cuda_graph import GraphStepper, fits
from scpress.training.fused import plain
from scpress.training.fused.gradients import Operations
from scpress.training.fused.source import Step
from scpress.training.fused.stepper import FusedStepper
from scpress.training.stepper import Stepper

log = logging.getLogger("scpress")

# Raised when the fused step gives other bits: no state of the old kind is gone on from.
METHOD = 1
# Trainings that may be this long use kernels: once compiled, they are read from a cache.
COMPILED_FROM = 2000
# Largest difference from autograd, relative to the largest gradient of a parameter: sums in another
# order, or heads of which 8 bits are multiplied.
_BOUNDS = {"float32": 1e-3, "bfloat16": 5e-2}
# Below this share of the largest gradient of all, a parameter has none but rounding.
_ROUNDING = 1e-2


def gpu_stepper(model: TrainedModel, training: ModelledCounts, options: TrainOptions) -> Stepper:
    """The stepper for a GPU.

    With `kernels: fused` networks whose gradients are written out have the fused one: of kernels
    where triton is installed and the training is not short, else of plain operations, which need
    no compiling.
    Each is held against autograd on this very GPU before it trains; where it fails, a line says so
    and the next one is tried; the last is the graph of what autograd does.
    """
    if options.kernels == "fused" and FusedStepper.is_for(model.network):
        is_long = options.max_steps >= COMPILED_FROM
        for name in ("kernels", "plain") if has_triton() and is_long else ("plain",):
            step = _tried(name, model, training, options)
            if step is not None:
                return step
    return GraphStepper(model, training, options)


def has_triton() -> bool:
    """Whether triton is installed, as it is beside torch's builds for CUDA on Linux."""
    return importlib.util.find_spec("triton") is not None


def _tried(
    name: str, model: TrainedModel, training: ModelledCounts, options: TrainOptions
) -> FusedStepper | None:
    """The fused stepper, if it does here what it should."""
    device = model.network.input_mean.device
    before = {key: value.clone() for key, value in model.network.state_dict().items()}
    try:
        resident = fits(training, device)
        step = FusedStepper(model, training, options, operations(name), resident=resident)
        error = largest_error(step)
        reason = f"its gradient is off by {error:.1g} of its size"
        if error <= _BOUNDS[model.network.products]:
            return step
    except Exception as problem:  # what compiles and starts kernels fails in many ways
        reason = f"{type(problem).__name__}: {problem}".splitlines()[0]
    model.network.load_state_dict(before)
    log.warning("training on this GPU is slower, as the fused step (%s) fails: %s", name, reason)
    return None


def operations(name: str) -> Operations:
    """The kernels, which triton compiles at their first use, or their twin."""
    if name == "plain":
        return plain
    set_cache_directories()
    from scpress.training.fused import kernels

    return kernels


def largest_error(step: FusedStepper) -> float:
    """How far a step is from autograd and plain torch on its device; the network stays as it is.

    Returns
    -------
    The largest difference in the gradient by a parameter, in the loss, in a buffer, in the random
    numbers and in what Adam moves, each relative to the largest value of its kind.
    """
    network, state = step.network, step.state()
    was_training, before = network.training, [value.clone() for value in state]
    network.train()
    rows = np.arange(step.source.n_cells)
    weight = 0.5 if network.config.prior == "kl" else 0.0
    step.source.choose([Step(rows, weight, 1)])
    errors = _errors_of_draws(step)
    witness = copy.deepcopy(network)
    witness.products = "float32"
    if network.config.dropout_rate:
        witness.encoder.dropout = _Drawn(step.kept[0])  # type: ignore[assignment]
    model = copy.copy(step.model)
    model.network = witness
    cells = step.training.take(rows).cells_of(model)
    if not LIKELIHOODS[network.config.likelihood].has_theta:
        # Dense, these are plain autograd's; with theta that would compile.
        cells = dataclasses.replace(cells, counts=DenseBatch(cells.counts.dense()))
    noise = step.noise[0] if network.config.is_variational else None
    loss = witness.loss(cells, kl_weight=weight, noise=noise).total
    loss.backward()
    step.gradients.heads.cast()
    step.differentiate(0, tensor_cores=False)
    errors.append(_error(step.losses[0], loss.detach()))
    expected = {k: p.grad for k, p in witness.named_parameters() if p.grad is not None}
    least = _ROUNDING * max(float(one.abs().max()) for one in expected.values())
    for name, theirs in expected.items():
        ours = step.weights.gradient_of(name)
        errors.append(_error(ours, theirs, least=least))
    theirs_by_name = dict(witness.named_buffers())
    errors += [_error(one, theirs_by_name[name]) for name, one in network.named_buffers()]

    weights = step.weights
    moved = [weights.values, weights.mean, weights.square]
    expected_moves = [value.clone() for value in moved]
    values, mean, square = expected_moves
    no_halves = torch.zeros(0, device=values.device)
    count, sums = weights.step.clone(), torch.zeros(1, device=values.device)
    plain.move(
        *(values, weights.gradient, mean, square, count, weights.rate, sums, no_halves),
        **step.how_to_move(),
    )
    step.move()
    errors += [_error(ours, theirs) for ours, theirs in zip(moved, expected_moves, strict=True)]
    for value, old in zip(state, before, strict=True):
        value.copy_(old)
    network.train(was_training)
    return max(errors)


class _Drawn(torch.nn.Module):
    """Dropout of one layer after another by what has been drawn, [cells, units of all layers]."""

    def __init__(self, kept: Tensor):
        super().__init__()
        self._rest = kept

    def forward(self, h: Tensor) -> Tensor:
        kept, self._rest = self._rest.tensor_split([h.shape[1]], dim=1)
        return h * kept


def _errors_of_draws(step: FusedStepper) -> list[float]:
    step.draw(1)
    kept, noise = (torch.zeros_like(one[:1]) for one in (step.kept, step.noise))
    plain.draw(step.source.seeds[:1], kept, noise, step.network.config.dropout_rate)
    return [_error(step.kept[:1], kept), _error(step.noise[:1], noise)]


def _error(ours: Tensor, theirs: Tensor, *, least: float = 1e-30) -> float:
    """Largest difference over the largest value, or over the least one; inf if not a number."""
    if not theirs.numel():
        return 0.0
    theirs = theirs.double()
    error = float((ours.double() - theirs).abs().max()) / max(float(theirs.abs().max()), least)
    return error if error >= 0 else float("inf")
