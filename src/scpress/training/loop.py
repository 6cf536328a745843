"""The one training loop: batches, schedule, validation, rollback, early stopping."""

import logging
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from scpress.config.options import OPERATIONAL, TrainOptions
from scpress.counts.matrix import gene_totals
from scpress.errors import FitFailedError
from scpress.model.fitted import TrainedModel
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.modelled import ModelledCounts
from scpress.model.network import CountAutoencoder
from scpress.model.scoring import fit_log_values, gene_rates, library_of, log_moments
from scpress.tables.training import HistoryRow
from scpress.training.allocator import large_blocks_stay
from scpress.training.checkpoints import Checkpoint
from scpress.training.fused.choice import METHOD, gpu_stepper, has_triton
from scpress.training.gradients import Gradients
from scpress.training.split import Order
from scpress.training.state import AVERAGE_EVERY, TrainingState
from scpress.training.stepper import CompiledStepper, PartStepper, Stepper
from scpress.training.validation import validate

log = logging.getLogger("scpress")

_HEAD_SCALE = 0.1
_FIRST_PI_LOGIT = -2.0
_LOG_SECONDS = 10.0
# Raised when the same input gives other bits: no state of the old kind is gone on from. With
# it goes the `step_version` of the train rule, by which Snakemake repeats the step.
_METHOD = 3


@dataclass
class Fit:
    """What a training gives beside the network's weights, which are the best ones."""

    history: list[dict[str, Any]]
    best_step: int
    best_loss: float
    stopped: str
    rollbacks: int = 0


def fit(
    model: TrainedModel,
    training: ModelledCounts,
    validation: ModelledCounts,
    options: TrainOptions,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    free: Mapping[str, Tensor] | None = None,
) -> Fit:
    """Train the model's network in place and leave its best weights in it.

    What is validated and kept is an exponential average of the weights with a time constant of
    `averaged_steps` (Polyak and Juditsky 1992, as Adam's users know it from Kingma and Ba 2015,
    section 7.2): it is as good at once as a lowered rate would make the weights in time, so the
    rate can be high.

    Every random number is a function of (seed, step): the order of the cells of (seed, epoch),
    the noise and the dropout of (seed, step). So the state of a training is the weights, their
    average, the optimizer, the `Schedule` and what has been measured, and nothing else.

    Parameters
    ----------
    free
        Parameter -> where it moves, of a network that has been trained and stays as it is
        otherwise (`PartStepper`), without a checkpoint; None for a network from its start.

    Raises
    ------
    FitFailedError
        The loss turned non-finite again and again.
    InterruptedTrainingError
        A signal asked for the end; the checkpoint has the state.
    """
    model.network.kernels, model.network.products = options.kernels, options.products
    with torch.random.fork_rng(), large_blocks_stay():
        if checkpoint is None:
            return _fit(model, training, validation, options, seed, None, free)
        with checkpoint.claim(_identity(model, training, validation, options, seed=seed)):
            return _fit(model, training, validation, options, seed, checkpoint)


def _fit(
    model: TrainedModel,
    training: ModelledCounts,
    validation: ModelledCounts,
    options: TrainOptions,
    seed: int,
    checkpoint: Checkpoint | None,
    free: Mapping[str, Tensor] | None = None,
) -> Fit:
    network = model.network
    batch_size = min(options.batch_size, len(training))
    order = Order(len(training), batch_size, seed)
    if free is None:
        initialize(network, training)
        step_of = stepper(model, training, options)
    else:
        step_of = PartStepper(model, training, options, free)
    state = TrainingState(network, step_of.optimizer, options)
    if checkpoint is not None:
        state.resume(checkpoint)
    schedule = state.schedule
    with _Progress(options.max_steps, schedule.step) as progress:
        while not schedule.stopped and schedule.step < options.max_steps:
            # Here and nowhere else: all that belongs to the last step is done.
            if checkpoint is not None and step_of.is_idle and checkpoint.is_due:
                state.save(checkpoint)
            kl_weight = schedule.kl_weight(options)
            if network.training == step_of.is_frozen:
                network.train(not step_of.is_frozen)
            state.running += step_of(
                order.rows(schedule.step),
                kl_weight=kl_weight,
                seed=_step_seed(seed, schedule.step, schedule.rollbacks),
            )
            schedule.step += 1
            is_last = schedule.step == options.max_steps
            is_validated = is_last or schedule.step % options.validate_every == 0
            if is_validated or schedule.step % AVERAGE_EVERY == 0:
                state.running += step_of.finish()
                state.average()
            if not is_validated:
                continue

            # One look at the loss per validation: on a GPU each look waits for the device.
            since = (schedule.step - 1) % options.validate_every + 1
            train_loss = float(state.running) / since
            state.running.zero_()
            with state.averaged_in_place():
                held_out = validate(model, validation, seed=seed)
            if not (math.isfinite(train_loss) and math.isfinite(held_out.total)):
                state.roll_back()
                continue
            row = HistoryRow(
                step=schedule.step,
                cells_seen=schedule.step * batch_size,
                train_loss=train_loss,
                validation_loss=held_out.total,
                validation_reconstruction=held_out.reconstruction,
                validation_kl=held_out.kl,
                kl_weight=kl_weight,
                learning_rate=schedule.learning_rate,
                validation_penalty=held_out.penalty if network.config.is_penalized else None,
            )
            state.note(row)
            progress.show(schedule.step, train_loss, held_out.total)
            if schedule.decide(options):
                state.set_rate()
    if checkpoint is not None:
        state.save(checkpoint)  # scoring and writing are still to come
    if not state.history:
        raise FitFailedError(
            "the fit failed: no validation loss was finite. Lower learning_rate or clip_norm."
        )
    state.restore_best()
    network.eval()
    stopped = schedule.stopped or "max_steps"
    return Fit(state.history, schedule.best_step, schedule.best_loss, stopped, schedule.rollbacks)


