"""How names of another package are put into ours."""

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scpress.config.options import TrainOptions
from scpress.errors import InputError

log = logging.getLogger("scpress")


@dataclass(frozen=True)
class Dialect:
    """The names of one package.

    Attributes
    ----------
    package, whose
        Its name, and whose its names are, as texts have it.
    preset
        That its names go with.
    page
        The page of the documentation.
    means
        Name -> our options that it stands for.
    values
        Gives the values of these, of a name among those given: (name, given, steps of an epoch,
        our options).
    """

    package: str
    whose: str
    preset: str
    page: str
    means: Mapping[str, tuple[str, ...]]
    values: Callable[[str, Mapping[str, Any], int, TrainOptions], tuple[Any, ...]]


def translate_names(
    options: TrainOptions, given: Mapping[str, Any], dialect: Dialect, *, n_cells: int
) -> TrainOptions:
    """Put what was said in another package's names into the options of a training.

    Parameters
    ----------
    n_cells
        Cells of the data: an epoch is the training part of them in batches.

    Raises
    ------
    InputError
        Another preset, a thing that is said in both names, or in two names that disagree.
    """
    if not given:
        return options
    if options.preset != dialect.preset:
        raise InputError(
            f"{next(iter(given))} is {dialect.whose} name and goes with preset {dialect.preset}; "
            f"found preset {options.preset}. Set preset: {dialect.preset}, or use scpress's own "
            f"name ({dialect.page})."
        )
    training = n_cells - round(n_cells * options.validation_fraction)
    epoch = math.ceil(training / options.batch_size)
    changes: dict[str, Any] = {}
    for name, value in given.items():
        means = dialect.means[name]
        for ours in means:
            if getattr(options, ours) != TrainOptions.__dataclass_fields__[ours].default:
                raise InputError(
                    f"{name} is {dialect.whose} name for {' and '.join(means)}, and {ours} is "
                    "given, too; keep one of them."
                )
        values = dialect.values(name, given, epoch, options)
        # No values: it is what is done anyhow.
        meant = dict(zip(means, values, strict=bool(values)))
        for ours, one in meant.items():
            if changes.get(ours, one) != one:
                raise InputError(
                    f"{name} {value} makes {ours} {one}, and another of {dialect.whose} names "
                    f"makes it {changes[ours]}; keep one of them."
                )
        changes |= meant
        if meant:
            said = ", ".join(f"{ours} {shown}" for ours, shown in meant.items())
            log.info("%s %s of %s is %s", name, value, dialect.package, said)
    return dataclasses.replace(options, **changes)
