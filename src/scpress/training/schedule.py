"""When the rate is lowered and when a training stops."""

import math
from dataclasses import dataclass


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
