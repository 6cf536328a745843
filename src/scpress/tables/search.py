"""A search for the settings of a model: what is tried, how each does, what is chosen."""

from dataclasses import dataclass
from typing import Any, Self

from scpress.tables.records import NotNegative, Record
from scpress.tables.scores import Scores


@dataclass(frozen=True, kw_only=True)
class Trial(Record):
    """One setting of the model.

    Attributes
    ----------
    settings
        Options of training that differ from the model's own.
    losses
        Poisson loss of held-out molecules in each rung that it was in, nats per cell; none where
        its training failed.
    difference, error
        Of the last of them from the best of that rung, in the same cells, and its standard error.
    """

    settings: dict[str, Any]
    losses: tuple[float, ...] = ()
    difference: NotNegative | None = None
    error: NotNegative | None = None


@dataclass(frozen=True, kw_only=True)
class Search(Record):
    """How far a search has come: `search` writes the first, `rank` one after each rung.

    Attributes
    ----------
    given
        Options of the model as it is, in which the settings of trials are changed.
    steps, eta
        Most steps of the trainings of each rung, and one of how many trials goes on.
    rung
        The one that is next; the number of rungs where there is none.
    entered
        Trials that are in it, by number.
    preferred
        Trials of which the first stays in to the end, and the first within one standard error of
        the best is chosen; the best, where none is.
    singular_values, threshold, guess
        Of Pearson residuals, from which value on they are above noise, and the size of latent that
        this suggests; where it was asked for.
    chosen
        Number of the trial; none before the end.
    """

    made_by = "`scpress search` and `scpress rank`"

    model: str
    given: dict[str, Any]
    steps: tuple[int, ...]
    eta: int
    rung: int
    trials: tuple[Trial, ...]
    entered: tuple[int, ...]
    preferred: tuple[int, ...]
    singular_values: tuple[NotNegative, ...] = ()
    threshold: NotNegative = 0.0
    guess: int | None = None
    chosen: int | None = None

    @classmethod
    def from_plain(cls, values: Any, where: str) -> Self:
        """Read as a record, and check that the numbers are of trials, and the rung is one."""
        found = super().from_plain(values, where)
        numbers = [*found.entered, *found.preferred]
        numbers += [] if found.chosen is None else [found.chosen]
        wrong = [number for number in numbers if number >= len(found.trials)]
        if wrong:
            raise cls.refusal(f"{where} names trial {wrong[0]} of {len(found.trials)}")
        if not found.preferred or found.eta < 2 or found.rung > len(found.steps):
            raise cls.refusal(f"{where} has no order, no eta or a rung that there is not")
        return found


@dataclass(frozen=True, kw_only=True)
class TrialScores(Record):
    """What `trial` found in one place of a rung; no scores where it is empty, or training failed.

    Attributes
    ----------
    slot
        The place, from 0.
    """

    made_by = "`scpress trial`"

    rung: int
    slot: int
    scores: Scores | None = None
