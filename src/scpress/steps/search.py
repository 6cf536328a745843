"""Which settings of a model are tried on held-out molecules, and what is used of them."""

import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import anndata as ad
import numpy as np

from scpress import slots
from scpress.config.options import SearchOptions, TrainOptions
from scpress.config.scores import AUTO
from scpress.counts.matrix import select_columns
from scpress.counts.measured import require_all_measured
from scpress.errors import InputError
from scpress.model.axes import Axes, resolve_config
from scpress.model.fitted import record_options
from scpress.model.scree import Scree, find_scree
from scpress.tables.search import Search, Trial

log = logging.getLogger("scpress")

# Sizes of latent that are tried: these times the number of dimensions that stand out.
N_LATENT_FACTORS = (0.25, 0.5, 1, 2, 4)
_MAX_LATENT = 128
_AXES = {item.name for item in fields(Axes)}


def search(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    folds: ad.AnnData,
    options: TrainOptions,
    draw: SearchOptions | None = None,
    *,
    name: str,
) -> Search:
    """Draw the settings that a model is tried with.

    The model's own are among them, and stay unless others are better by more than one standard
    error. If the size of its latent is `auto`, some around the number of dimensions that stand out
    are tried; where there is nothing else to try, the smallest within one standard error of the
    best is chosen.

    Parameters
    ----------
    folds
        What `thin` made of these counts: it knows the dispersion of genes.
    options
        Of the model.

    Raises
    ------
    InputError
        An axis that is no option of training, values that it cannot have, nothing to try.
    """
    require_all_measured(counts, "search")
    draw = draw or SearchOptions()
    slots.require(folds, slots.THIN_THETA)
    slots.require(normalized, slots.HIGHLY_VARIABLE)
    slots.require_same_genes(counts.var_names, normalized.var_names, "normalized")
    columns = np.flatnonzero(normalized.var[slots.HIGHLY_VARIABLE.name].to_numpy(dtype=bool))
    slots.require_same_genes(counts.var_names[columns], folds.var_names, "folds")
    axes, n_genes = read_axes(draw.axes), len(columns)
    most = min(_MAX_LATENT, n_genes, max(counts.n_obs // 2, 1))
    by_size = not axes
    scree, own = Scree(np.zeros(0), 0.0), {}
    if options.n_latent == AUTO:
        if "n_latent" in axes:
            raise InputError("n_latent is auto and an axis of the search, too; keep one of them.")
        theta = folds.var[slots.THIN_THETA.name].to_numpy(dtype=np.float64)
        scree = find_scree(select_columns(counts.X, columns), theta)
        axes["n_latent"] = sizes_around(scree.n_above, most)
        own = {"n_latent": _size(scree.n_above, most)}
        log.info("%d dimensions stand out of the noise", scree.n_above)
    if not axes:
        raise InputError("nothing is searched; give axes, or n_latent auto.")
    grid = (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))
    others = _unlike(options, own, [own | settings for settings in grid], n_genes)
    drawn = np.random.default_rng(draw.seed).permutation(len(others))[: draw.trials - 1]
    tried = [own, *(others[place] for place in sorted(drawn))]
    if by_size:
        tried = sorted([own, *others], key=lambda settings: settings["n_latent"])
    log.info("%d settings of %s are tried, of %d", len(tried), name, len(others) + 1)
    return Search(
        model=name,
        given=record_options(options),
        steps=draw.steps[-1:] if by_size else draw.steps,
        eta=draw.eta,
        rung=0,
        trials=tuple(Trial(settings=settings) for settings in tried),
        entered=tuple(range(len(tried))),
        preferred=tuple(range(len(tried))) if by_size else (0,),
        singular_values=tuple(scree.values.tolist()),
        threshold=scree.threshold,
        guess=scree.n_above if own else None,
    )


def read_axes(words: Sequence[str]) -> dict[str, list[Any]]:
    """Option of training -> the values to try, from KEY=[VALUE, ...] in JSON.

    Raises
    ------
    InputError
        No option of that name, or no list of values.
    """
    known, axes = {item.name for item in fields(TrainOptions)}, {}
    for word in words:
        key, _, text = word.partition("=")
        try:
            values = json.loads(text)
        except json.JSONDecodeError:
            values = None
        if key not in known or not isinstance(values, list) or not values:
            raise InputError(
                "an axis of the search is KEY=[VALUE, ...] in JSON, of an option of training; "
                f"found {word!r}."
            )
        axes[key] = values
    return axes


def sizes_around(n: int, most: int) -> list[int]:
    """Sizes of latent to try around one, smallest first."""
    return sorted({_size(factor * n, most) for factor in N_LATENT_FACTORS})


def _size(n: float, most: int) -> int:
    return min(max(round(n), 1), most)


def _unlike(
    options: TrainOptions, own: Mapping[str, Any], grid: list[dict[str, Any]], n_genes: int
) -> list[dict[str, Any]]:
    """Settings that are no other word for the model's own, nor for one another."""
    seen, others = [_meaning(options, own, n_genes)], []
    for settings in grid:
        meaning = _meaning(options, settings, n_genes)
        if meaning not in seen:
            seen.append(meaning)
            others.append(settings)
    return others


def _meaning(options: TrainOptions, settings: Mapping[str, Any], n_genes: int) -> dict[str, Any]:
    """All that a training depends on: the axes as they are resolved, and the other options."""
    changed = replace(options, **settings)
    others = {key: value for key, value in asdict(changed).items() if key not in _AXES}
    return asdict(resolve_config(changed, n_genes=n_genes)) | others


def settle(options: TrainOptions, found: Search) -> TrainOptions:
    """Options with the settings that a search chose, where they are as those of the search were.

    What is said otherwise for one training stays: another size of latent, for one.

    Raises
    ------
    InputError
        The search has not come to its end.
    """
    if found.chosen is None:
        raise InputError(
            f"the search for the settings of {found.model} is not at its end; give `train` the "
            "file that the last `scpress rank` wrote."
        )
    own = record_options(options)
    settings = found.trials[found.chosen].settings
    return replace(
        options,
        **{key: one for key, one in settings.items() if own.get(key) == found.given.get(key)},
    )