def stepper(model: TrainedModel, training: ModelledCounts, options: TrainOptions) -> Stepper:
    """The stepper for where the network is."""
    if model.network.input_mean.device.type == "cuda":
        return gpu_stepper(model, training, options)
    kind = CompiledStepper if Gradients.are_written_out_for(model.network) else Stepper
    return kind(model, training, options)


def _identity(
    model: TrainedModel,
    training: ModelledCounts,
    validation: ModelledCounts,
    options: TrainOptions,
    *,
    seed: int,
) -> dict[str, Any]:
    """Everything the bits of the result depend on, but the kind of CPU."""
    network = model.network
    is_fused = options.kernels == "fused" and network.input_mean.device.type == "cuda"
    return {
        "method": [_METHOD, METHOD, has_triton()] if is_fused else _METHOD,
        "counts": [one.digest() for one in (training, validation)],
        "model": asdict(model.config),
        "options": {k: v for k, v in asdict(options).items() if k not in OPERATIONAL},
        "seed": seed,
        "threads": torch.get_num_threads(),
        "device": str(network.input_mean.device),
        "versions": {name: version(name) for name in ("scpress", "torch", "numba")},
    }


def initialize(network: CountAutoencoder, training: ModelledCounts) -> None:
    """Start the output at the gene means, and the input's shift and scale at the data's."""
    config = network.config
    on_counts = LIKELIHOODS[config.likelihood].on_counts
    if config.masked:
        _note_measured(network, training)
    if config.input == "zscore":
        mean, variance = log_moments(training)
        network.input_mean.copy_(torch.from_numpy(mean))
        network.input_scale.copy_(torch.from_numpy(np.sqrt(np.maximum(variance, 1e-4))))
    if training.continuous is not None:
        network.continuous_mean.copy_(torch.from_numpy(training.continuous.mean(axis=0)))
        spread = np.maximum(training.continuous.std(axis=0), 1e-6)
        network.continuous_scale.copy_(torch.from_numpy(spread))
    with torch.no_grad():
        if on_counts:
            if config.masked:
                share = gene_rates(training)
            else:
                library = library_of(training, config.library)
                share = (gene_totals(training.X) + 0.5) / library.sum()
            network.eta.bias.copy_(torch.from_numpy(np.log(share)))
        else:
            center, scale = fit_log_values(training, config.likelihood)
            network.eta.bias.copy_(torch.from_numpy(center))
            if isinstance(network.log_theta, torch.nn.Parameter):
                network.log_theta.copy_(-torch.log(torch.from_numpy(scale)))
        # The heads start nearly flat, so that the first loss is the gene means' and not above it.
        if not config.tied_weights:
            network.eta.weight.mul_(_HEAD_SCALE)
        if network.pi_logits is not None:
            network.pi_logits.weight.mul_(_HEAD_SCALE)
            network.pi_logits.bias.fill_(_FIRST_PI_LOGIT)
    network.clamp_theta()


def _note_measured(network: CountAutoencoder, training: ModelledCounts) -> None:
    """Tell the network what enters for a gene that a cell was not measured for, and who was."""
    config = network.config
    network.rate.copy_(torch.from_numpy(gene_rates(training)))
    if config.input == "log1p":
        logs = ModelledCounts(training.X, np.ones(len(training)), measured=training.measured)
        network.input_mean.copy_(torch.from_numpy(log_moments(logs)[0]))
    if training.measured is None:
        return
    batch = np.zeros(len(training), dtype=np.int64)
    if config.n_batches and training.batch is not None:
        batch = training.batch
    network.measured.fill_(False)
    pairs = np.unique(np.stack([batch, training.measured.of_cell]), axis=1)
    for of_batch, of_set in pairs.T:
        network.measured[of_batch] |= torch.from_numpy(training.measured.genes[of_set])


def _step_seed(seed: int, step: int, rollbacks: int) -> int:
    return int(np.random.SeedSequence([seed, step, rollbacks]).generate_state(1)[0])


class _Progress:
    """A bar on a terminal, a line every ten seconds in a log."""

    def __init__(self, max_steps: int, step: int):
        self.max_steps = max_steps
        self.bar = tqdm(
            total=max_steps,
            initial=step,
            unit="step",
            disable=not sys.stderr.isatty(),
            leave=False,
        )
        self.logged = time.monotonic()

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def show(self, step: int, train_loss: float, validation_loss: float) -> None:
        self.bar.update(step - self.bar.n)
        self.bar.set_postfix(train=f"{train_loss:.2f}", validation=f"{validation_loss:.2f}")
        if self.bar.disable and time.monotonic() - self.logged > _LOG_SECONDS:
            self.logged = time.monotonic()
            log.info(
                "step %d of at most %d: training loss %.2f, validation loss %.2f nats per cell",
                step,
                self.max_steps,
                train_loss,
                validation_loss,
            )
