"""The one training loop: batches, schedule, validation, rollback, early stopping."""

import copy
import logging
import math
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from scpress.errors import FitFailedError, InputError
from scpress.likelihoods import LIKELIHOODS
from scpress.network import CountAutoencoder
from scpress.options import TrainOptions
from scpress.scoring import gene_moments, log_values
from scpress.trained import ModelledCounts, TrainedModel

log = logging.getLogger("scpress")

# Rollbacks after which a fit that keeps turning non-finite is given up.
_MAX_ROLLBACKS = 8
# Measured on test cells of PBMC 3k (2,000 genes): epsilon 1e-3 costs 0.2 %, a start at the moments'
# theta, which sees the difference between types as dispersion, 1 % over the start at theta = 1.
_PER_GENE = ("log_theta", "log_theta.bias", "eta.bias", "pi_logits.bias")
_PER_GENE_RATE = 3.0
_ADAM_EPSILON = 1e-2
_HEAD_SCALE = 0.1
_FIRST_PI_LOGIT = -2.0
_LOG_SECONDS = 10.0
_BLOCK_CELLS = 1024


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
    """`auto` is the GPU where there is one.

    Raises
    ------
    InputError
        cuda was asked for and is not there.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
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
) -> Fit:
    """Train the model's network in place and leave its best weights in it.

    Every random number is a function of (seed, step): the order of the cells of (seed, epoch),
    the noise and the dropout of (seed, step). So the state of a training is the weights, the
    optimizer and the `Schedule`, and nothing else.

    Raises
    ------
    FitFailedError
        The loss turned non-finite again and again.
    """
    network = model.network
    device = network.input_mean.device
    batch_size = min(options.batch_size, len(training))
    initialize(network, training)
    optimizer = build_optimizer(network, options)
    schedule = Schedule(options.learning_rate)
    good = best = _snapshot(network, optimizer)
    history: list[dict[str, Any]] = []
    order = Order(len(training), batch_size, seed)
    running = torch.zeros((), device=device)
    stopped = "max_steps"
    with _Progress(options.max_steps) as progress, torch.random.fork_rng():
        while schedule.step < options.max_steps:
            network.train()
            torch.manual_seed(_step_seed(seed, schedule.step, schedule.rollbacks))
            cells = training.take(order.rows(schedule.step)).cells_of(model)
            noise = torch.randn(batch_size, network.config.n_latent, device=device)
            kl_weight = min(1.0, (schedule.step + 1) / max(1, options.kl_warmup_steps))
            loss = network.loss(cells, kl_weight=kl_weight, noise=noise).total
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), options.clip_norm)
            optimizer.step()
            network.clamp_theta()
            running += loss.detach()
            schedule.step += 1
            if schedule.step % options.validate_every and schedule.step < options.max_steps:
                continue

            # One look at the loss per validation: on a GPU each look waits for the device.
            since = (schedule.step - 1) % options.validate_every + 1
            train_loss = float(running) / since
            running.zero_()
            held_out = validate(model, validation, seed=seed)
            if not (math.isfinite(train_loss) and math.isfinite(held_out.total)):
                _roll_back(network, optimizer, good, schedule, options)
                continue
            good = _snapshot(network, optimizer)
            history.append(
                asdict(
                    Validation(
                        schedule.step,
                        schedule.step * batch_size,
                        train_loss,
                        held_out.total,
                        held_out.reconstruction,
                        held_out.kl,
                        kl_weight,
                        schedule.learning_rate,
                    )
                )
            )
            progress.show(schedule.step, train_loss, held_out.total)
            if held_out.total < schedule.best_loss:
                schedule.best_loss, schedule.best_step = held_out.total, schedule.step
                best = good
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
                _set_rate(optimizer, schedule.learning_rate)
    if not history:
        raise FitFailedError(
            "the fit failed: no validation loss was finite. Lower learning_rate or clip_norm."
        )
    _restore(network, optimizer, best)
    network.eval()
    return Fit(history, schedule.best_step, schedule.best_loss, stopped, schedule.rollbacks)


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
    values = log_values(training)
    mean, variance = gene_moments(values)
    if config.input == "zscore":
        network.input_mean.copy_(torch.from_numpy(mean))
        network.input_scale.copy_(torch.from_numpy(np.sqrt(np.maximum(variance, 1e-4))))
    if training.continuous is not None:
        network.continuous_mean.copy_(torch.from_numpy(training.continuous.mean(axis=0)))
        spread = np.maximum(training.continuous.std(axis=0), 1e-6)
        network.continuous_scale.copy_(torch.from_numpy(spread))
    with torch.no_grad():
        if LIKELIHOODS[config.likelihood].on_counts:
            totals = np.asarray(training.X.sum(axis=0), dtype=np.float64).ravel()
            scale = training.X.sum() if config.library == "observed" else training.size_factor.sum()
            share = (totals + 0.5) / float(scale)
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


def _snapshot(network: CountAutoencoder, optimizer: torch.optim.Optimizer) -> Any:
    return copy.deepcopy((network.state_dict(), optimizer.state_dict()))


def _restore(network: CountAutoencoder, optimizer: torch.optim.Optimizer, snapshot: Any) -> None:
    network.load_state_dict(snapshot[0])
    optimizer.load_state_dict(copy.deepcopy(snapshot[1]))


def build_optimizer(network: CountAutoencoder, options: TrainOptions) -> torch.optim.Optimizer:
    """Adam; what is one number per gene moves faster than the weights and is not decayed.

    log theta and the logit of pi have to travel several units, and at the weights' rate they are
    still on their way when the network already overfits.
    """
    named = dict(network.named_parameters())
    per_gene = [p for name, p in named.items() if name in _PER_GENE]
    rest = [p for name, p in named.items() if name not in _PER_GENE]
    groups = [
        {"params": rest, "rate": 1.0, "weight_decay": options.weight_decay},
        {"params": per_gene, "rate": _PER_GENE_RATE, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.Adam(groups, lr=options.learning_rate, eps=_ADAM_EPSILON, fused=True)
    _set_rate(optimizer, options.learning_rate)
    return optimizer


def _set_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["rate"]


def _roll_back(
    network: CountAutoencoder,
    optimizer: torch.optim.Optimizer,
    good: Any,
    schedule: Schedule,
    options: TrainOptions,
) -> None:
    schedule.rollbacks += 1
    if schedule.rollbacks > _MAX_ROLLBACKS:
        raise FitFailedError(
            f"the loss turned non-finite {schedule.rollbacks} times, last at step {schedule.step} "
            f"with learning rate {schedule.learning_rate:g}. Lower learning_rate or clip_norm."
        )
    schedule.learning_rate *= options.plateau_factor
    log.warning(
        "non-finite loss before step %d: back to the last good weights, learning rate %g",
        schedule.step,
        schedule.learning_rate,
    )
    _restore(network, optimizer, good)
    _set_rate(optimizer, schedule.learning_rate)


class _Progress:
    """A bar on a terminal, a line every ten seconds in a log."""

    def __init__(self, max_steps: int):
        self.max_steps = max_steps
        self.bar = tqdm(total=max_steps, unit="step", disable=not sys.stderr.isatty(), leave=False)
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
