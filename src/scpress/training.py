"""The one training loop: batches, schedule, validation, rollback, early stopping."""

import logging
import math
import os
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from scpress.checkpoints import Checkpoint
from scpress.counts import gene_totals
from scpress.errors import FitFailedError, InputError
from scpress.likelihoods import LIKELIHOODS
from scpress.network import CountAutoencoder
from scpress.options import OPERATIONAL, TrainOptions
from scpress.scoring import library_of, log_moments
from scpress.stepping import large_blocks_stay, stepper
from scpress.trained import ModelledCounts, TrainedModel
from scpress.training_state import AVERAGE_EVERY, TrainingState, Validation

log = logging.getLogger("scpress")

_HEAD_SCALE = 0.1
_FIRST_PI_LOGIT = -2.0
_LOG_SECONDS = 10.0
_BLOCK_CELLS = 1024
# Raised when the same input gives other bits: no state of the old kind is gone on from. With
# it goes the `step_version` of the train rule, by which Snakemake repeats the step.
_METHOD = 3
# Set by Slurm, or by whoever shares out the GPUs of a machine, for a job that has one.
_GPU_VARIABLES = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "CUDA_VISIBLE_DEVICES")


@dataclass
class Fit:
    """What a training gives beside the network's weights, which are the best ones."""

    history: list[dict[str, Any]]
    best_step: int
    best_loss: float
    stopped: str
    rollbacks: int = 0


def resolve_device(device: str) -> str:
    """`auto` is the GPU where there is one, and the CPU elsewhere.

    Raises
    ------
    InputError
        cuda was asked for and is not there.
    """
    if device == "auto" and not torch.cuda.is_available():
        values = {name: os.environ.get(name, "") for name in _GPU_VARIABLES}
        given = [f"{k}={v}" for k, v in values.items() if v not in ("", "-1", "NoDevFiles")]
        if given:
            log.warning(
                "this job was given a GPU (%s), but torch finds none: it computes on the CPU. "
                "Is torch's CUDA build installed, and the driver? device cuda fails instead.",
                given[0],
            )
        return "cpu"
    if device == "auto":
        return "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda was asked for, but torch finds no GPU. Use --device auto.")
    return device


