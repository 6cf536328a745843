"""The knobs of a search for the settings of a model, on held-out molecules."""

from dataclasses import dataclass

from scpress.config.fields import MAX_SEED, Options, option


@dataclass(frozen=True)
class SearchOptions(Options):
    """Draw the settings that a model is tried with, its own first."""

    axes: tuple[str, ...] = option(
        (), "KEY=[VALUE, ...] in JSON: options of training and the values to try"
    )
    trials: int = option(
        12, "most settings that are tried, the model's own among them", minimum=2, maximum=1000
    )
    steps: tuple[int, ...] = option(
        (500, 20_000),
        "most steps of the trainings of each rung; those that are best go on to the next",
        minimum=1,
    )
    eta: int = option(3, "one of so many settings goes on to the next rung", minimum=2)
    seed: int = option(0, "seed of the draw", minimum=0, maximum=MAX_SEED)
