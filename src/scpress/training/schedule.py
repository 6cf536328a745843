"""When the rate is lowered and when a training stops."""

import math
from dataclasses import dataclass

from scpress.config.options import TrainOptions
from scpress.errors import FitFailedError
from scpress.tables.training import HistoryRow

# Rollbacks after which a fit that keeps turning non-finite is given up.
_MAX_ROLLBACKS = 8


@dataclass
class Schedule:
    """Where the training stands: all that the next step depends on beside weights and optimizer."""

    learning_rate: float
    step: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    lowered_step: int = 0
    rollbacks: int = 0
    stopped: str = ""

    def kl_weight(self, options: TrainOptions) -> float:
        """Weight of the KL term in the next step."""
        return min(1.0, (self.step + 1) / max(1, options.kl_warmup_steps))

    def note(self, row: HistoryRow) -> bool:
        """Take a validation in; returns whether it is the best one."""
        is_best = row.validation_loss < self.best_loss
        if is_best:
            self.best_loss, self.best_step = row.validation_loss, row.step
        return is_best

    def decide(self, options: TrainOptions) -> bool:
        """After a validation: stop, or lower the rate; returns whether it was lowered.

        Nothing is decided while the weight of the KL term still rises, and that time does not
        count as waiting for a better loss.
        """
        if self.step < options.kl_warmup_steps:
            return False
        waited = self.step - max(self.best_step, options.kl_warmup_steps)
        if waited >= options.patience:
            self.stopped = "patience"
            return False
        since = self.step - max(self.lowered_step, self.best_step)
        if waited < options.plateau or since < options.plateau:
            return False
        self.learning_rate *= options.plateau_factor
        self.lowered_step = self.step
        return True

    def roll_back(self, options: TrainOptions) -> None:
        """Count a step that was not finite, and lower the rate.

        Raises
        ------
        FitFailedError
            It has happened too often.
        """
        self.rollbacks += 1
        if self.rollbacks > _MAX_ROLLBACKS:
            raise FitFailedError(
                f"the loss turned non-finite {self.rollbacks} times, last at step {self.step} with "
                f"learning rate {self.learning_rate:g}. Lower learning_rate or clip_norm."
            )
        self.learning_rate *= options.plateau_factor