def fit(
    model: TrainedModel,
    training: ModelledCounts,
    validation: ModelledCounts,
    options: TrainOptions,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> Fit:
    """Train the model's network in place and leave its best weights in it.

    What is validated and kept is an exponential average of the weights with a time constant of
    `averaged_steps` (Polyak and Juditsky 1992, as Adam's users know it from Kingma and Ba 2015,
    section 7.2): it is as good at once as a lowered rate would make the weights in time, so the
    rate can be high.

    Every random number is a function of (seed, step): the order of the cells of (seed, epoch),
    the noise and the dropout of (seed, step). So the state of a training is the weights, their
    average, the optimizer, the `Schedule` and what has been measured, and nothing else.

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
            return _fit(model, training, validation, options, seed=seed, checkpoint=None)
        with checkpoint.claim(_identity(model, training, validation, options, seed=seed)):
            return _fit(model, training, validation, options, seed=seed, checkpoint=checkpoint)


def _fit(
    model: TrainedModel,
    training: ModelledCounts,
    validation: ModelledCounts,
    options: TrainOptions,
    *,
    seed: int,
    checkpoint: Checkpoint | None,
) -> Fit:
    network = model.network
    batch_size = min(options.batch_size, len(training))
    order = Order(len(training), batch_size, seed)
    initialize(network, training)
    step_of = stepper(model, training, options)
    state = TrainingState(network, step_of.optimizer, options)
    if checkpoint is not None:
        state.resume(checkpoint)
    schedule = state.schedule
    with _Progress(options.max_steps, schedule.step) as progress:
        while not schedule.stopped and schedule.step < options.max_steps:
            # Here and nowhere else: all that belongs to the last step is done.
            if checkpoint is not None and checkpoint.is_due:
                state.save(checkpoint)
            kl_weight = min(1.0, (schedule.step + 1) / max(1, options.kl_warmup_steps))
            if not network.training:
                network.train()
            state.running += step_of(
                order.rows(schedule.step),
                kl_weight=kl_weight,
                seed=_step_seed(seed, schedule.step, schedule.rollbacks),
            )
            schedule.step += 1
            is_last = schedule.step == options.max_steps
            is_validated = is_last or schedule.step % options.validate_every == 0
            if is_validated or schedule.step % AVERAGE_EVERY == 0:
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
            row = Validation(
                schedule.step,
                schedule.step * batch_size,
                train_loss,
                held_out.total,
                held_out.reconstruction,
                held_out.kl,
                kl_weight,
                schedule.learning_rate,
            )
            state.note(row)
            progress.show(schedule.step, train_loss, held_out.total)
            if schedule.step < options.kl_warmup_steps:
                continue
            waited = schedule.step - max(schedule.best_step, options.kl_warmup_steps)
            if waited >= options.patience:
                schedule.stopped = "patience"
            elif waited >= options.plateau and (
                schedule.step - max(schedule.lowered_step, schedule.best_step) >= options.plateau
            ):
                schedule.learning_rate *= options.plateau_factor
                schedule.lowered_step = schedule.step
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
    return {
        "method": _METHOD,
        "counts": [one.digest() for one in (training, validation)],
        "model": asdict(model.config),
        "options": {k: v for k, v in asdict(options).items() if k not in OPERATIONAL},
        "seed": seed,
        "threads": torch.get_num_threads(),
        "device": str(network.input_mean.device),
        "versions": {name: version(name) for name in ("scpress", "torch", "numba")},
    }


@dataclass(frozen=True)
class HeldOutLoss:
    """Means over the validation cells, nats, at full KL weight."""

    total: float
    reconstruction: float
    kl: float


def validate(model: TrainedModel, validation: ModelledCounts, *, seed: int) -> HeldOutLoss:
    """The loss of held-out cells, with the same noise at every call."""
    generator = torch.Generator().manual_seed(seed)
    network = model.network.eval()
    sums = np.zeros(3)
    with torch.no_grad():
        for _, block in validation.blocks(n_cells=_BLOCK_CELLS):
            noise = torch.randn(len(block), network.config.n_latent, generator=generator)
            cells = block.cells_of(model)
            loss = network.loss(cells, kl_weight=1.0, noise=noise.to(network.input_mean.device))
            sums += len(block) * np.array([float(part) for part in loss])
    return HeldOutLoss(*(sums / len(validation)))


def initialize(network: CountAutoencoder, training: ModelledCounts) -> None:
    """Start the output at the gene means, and the input's shift and scale at the data's."""
    config = network.config
    on_counts = LIKELIHOODS[config.likelihood].on_counts
    if config.input == "zscore" or not on_counts:
        mean, variance = log_moments(training)
    if config.input == "zscore":
        network.input_mean.copy_(torch.from_numpy(mean))
        network.input_scale.copy_(torch.from_numpy(np.sqrt(np.maximum(variance, 1e-4))))
    if training.continuous is not None:
        network.continuous_mean.copy_(torch.from_numpy(training.continuous.mean(axis=0)))
        spread = np.maximum(training.continuous.std(axis=0), 1e-6)
        network.continuous_scale.copy_(torch.from_numpy(spread))
    with torch.no_grad():
        if on_counts:
            share = (gene_totals(training.X) + 0.5) / library_of(training, config.library).sum()
            network.eta.bias.copy_(torch.from_numpy(np.log(share)))
        else:
            network.eta.bias.copy_(torch.from_numpy(mean))
            if isinstance(network.log_theta, torch.nn.Parameter):
                network.log_theta.copy_(-torch.log(torch.from_numpy(variance)))
        # The heads start nearly flat, so that the first loss is the gene means' and not above it.
        network.eta.weight.mul_(_HEAD_SCALE)
        if network.pi_logits is not None:
            network.pi_logits.weight.mul_(_HEAD_SCALE)
            network.pi_logits.bias.fill_(_FIRST_PI_LOGIT)
    network.clamp_theta()


class Order:
    """Which cells make up each step: a fresh permutation per epoch, batches always full."""

    def __init__(self, n_obs: int, batch_size: int, seed: int):
        self.n_obs, self.batch_size, self.seed = n_obs, batch_size, seed
        self._epoch = -1
        self._permutation = np.zeros(0, dtype=np.int64)

    def rows(self, step: int) -> np.ndarray:
        """[batch_size] Rows of a step; a batch may reach into the next epoch."""
        start = step * self.batch_size
        epoch, offset = divmod(start, self.n_obs)
        rows = self._of_epoch(epoch)[offset : offset + self.batch_size]
        if len(rows) < self.batch_size:
            rest = self.batch_size - len(rows)
            rows = np.concatenate([rows, self._of_epoch(epoch + 1)[:rest]])
        return np.sort(rows)

    def _of_epoch(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            self._permutation = np.random.default_rng([self.seed, epoch]).permutation(self.n_obs)
            self._epoch = epoch
        return self._permutation


def split_validation(strata: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """([training cells], [validation cells]) Rows drawn at random within each stratum.

    The draw does not depend on the model's seed: every model and every seed is scored on the
    same held-out cells.

    Raises
    ------
    InputError
        Too few cells to hold any out.
    """
    n_obs = len(strata)
    if n_obs < 10:
        raise InputError(f"training needs at least 10 cells; found {n_obs}. Loosen `qc`.")
    rng = np.random.default_rng(20_180_515)
    # Ranks of a random order within each stratum, as fractions: the lowest are held out.
    order = rng.permutation(n_obs)
    ranks = np.empty(n_obs)
    for stratum in np.unique(strata):
        members = order[strata[order] == stratum]
        ranks[members] = (np.arange(len(members)) + rng.random()) / len(members)
    held_out = np.zeros(n_obs, dtype=bool)
    held_out[np.argsort(ranks, kind="stable")[: max(2, round(fraction * n_obs))]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


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
