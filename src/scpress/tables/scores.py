"""Scores on held-out molecules, one predictor beside the other, and what they decide."""

from dataclasses import dataclass
from typing import Any, Self

from scpress.tables.records import NotNegative, Record, Share

# Groups of cells, drawn at random, whose means are kept: differences of two predictors have their
# error from these, whatever the number of cells.
N_BLOCKS = 100
N_LEVELS = 5


@dataclass(frozen=True, kw_only=True)
class FoldScore(Record):
    """One predictor on one fold, or several in the mean.

    Attributes
    ----------
    poisson, nb
        Mean loss of each block of cells: -log-likelihood of the held-out molecules without what
        depends on them alone, nats per cell. The inverse dispersion of `nb` is each gene's own and
        the same for all predictors.
    log_mse
        Squared error of log1p of counts at 10,000 per cell, mean over cells and genes.
    poisson_by_level
        Poisson loss of the genes of each level of expression, nats per cell; lowest first.
    expected_zeros
        Share of zeros that the means expect, by level; the folds' own are in `Scores`.
    dispersion
        Squared error over the variance that goes with the means, by level; 1 where calibrated.
    """

    poisson: tuple[float, ...]
    nb: tuple[float, ...]
    log_mse: NotNegative
    poisson_by_level: tuple[float, ...]
    expected_zeros: tuple[Share, ...]
    dispersion: tuple[NotNegative, ...]


@dataclass(frozen=True, kw_only=True)
class Predictor(Record):
    """One way to predict, fitted once for each fold.

    Attributes
    ----------
    name
        Model or baseline.
    seed
        Of the model; a baseline has none, and neither have all seeds together.
    """

    name: str
    seed: int | None = None
    folds: tuple[FoldScore, ...]


@dataclass(frozen=True, kw_only=True)
class Scores(Record):
    """What `score` wrote for one model and seed, or `baselines` for all baselines.

    Attributes
    ----------
    digest
        Of the molecules that were held out; scores of others cannot be compared.
    observed_zeros
        Share of zeros among the held-out counts, by level of expression.
    mean_by_level
        Mean held-out count, by level.
    """

    made_by = "`scpress score` and `scpress baselines`"

    digest: str
    n_cells: int
    n_genes: int
    n_molecules: int
    observed_zeros: tuple[Share, ...]
    mean_by_level: tuple[NotNegative, ...]
    predictors: tuple[Predictor, ...]


@dataclass(frozen=True, kw_only=True)
class Ranked(Record):
    """A predictor among all of them; means over seeds and folds.

    Attributes
    ----------
    together
        Whether what the seeds expect was averaged before it was scored: one prediction.
    loss
        By which all are compared, nats per cell.
    difference, error
        Of the loss from that of the best, and its standard error; 0 for the best itself.
    from_chosen, from_chosen_error
        The same from the chosen model.
    poisson_per_entry
        Poisson loss over cells and genes, as Open Problems states it.
    """

    name: str
    is_model: bool
    n_seeds: int
    together: bool = False
    loss: float
    difference: float
    error: NotNegative
    from_chosen: float
    from_chosen_error: NotNegative
    poisson_per_entry: float
    log_mse: NotNegative
    poisson_by_level: tuple[float, ...]
    expected_zeros: tuple[Share, ...]
    dispersion: tuple[NotNegative, ...]


@dataclass(frozen=True, kw_only=True)
class Choice(Record):
    """What `choose` found: all predictors, the best first, and the model that is built on.

    Attributes
    ----------
    seeds_apart
        The models of which all seeds together are among the predictors, each seed alone.
    chosen
        The first of the listed models within the tolerance of the best of them.
    best_model
        The model of the lowest loss.
    beaten_by
        Baselines better than the chosen model by more than twice the error of the difference.
    """

    made_by = "`scpress choose`"

    loss: str
    tolerance: NotNegative
    chosen: str
    best_model: str
    beaten_by: tuple[str, ...]
    n_cells: int
    n_genes: int
    n_molecules: int
    n_folds: int
    observed_zeros: tuple[Share, ...]
    mean_by_level: tuple[NotNegative, ...]
    predictors: tuple[Ranked, ...]
    seeds_apart: tuple[Ranked, ...] = ()

    @classmethod
    def from_plain(cls, values: Any, where: str) -> Self:
        """Read as a record, and check that what was chosen is among the models."""
        found = super().from_plain(values, where)
        models = [one.name for one in found.predictors if one.is_model]
        if found.chosen not in models:
            raise cls.refusal(
                f"{where} chooses {found.chosen!r}, and its models are {', '.join(models)}"
            )
        return found
