"""All that a training goes on from: weights, their average, optimizer, schedule and history."""

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from scpress.config.options import TrainOptions
from scpress.model.network import CountAutoencoder
from scpress.tables.training import HistoryRow
from scpress.training.checkpoints import Checkpoint
from scpress.training.schedule import Schedule

log = logging.getLogger("scpress")

# Steps between two terms of the average: each is a pass over all weights.
AVERAGE_EVERY = 5


class TrainingState:
    """Everything a training goes on from, as named tensors and JSON-able values.

    `good` is the state at the last finite validation, `best` the averaged weights of the best one.
    """

    def __init__(
        self,
        network: CountAutoencoder,
        optimizer: torch.optim.Optimizer,
        options: TrainOptions,
    ):
        self.optimizer, self.options = optimizer, options
        self.schedule = Schedule(options.first_rate)
        self.running = torch.zeros((), device=network.input_mean.device)
        self.history: list[dict[str, Any]] = []
        self._weights = {name: value.detach() for name, value in network.state_dict().items()}
        self._averaged = _copied(self._weights)
        self._mixed = [
            name
            for name, value in self._weights.items()
            if options.averaged_steps and value.is_floating_point()
        ]
        self.good = _copied(self._tensors())
        self.best = _copied(self._averaged)
        self.set_rate()

    def _tensors(self) -> dict[str, Tensor]:
        """The tensors that a step changes, themselves and not copies."""
        tensors = {f"network.{name}": value for name, value in self._weights.items()}
        tensors |= {f"averaged.{name}": value for name, value in self._averaged.items()}
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for i, parameter in enumerate(parameters):
            for slot, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{i}.{slot}"] = value
        return tensors

    def average(self) -> None:
        """Move the average towards the weights; what is not averaged follows them."""
        for name in self._averaged.keys() - self._mixed:
            self._averaged[name].copy_(self._weights[name])
        if not self._mixed:
            return
        # Early on the average is of all there has been, or the first weights would stay in it.
        terms = math.ceil(self.schedule.step / AVERAGE_EVERY)
        term = max(AVERAGE_EVERY / self.options.averaged_steps, 9 / (terms + 9))
        averaged, weights = ([of[k] for k in self._mixed] for of in (self._averaged, self._weights))
        torch._foreach_lerp_(averaged, weights, min(1.0, term))

    @contextmanager
    def averaged_in_place(self) -> Iterator[None]:
        """The network has the averaged weights inside, and its own again afterwards."""
        own = _copied(self._weights)
        _copy(self._averaged, self._weights)
        try:
            yield
        finally:
            _copy(own, self._weights)

    def set_rate(self) -> None:
        """Give the schedule's rate to the optimizer."""
        rate = self.schedule.learning_rate
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)  # a captured graph reads it from where it is
            else:
                group["lr"] = rate

    def note(self, row: HistoryRow) -> None:
        """Remember a finite validation, and the averaged weights if it is the best one."""
        self.history.append({k: v for k, v in asdict(row).items() if v is not None})
        self.good = _copied(self._tensors())
        if self.schedule.note(row):
            self.best = _copied(self._averaged)

    def restore_best(self) -> None:
        """Give the network the averaged weights of the best validation."""
        _copy(self.best, self._weights)

    def roll_back(self) -> None:
        """Go back to the last finite validation, with a lower rate.

        Raises
        ------
        FitFailedError
            It has been gone back too often.
        """
        schedule = self.schedule
        schedule.roll_back(self.options)
        log.warning(
            "non-finite loss before step %d: back to the last good weights, learning rate %g",
            schedule.step,
            schedule.learning_rate,
        )
        _copy(self.good, self._tensors())
        self.set_rate()

    def save(self, checkpoint: Checkpoint) -> None:
        """Save all of it, and end the training if a signal asked for that.

        Raises
        ------
        InterruptedTrainingError
            It did.
        """
        parts = {"now": self._tensors(), "good": self.good, "best": self.best}
        tensors = {f"{part}.{k}": v for part, values in parts.items() for k, v in values.items()}
        schedule = asdict(self.schedule)
        if not self.history:
            schedule["best_loss"] = None  # JSON has no infinity
        checkpoint.save(
            tensors | {"running": self.running}, {"schedule": schedule, "history": self.history}
        )
        checkpoint.end_if_asked(self.schedule.step)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Become what the checkpoint has, where it has something."""
        found = checkpoint.load()
        if found is None:
            return
        tensors, values = found
        self.running.copy_(tensors.pop("running"))
        parts: dict[str, dict[str, Tensor]] = {"now": {}, "good": {}, "best": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        _copy(parts["now"], self._tensors())
        self.good, self.best = parts["good"], parts["best"]
        for name, value in values["schedule"].items():
            setattr(self.schedule, name, math.inf if value is None else value)
        self.history[:] = values["history"]
        self.set_rate()
        log.info("going on from step %d, saved in '%s'", self.schedule.step, checkpoint.folder)


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in tensors.items()}


def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, value in target.items():
        value.copy_(source[name])
