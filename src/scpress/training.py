"""The one training loop: batches, schedule, validation, rollback, early stopping."""

import logging
import math
import os
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

from scpress.checkpoints import Checkpoint
from scpress.counts import gene_totals
from scpress.errors import FitFailedError, InputError
from scpress.likelihoods import LIKELIHOODS
from scpress.network import CountAutoencoder
from scpress.options import OPERATIONAL, TrainOptions
from scpress.scoring import library_of, log_moments
from scpress.stepping import large_blocks_stay, stepper
from scpress.trained import ModelledCounts, TrainedModel

log = logging.getLogger("scpress")

# Rollbacks after which a fit that keeps turning non-finite is given up.
_MAX_ROLLBACKS = 8
_HEAD_SCALE = 0.1
_FIRST_PI_LOGIT = -2.0
_LOG_SECONDS = 10.0
_BLOCK_CELLS = 1024
# Set by Slurm, or by whoever shares out the GPUs of a machine, for a job that has one.
_GPU_VARIABLES = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "CUDA_VISIBLE_DEVICES")


@dataclass
class Schedule:
    """Where the training stands: all that the next step depends on beside weights and optimizer."""

    learning_rate: float
    step: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    lowered_step: int = 0
    rollbacks: int = 0


@dataclass(frozen=True)
class Validation:
    """One row of the history; losses are nats per cell."""

    step: int
    cells_seen: int
    train_loss: float
    validation_loss: float
    validation_reconstruction: float
    validation_kl: float
    kl_weight: float
    learning_rate: float


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
        given = [f"{name}={os.environ[name]}" for name in _GPU_VARIABLES if os.environ.get(name)]
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

    Every random number is a function of (seed, step): the order of the cells of (seed, epoch),
    the noise and the dropout of (seed, step). So the state of a training is the weights, the
    optimizer, the `Schedule` and what has been measured, and nothing else.

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
    state = _State(network, step_of.optimizer, Schedule(options.learning_rate))
    if checkpoint is not None:
        state.resume(checkpoint)
    schedule = state.schedule
    stopped = "max_steps"
    with _Progress(options.max_steps, schedule.step) as progress:
        while schedule.step < options.max_steps:
            # Here and nowhere else: all that belongs to the last step is done.
            if checkpoint is not None and checkpoint.is_due:
                state.save(checkpoint)
            kl_weight = min(1.0, (schedule.step + 1) / max(1, options.kl_warmup_steps))
            network.train()
            state.running += step_of(
                order.rows(schedule.step),
                kl_weight=kl_weight,
                seed=_step_seed(seed, schedule.step, schedule.rollbacks),
            )
            schedule.step += 1
            if schedule.step % options.validate_every and schedule.step < options.max_steps:
                continue

            # One look at the loss per validation: on a GPU each look waits for the device.
            since = (schedule.step - 1) % options.validate_every + 1
            train_loss = float(state.running) / since
            state.running.zero_()
            held_out = validate(model, validation, seed=seed)
            if not (math.isfinite(train_loss) and math.isfinite(held_out.total)):
                state.roll_back(options)
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
                stopped = "patience"
                break
            if waited >= options.plateau and (
                schedule.step - max(schedule.lowered_step, schedule.best_step) >= options.plateau
            ):
                schedule.learning_rate *= options.plateau_factor
                schedule.lowered_step = schedule.step
                state.set_rate()
    if not state.history:
        raise FitFailedError(
            "the fit failed: no validation loss was finite. Lower learning_rate or clip_norm."
        )
    state.restore_best()
    network.eval()
    return Fit(state.history, schedule.best_step, schedule.best_loss, stopped, schedule.rollbacks)


class _State:
    """Everything a training goes on from, as named tensors and JSON-able values.

    `good` is the state at the last finite validation, `best` the weights of the best one.
    """

    def __init__(
        self, network: CountAutoencoder, optimizer: torch.optim.Optimizer, schedule: Schedule
    ):
        self.network, self.optimizer, self.schedule = network, optimizer, schedule
        self.running = torch.zeros((), device=network.input_mean.device)
        self.history: list[dict[str, Any]] = []
        self.good = self.best = self._copy()
        self.set_rate()

    def _tensors(self) -> dict[str, Tensor]:
        """The tensors that a step changes, themselves and not copies."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for i, parameter in enumerate(parameters):
            for slot, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{i}.{slot}"] = value
        return tensors

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self._tensors().items()}

    def _restore(self, copied: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self._tensors().items():
                value.copy_(copied[name])

    def set_rate(self) -> None:
        for group in self.optimizer.param_groups:
            rate = self.schedule.learning_rate * group["rate"]
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)  # a captured graph reads it from where it is
            else:
                group["lr"] = rate

    def note(self, row: Validation) -> None:
        self.history.append(asdict(row))
        self.good = self._copy()
        if row.validation_loss < self.schedule.best_loss:
            self.schedule.best_loss, self.schedule.best_step = row.validation_loss, row.step
            self.best = self.good

    def restore_best(self) -> None:
        self._restore(self.best)

    def roll_back(self, options: TrainOptions) -> None:
        schedule = self.schedule
        schedule.rollbacks += 1
        if schedule.rollbacks > _MAX_ROLLBACKS:
            raise FitFailedError(
                f"the loss turned non-finite {schedule.rollbacks} times, last at step "
                f"{schedule.step} with learning rate {schedule.learning_rate:g}. "
                "Lower learning_rate or clip_norm."
            )
        schedule.learning_rate *= options.plateau_factor
        log.warning(
            "non-finite loss before step %d: back to the last good weights, learning rate %g",
            schedule.step,
            schedule.learning_rate,
        )
        self._restore(self.good)
        self.set_rate()

    def save(self, checkpoint: Checkpoint) -> None:
        parts = {"now": self._tensors(), "good": self.good}
        if self.best is not self.good:
            parts["best"] = self.best
        tensors = {f"{part}.{k}": v for part, values in parts.items() for k, v in values.items()}
        checkpoint.save(
            tensors | {"running": self.running},
            {"schedule": asdict(self.schedule), "history": self.history},
        )
        checkpoint.end_if_asked(self.schedule.step)

    def resume(self, checkpoint: Checkpoint) -> None:
        found = checkpoint.load()
        if found is None:
            return
        tensors, values = found
        self.running.copy_(tensors.pop("running"))
        parts: dict[str, dict[str, Tensor]] = {"now": {}, "good": {}, "best": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self._restore(parts["now"])
        self.good = parts["good"]
        self.best = parts["best"] or self.good
        for name, value in values["schedule"].items():
            setattr(self.schedule, name, value)
        self.history[:] = values["history"]
        self.set_rate()
        log.info("going on from step %d, saved in '%s'", self.schedule.step, checkpoint.folder)


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
        "counts": [one.digest() for one in (training, validation)],
        "model": asdict(model.config),
        "options": {k: v for k, v in asdict(options).items() if k not in OPERATIONAL},
        "seed": seed,
        "threads": torch.get_num_threads(),
        "device": str(network.input_mean.device),
        "kernels": network.kernels if network.is_compiled else "torch",
        "products": network.products,
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
