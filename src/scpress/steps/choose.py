"""All predictors side by side on the same held-out molecules, and the model to build on."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import chi2

from scpress.config.options import ChooseOptions
from scpress.errors import InputError
from scpress.tables.scores import Choice, Predictor, Ranked, Scores

log = logging.getLogger("scpress")

# Standard errors from which a difference is called one.
_CLEAR = 2.0


def choose(
    models: Sequence[Scores],
    baselines: Scores,
    options: ChooseOptions | None = None,
    *,
    ensembles: Sequence[Scores] = (),
) -> Choice:
    """Rank every model and baseline, and choose the model.

    Chosen is the first model of the list whose loss is within `tolerance` standard errors of that
    of the best model: the list says what is preferred where the molecules do not. The loss of a
    model is that of all its seeds together, where there are several, as all are built on.

    Parameters
    ----------
    models
        One table for each model and seed, in the order of the list.
    ensembles
        All seeds together of each model that has several.

    Raises
    ------
    InputError
        Scores on other molecules.
    """
    options = options or ChooseOptions()
    tables = [*models, *ensembles, baselines]
    for table in tables:
        if table.digest != baselines.digest:
            names = ", ".join(one.name for one in table.predictors)
            raise InputError(
                f"the scores of {names} are of other held-out molecules than those of the "
                "baselines. Give files of one run."
            )
    runs: dict[str, list[Predictor]] = {}
    for table in (*models, baselines):
        for one in table.predictors:
            runs.setdefault(one.name, []).append(one)
    is_model = {one.name for table in models for one in table.predictors}
    together = {one.name: [one] for table in ensembles for one in table.predictors}
    if together.keys() - is_model:
        raise InputError(
            f"all seeds of {min(together.keys() - is_model)!r} are scored together, and none of "
            "them alone. Give files of one run."
        )
    apart = {name: _losses(ones, options.loss) for name, ones in runs.items()}
    losses = apart | {name: _losses(ones, options.loss) for name, ones in together.items()}
    means = {name: float(loss.mean()) for name, loss in losses.items()}

    def error(first: str, second: str) -> float:
        return paired_error(losses[first], losses[second], trainings=(apart[first], apart[second]))

    best = min(means, key=lambda name: means[name])
    listed = [name for name in runs if name in is_model]
    best_model = min(listed, key=lambda name: means[name])
    chosen = next(
        name
        for name in listed
        if means[name] - means[best_model] <= options.tolerance * error(name, best_model)
    )
    ranked = tuple(
        _ranked(
            name,
            together.get(name, runs[name]),
            is_model=name in is_model,
            n_seeds=len(runs[name]),
            together=name in together,
            loss=means[name],
            from_best=(means[name] - means[best], error(name, best)),
            from_chosen=(means[name] - means[chosen], error(name, chosen)),
            n_genes=baselines.n_genes,
        )
        for name in sorted(runs, key=lambda name: means[name])
    )
    alone = tuple(
        _ranked(
            one.name,
            runs[one.name],
            is_model=True,
            n_seeds=one.n_seeds,
            together=False,
            loss=float(apart[one.name].mean()),
            from_best=_difference(apart[one.name], losses[best]),
            from_chosen=_difference(apart[one.name], losses[chosen]),
            n_genes=baselines.n_genes,
        )
        for one in ranked
        if one.together
    )
    choice = Choice(
        loss=options.loss,
        tolerance=options.tolerance,
        chosen=chosen,
        best_model=best_model,
        beaten_by=tuple(
            one.name
            for one in ranked
            if not one.is_model and -one.from_chosen > _CLEAR * one.from_chosen_error
        ),
        n_cells=baselines.n_cells,
        n_genes=baselines.n_genes,
        n_molecules=baselines.n_molecules,
        n_folds=len(baselines.predictors[0].folds),
        observed_zeros=baselines.observed_zeros,
        mean_by_level=baselines.mean_by_level,
        predictors=ranked,
        seeds_apart=alone,
    )
    log.info("%s of the models predicts held-out molecules best; %s is chosen", best_model, chosen)
    return choice


def paired_error(
    first: np.ndarray,
    second: np.ndarray,
    *,
    trainings: tuple[np.ndarray, np.ndarray] | None = None,
) -> float:
    """Standard error of the mean difference of two losses [seeds, folds, blocks of cells].

    Two parts are added, as variances: of the cells, from the blocks' differences in the mean over
    seeds and folds, and of the trainings, from the differences of each seed and fold in the mean
    over the cells. What has one seed stands beside each seed of the other. The chance of the
    molecules is in both, so the error is rather too large than too small.

    Parameters
    ----------
    trainings
        The losses of which trainings differ, if others: of seeds that are scored together, each
        seed's alone, as one prediction for each fold says next to nothing of it.
    """
    of_blocks = (first - second).mean(axis=(0, 1))
    one, other = trainings or (first, second)
    of_runs = (one - other).mean(axis=2).ravel()
    return float(np.sqrt(sum(_variance_of_mean(values) for values in (of_blocks, of_runs))))


def paired_errors(losses: Mapping[Any, np.ndarray], other: Any) -> dict[Any, float]:
    """Standard errors of the differences of several losses from one of them, as `paired_error`.

    How trainings differ is taken from all of them together: one seed with two folds has two
    differences, whose spread is next to nothing as often as it is many times too wide. It is the
    median of the variances, over that of chi-square, so that one wild setting is not all settings'.
    All have the same seeds and folds.
    """
    differences = {name: loss - losses[other] for name, loss in losses.items() if name != other}
    runs = np.array([one.mean(axis=2).ravel() for one in differences.values()])
    of_runs, free = 0.0, runs.shape[-1] - 1
    if len(runs) and free:
        of_runs = float(np.median(runs.var(axis=1, ddof=1)) * free / chi2.median(free)) / (free + 1)
    errors = {
        name: float(np.sqrt(_variance_of_mean(one.mean(axis=(0, 1))) + of_runs))
        for name, one in differences.items()
    }
    return errors | {other: 0.0}


def _variance_of_mean(values: np.ndarray) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0


def _losses(runs: Sequence[Predictor], loss: str) -> np.ndarray:
    """[seeds, folds, blocks] Of one predictor."""
    return np.array([[getattr(fold, loss) for fold in one.folds] for one in runs])


def _difference(losses: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    return float(losses.mean() - other.mean()), paired_error(losses, other)


def _ranked(
    name: str,
    runs: Sequence[Predictor],
    *,
    is_model: bool,
    n_seeds: int,
    together: bool,
    loss: float,
    from_best: tuple[float, float],
    from_chosen: tuple[float, float],
    n_genes: int,
) -> Ranked:
    folds = [fold for one in runs for fold in one.folds]

    def mean(field: str) -> tuple[float, ...]:
        return tuple(np.mean([getattr(fold, field) for fold in folds], axis=0).tolist())

    return Ranked(
        name=name,
        is_model=is_model,
        n_seeds=n_seeds,
        together=together,
        loss=loss,
        difference=from_best[0],
        error=from_best[1],
        from_chosen=from_chosen[0],
        from_chosen_error=from_chosen[1],
        poisson_per_entry=float(np.mean(mean("poisson"))) / n_genes,
        log_mse=float(np.mean([fold.log_mse for fold in folds])),
        poisson_by_level=mean("poisson_by_level"),
        expected_zeros=mean("expected_zeros"),
        dispersion=mean("dispersion"),
    )
