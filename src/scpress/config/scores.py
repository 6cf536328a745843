"""The knobs of scores on held-out molecules, and of what is chosen by them."""

from dataclasses import dataclass

from scpress.config.fields import MAX_SEED, Options, option

AUTO = "auto"
# What `auto` is chosen from, the simplest first.
CANDIDATES = ("poisson", "nb", "zinb")
# DCA's names end with what they say of the dispersion.
LIKELIHOODS = (
    *CANDIDATES[::-1],
    "multinomial",
    "bernoulli",
    "gaussian",
    "laplace",
    "zinb-conddisp",
    "nb-conddisp",
    "normal",
    AUTO,
)


@dataclass(frozen=True)
class ThinOptions(Options):
    """Divide the molecules of every cell into independent folds, to be held out in turn."""

    folds: int = option(
        2,
        "folds of the molecules; each is held out once from every model and baseline. 0: the "
        "workflow computes no scores",
        minimum=0,
        maximum=10,
    )
    fraction: float = option(
        0.2, "expected part of a cell's molecules in one fold", minimum=0.01, maximum=0.5
    )
    seed: int = option(0, "seed of the division", minimum=0, maximum=MAX_SEED)


@dataclass(frozen=True)
class BaselinesOptions(Options):
    """Score gene means, PCA, PCA of Pearson residuals and NMF on the molecules held out."""

    pca_ranks: tuple[int, ...] = option(
        (10, 30), "ranks of both kinds of PCA; too high ones are left out", minimum=1
    )
    nmf_ranks: tuple[int, ...] = option((10,), "ranks of NMF", minimum=1)


@dataclass(frozen=True)
class ChooseOptions(Options):
    """Compare all scores, and choose the primary model where that is left to the data."""

    loss: str = option(
        "poisson", "held-out loss by which models are compared", choices=("poisson", "nb")
    )
    tolerance: float = option(
        1.0,
        "standard errors from the best model within which one that is listed earlier is chosen",
        minimum=0,
    )


@dataclass(frozen=True)
class LearningCurveOptions(Options):
    """Train the primary model on parts of the cells, to say what more of them would bring."""

    halvings: int = option(
        0,
        "how often the number of cells is halved, down to 200; 0: the workflow has no curve",
        minimum=0,
        maximum=10,
    )
    repeats: int = option(
        2, "trainings of each size and fold, each with other cells and another seed", minimum=1
    )


@dataclass(frozen=True)
class FalseSignalsOptions(Options):
    """Run the steps on counts without structure, and count what they find there."""

    copies: int = option(
        0,
        "copies of the counts without structure, each of which is run; 0: the workflow makes none",
        minimum=0,
        maximum=100,
    )
    strata: int = option(
        1, "parts of each sample, by depth, within which the counts of a gene stay", minimum=1
    )
    min_correlation: float = option(
        0.3,
        "correlation, of either sign, from which a pair of genes is counted",
        minimum=0,
        maximum=1,
    )
    seed: int = option(0, "seed of the copies", minimum=0, maximum=MAX_SEED)
