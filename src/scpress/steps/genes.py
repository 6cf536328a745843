"""How many genes to model, and of which ranking, by held-out molecules of all genes."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import anndata as ad
import numpy as np

from scpress import slots
from scpress.config.genes import FLAVORS, GenesOptions
from scpress.config.options import NormalizeOptions, TrainOptions
from scpress.config.scores import AUTO
from scpress.counts.matrix import gene_totals, select_rows
from scpress.counts.measured import require_all_measured
from scpress.counts.sizes import library_sizes, size_factors
from scpress.counts.thinning import estimate_theta_within, split_folds
from scpress.errors import InputError
from scpress.model.baselines import FLOOR
from scpress.model.fitted import TrainedModel
from scpress.model.molecules import HeldOutFold, Predict, hold_out, score_means
from scpress.steps.choose import paired_errors
from scpress.steps.normalize import normalize
from scpress.steps.score import means_of
from scpress.steps.thin import group_cells
from scpress.steps.train import train
from scpress.tables.genes import GenesCandidate, GenesChoice
from scpress.training.checkpoints import Checkpoint

log = logging.getLogger("scpress")


def choose_genes(
    counts: ad.AnnData,
    options: GenesOptions,
    ranking: NormalizeOptions,
    training: TrainOptions,
    *,
    name: str,
    seed: int,
    device: str = "auto",
    checkpoint: Callable[[], Checkpoint | None] = lambda: None,
) -> GenesChoice:
    """Rank genes, train a model on some of them and predict the held-out molecules of all.

    Each fold of the molecules is divided from the counts first: neither ranking nor training sees
    it. A gene that is not modelled gets what the means give: the cell's molecules of such genes, as
    those of all cells are divided. Chosen is the smallest number of genes that is within one
    standard error of the best.

    Parameters
    ----------
    ranking
        What `normalize` is told; `n_top_genes` or `flavor`, or both, are auto.
    training
        Of the model; what is auto there is the preset's here.
    checkpoint
        Makes the place of one unfinished training.

    Raises
    ------
    InputError
        Folds of more than all molecules, or no number of genes that may be tried; as `train`.
    """
    require_all_measured(counts, "genes")
    if options.folds * options.fraction > 1 + 1e-9:
        raise InputError(
            f"{options.folds} folds of {options.fraction:g} of the molecules are more than all of "
            "them; lower folds or fraction."
        )
    candidates, left_out = list_candidates(counts.n_vars, options, ranking)
    if left_out:
        log.info(
            "%s are more genes than max_genes (%d) and are left out",
            " and ".join(f"{n:,}" for n in left_out),
            options.max_genes,
        )
    settled: dict[str, Any] = {
        item.name: None for item in fields(training) if getattr(training, item.name) == AUTO
    }
    training = replace(training, **settled, allow_failed_fit=True)
    losses: dict[tuple[int, str], list[tuple[float, ...]]] = {one: [] for one in candidates}
    shares: dict[tuple[int, str], list[float]] = {one: [] for one in candidates}
    n_cells = 0
    for fold, seen in _folds(counts, options, seed):
        n_cells = len(fold.training)
        for n_genes, flavor in candidates:
            few = n_genes if n_genes < counts.n_vars else None
            normalized = _rank(seen, replace(ranking, n_top_genes=few, flavor=flavor))
            model, _ = train(
                seen, normalized, training, seed=seed, device=device, checkpoint=checkpoint()
            )
            score = score_means(fold, all_means(model, fold, (seen, normalized)))
            losses[n_genes, flavor].append(score.poisson)
            chosen = normalized.var[slots.HIGHLY_VARIABLE.name].to_numpy(dtype=bool)
            total = gene_totals(seen.X)
            shares[n_genes, flavor].append(float(total[chosen].sum() / total.sum()))
            log.info(
                "%d genes of %s: held-out molecules of all genes have a loss of %.2f nats per cell",
                n_genes,
                flavor,
                np.mean(score.poisson),
            )
    # [seeds, folds, blocks], of one seed.
    arrays = {one: np.array(found)[None] for one, found in losses.items()}
    n_chosen, flavor = choose_smallest(arrays)
    best = min(arrays, key=lambda one: arrays[one].mean())
    errors = paired_errors(arrays, best)
    log.info("%d genes of %s are chosen", n_chosen, flavor)
    return GenesChoice(
        model=name,
        seed=seed,
        n_cells=n_cells,
        n_all=counts.n_vars,
        n_folds=options.folds,
        chosen=n_chosen,
        flavor=flavor,
        max_genes=options.max_genes,
        candidates=tuple(
            GenesCandidate(
                n_genes=one[0],
                flavor=one[1],
                share=min(1.0, float(np.mean(shares[one]))),
                loss=float(found.mean()),
                difference=float(found.mean() - arrays[best].mean()),
                error=errors[one],
            )
            for one, found in arrays.items()
        ),
        left_out=tuple(left_out),
    )


def list_candidates(
    n_vars: int, options: GenesOptions, ranking: NormalizeOptions
) -> tuple[list[tuple[int, str]], list[int]]:
    """(Number of genes, ranking) of what is tried, fewest first, and numbers that are not.

    Raises
    ------
    InputError
        Nothing is left.
    """
    asked = ranking.n_top_genes
    wanted = [*options.numbers, n_vars] if asked == AUTO else [n_vars if asked is None else asked]
    numbers = sorted({min(int(n), n_vars) for n in wanted})
    flavors = FLAVORS if ranking.flavor == AUTO else (ranking.flavor,)
    found = [
        (n, flavor)
        for n in numbers
        if n <= options.max_genes
        # With all genes there is nothing to rank.
        for flavor in (flavors if n < n_vars else flavors[:1])
    ]
    if not found:
        raise InputError(
            f"{min(numbers)} genes, the fewest to be tried, are more than max_genes "
            f"({options.max_genes}). Raise max_genes, or give a smaller number."
        )
    return found, [n for n in numbers if n > options.max_genes]


def choose_smallest(losses: dict[tuple[int, str], np.ndarray]) -> tuple[int, str]:
    """The smallest number of genes within one standard error of the best, its best ranking.

    Parameters
    ----------
    losses
        (Number, ranking) -> [seeds, folds, blocks].
    """
    best = min(losses, key=lambda one: losses[one].mean())
    within = [
        one
        for one, error in paired_errors(losses, best).items()
        if losses[one].mean() - losses[best].mean() <= error
    ]
    return min(within, key=lambda one: (one[0], losses[one].mean()))


def all_means(
    model: TrainedModel, fold: HeldOutFold, left: tuple[ad.AnnData, ad.AnnData]
) -> Predict:
    """The molecules of training of all genes that are expected in the cells that are scored.

    Each part of a cell, of genes that are modelled and of the others, has as many as were counted,
    and no gene less than a part of what the means give.
    """
    of_model = means_of(model, fold, left)
    X = fold.training.X
    # A gene of which no molecule is left is not impossible: it has a tenth of one.
    rate = np.maximum(gene_totals(X), FLOOR)
    rate /= rate.sum()
    columns = left[0].var_names.get_indexer(model.genes)
    others = np.setdiff1d(np.arange(X.shape[1]), columns)
    cells = X[fold.scored]
    library = library_sizes(cells).astype(np.float64)
    modelled = library_sizes(cells[:, columns]).astype(np.float64)

    def predict(rows: slice) -> np.ndarray:
        mu = of_model(rows).astype(np.float64)
        expected = np.empty((len(mu), X.shape[1]))
        expected[:, columns] = mu * (modelled[rows] / mu.sum(axis=1))[:, None]
        if len(others):
            rest = library[rows] - modelled[rows]
            expected[:, others] = np.outer(rest, rate[others] / rate[others].sum())
        expected = np.maximum(expected, FLOOR * np.outer(library[rows], rate))
        return expected * (library[rows] / expected.sum(axis=1))[:, None]

    return predict


def _folds(
    counts: ad.AnnData, options: GenesOptions, seed: int
) -> Iterator[tuple[HeldOutFold, ad.AnnData]]:
    """Each fold of the molecules of all genes, divided as in `thin`, and the counts without it."""
    rng = np.random.default_rng([seed, 0])
    rows = np.sort(rng.permutation(counts.n_obs)[: options.max_cells])
    if len(rows) < counts.n_obs:
        log.info("compared on %d of %d cells (max_cells)", len(rows), counts.n_obs)
    X = select_rows(counts.X, rows).astype(np.int32)
    obs = counts.obs.iloc[rows]
    size_factor = size_factors(library_sizes(X))
    theta = estimate_theta_within(X, size_factor, group_cells(X, size_factor, seed=seed))
    fractions = [options.fraction] * options.folds
    *folds, _ = split_folds(X, theta, fractions=fractions, rng=rng)
    for molecules in folds:
        library_size = library_sizes(X) - library_sizes(molecules)
        # A cell with nothing left says nothing.
        some = np.flatnonzero(library_size > 0)
        fold = hold_out(
            X[some],
            molecules[some],
            library_size[some],
            fraction=options.fraction,
            theta=theta,
        )
        yield fold, ad.AnnData(fold.training.X, obs=obs.iloc[some].copy(), var=counts.var.copy())


def _rank(seen: ad.AnnData, options: NormalizeOptions) -> ad.AnnData:
    """As `normalize`, whose messages are of the choice that is made, not of what is tried."""
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        return normalize(seen, options)
    finally:
        log.setLevel(level)
