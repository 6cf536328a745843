"""Cells that are unlike a reference, and the genes that make them so, each with its FDR."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from scipy.spatial import cKDTree

from scpress import slots
from scpress.cells.anomalies import (
    count_p_values,
    cross_conformal_p,
    place_of,
    standardize_among_like,
    stated_fdr,
    without_trend,
)
from scpress.cells.markers import adjust_p_values
from scpress.config.anomaly import AnomalyOptions
from scpress.config.options import TrainOptions
from scpress.config.scores import CANDIDATES
from scpress.counts.frames import cells_with
from scpress.counts.genes import gene_labels, gene_symbols
from scpress.counts.matrix import select_columns
from scpress.counts.measured import require_all_measured
from scpress.errors import InputError
from scpress.model.axes import resolve_config
from scpress.model.fitted import TrainedModel
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.modelled import ModelledCounts, modelled_counts
from scpress.model.scoring import importance_weighted_nll, reconstruction_nll
from scpress.steps.train import train
from scpress.tables.anomaly import AnomalyRecord
from scpress.training.checkpoints import Checkpoint

log = logging.getLogger("scpress")

# Nearest training cells in the latent, whose mean distance is taken.
_N_NEAREST = 15
# Kinds of scores, and the largest residual that counts.
_N_KINDS, _CLIP = 3, 10.0
# Cells whose genes are decoded at a time, and the most anomalous ones that are named.
_BLOCK_CELLS, _N_NAMED, _N_NAMED_GENES = 256, 20, 10


def anomaly(
    counts: ad.AnnData,
    normalized: ad.AnnData,
    training: TrainOptions,
    options: AnomalyOptions,
    *,
    seeds: Sequence[int],
    name: str = "model",
    device: str = "auto",
    checkpoint: Callable[[], Checkpoint | None] = lambda: None,
) -> ad.AnnData:
    """Score all cells by models of the reference that have not seen them.

    A cell's score is the mean of three, its -log p(x), its distance from the reference in the
    latent and its residuals, each among normal cells of like depth and detected genes; of all
    seeds. It becomes a
    conformal p-value, which needs no more than that normal cells and those of the reference
    come from one distribution: a batch that the reference lacks is an anomaly, too.

    Parameters
    ----------
    training, seeds
        How each model is trained, once for each seed and fold.

    Returns
    -------
    [cells, modelled genes] `X` CSR: outlier genes of a cell, -log10 of the p-value adjusted over
    its genes, negative where there are fewer molecules than expected. `obs`: anomaly_score,
    anomaly_p, anomaly_fdr, is_anomaly, anomaly_reference, n_outlier_genes.

    Raises
    ------
    InputError
        Fewer than two folds, a reference that is not there or too small, log-values; as `train`.
    """
    require_all_measured(counts, "anomaly")
    if options.folds < 2:
        raise InputError(f"folds is {options.folds}, which scores no cell; set it to 2 or more.")
    slots.require(normalized, slots.LIBRARY_SIZE, slots.HIGHLY_VARIABLE)
    slots.require_same_cells(counts.obs_names, normalized.obs_names, "normalized")
    slots.require_same_genes(counts.var_names, normalized.var_names, "normalized")
    columns = np.flatnonzero(normalized.var[slots.HIGHLY_VARIABLE.name].to_numpy(dtype=bool))
    _require_count_model(training, len(columns))
    is_reference = reference_cells(counts.obs, options)
    fold = np.full(counts.n_obs, -1)
    fold[is_reference] = (
        np.random.default_rng(0).permutation(int(is_reference.sum())) % options.folds
    )
    data = ad.AnnData(
        select_columns(counts.X, columns),
        obs=counts.obs.copy(),
        var=counts.var.iloc[columns].copy(),
    )
    library_size = normalized.obs[slots.LIBRARY_SIZE.name].to_numpy(dtype=np.int64)
    sizes = ad.AnnData(
        obs=normalized.obs[[slots.LIBRARY_SIZE.name]].copy(),
        var=pd.DataFrame({slots.HIGHLY_VARIABLE.name: True}, index=data.var_names),
    )
    place = place_of(library_size, np.diff(data.X.indptr))
    scores = np.zeros((options.folds, counts.n_obs))
    models: list[list[TrainedModel]] = []
    for k in range(options.folds):
        seen = np.flatnonzero(is_reference & (fold != k))
        models.append([])
        for seed in seeds:
            model, _ = train(
                data[seen].copy(),
                sizes[seen].copy(),
                replace(training, allow_failed_fit=True),
                seed=seed,
                device=device,
                checkpoint=checkpoint(),
            )
            models[k].append(model)
            held_out = np.flatnonzero(fold == k)
            for of_kind in cell_scores(data, sizes, model, seen, options.draws):
                level = without_trend(of_kind, place, held_out)
                scores[k] += standardize_among_like(level, place, held_out, n_like=options.n_like)
        scores[k] /= _N_KINDS * len(seeds)
    p = cross_conformal_p(scores, fold)
    score = np.where(
        is_reference, scores[np.maximum(fold, 0), np.arange(len(fold))], scores.mean(axis=0)
    )
    is_tested = np.full_like(is_reference, True) if is_reference.all() else ~is_reference
    fdr = np.full(counts.n_obs, np.nan)
    fdr[is_tested] = stated_fdr(p[is_tested], int(is_reference.sum()))
    is_called = is_tested & (fdr <= options.max_fdr)

    by_score = np.lexsort((-score, p))
    named = [int(cell) for cell in by_score if is_tested[cell]][:_N_NAMED]
    blocks, named_genes = [], {}
    for rows, signed, p_gene in _gene_outliers(data, sizes, models, fold, options.max_fdr):
        blocks.append(signed)
        for cell in set(range(rows.start, rows.stop)) & set(named):
            first = np.argsort(p_gene[cell - rows.start], kind="stable")[:_N_NAMED_GENES]
            named_genes[cell] = first
    X = sparse.vstack(blocks, format="csr")
    symbols, labels = gene_symbols(data.var), gene_labels(data.var)
    log.info(
        "%d of %d cells are called anomalous at a false discovery rate of %g, beside %d normal "
        "ones; %d genes of single cells are outliers",
        is_called.sum(),
        is_tested.sum(),
        options.max_fdr,
        is_reference.sum(),
        X.nnz,
    )
    if is_reference.all():
        log.info("no reference is named: cells are ranked among themselves, and none can be called")
    out = ad.AnnData(
        X,
        obs=pd.DataFrame(
            {
                slots.ANOMALY_SCORE.name: score.astype(np.float32),
                slots.ANOMALY_P.name: p,
                slots.ANOMALY_FDR.name: fdr,
                slots.IS_ANOMALY.name: is_called,
                slots.ANOMALY_REFERENCE.name: is_reference,
                slots.N_OUTLIER_GENES.name: np.diff(X.indptr).astype(np.int64),
            },
            index=counts.obs_names,
        ),
        var=pd.DataFrame({slots.GENE_SYMBOL.name: symbols}, index=data.var_names),
    )
    record = AnomalyRecord(
        model=name,
        seeds=tuple(seeds),
        folds=options.folds,
        n_reference=int(is_reference.sum()),
        n_tested=int(is_tested.sum()),
        n_called=int(is_called.sum()),
        max_fdr=options.max_fdr,
        cells=tuple(str(counts.obs_names[cell]) for cell in named),
        genes=tuple(" ".join(labels[i] for i in named_genes[cell]) for cell in named),
    )
    out.uns[slots.RECORD.name] = {"anomaly": record.as_plain()}
    return out


def _require_count_model(training: TrainOptions, n_genes: int) -> None:
    likelihood = resolve_config(training, n_genes=n_genes).likelihood
    if likelihood not in CANDIDATES:
        raise InputError(
            f"a model with likelihood {likelihood!r} gives a count no probability; outliers need "
            f"one of {', '.join(CANDIDATES)}."
        )


def reference_cells(obs: pd.DataFrame, options: AnomalyOptions) -> np.ndarray:
    """[cells] Whether a cell is of the reference; all are where none is named.

    Raises
    ------
    InputError
        The column or a value is not there, or there are too few cells.
    """
    key, values = options.reference_key, options.reference_values
    if (key is None) != (not values):
        raise InputError(
            f"reference_key is {key!r} and reference_values has {len(values)} values; a reference "
            "is a column and what normal cells have in it. Give both or neither."
        )
    if key is None:
        is_reference = np.full(len(obs), True)
    else:
        is_reference = cells_with(
            obs, key, values, key_name="reference_key", values_name="reference_values"
        )
    least = options.folds * (options.n_like + 1)
    if is_reference.sum() < least:
        raise InputError(
            f"the reference has {is_reference.sum()} cells, and {options.folds} folds with "
            f"n_like {options.n_like} need {least}. Lower n_like, or name more of the cells."
        )
    return is_reference


def cell_scores(
    data: ad.AnnData, sizes: ad.AnnData, model: TrainedModel, seen: np.ndarray, draws: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[cells] each, logarithms: -log p(x), distance from the training cells, squared residuals.

    A deterministic model has -log p(x | z) in the place of the first. The distance is in the
    latent; residuals are of Pearson, and clipped.
    """
    read = modelled_counts(data, sizes, model)
    if model.config.is_variational:
        nll = importance_weighted_nll(model, read, n_draws=draws)
    else:
        nll = reconstruction_nll(model, read)
    z = np.zeros((len(read), model.n_latent), dtype=np.float32)
    squares = np.zeros(len(read))
    for rows, part in read.blocks(n_cells=_BLOCK_CELLS):
        cells = part.cells_of(model)
        z[rows], _ = model.encode(cells)
        mu = model.mean_counts(cells, z[rows]).astype(np.float64)
        variance = mu
        if LIKELIHOODS[model.config.likelihood].has_theta:
            variance = mu + mu**2 * np.exp(-model.log_theta(cells, z[rows]).astype(np.float64))
        residuals = (part.X.toarray() - mu) / np.sqrt(np.maximum(variance, 1e-12))
        squares[rows] = np.square(np.clip(residuals, -_CLIP, _CLIP)).sum(axis=1)
    is_seen = np.zeros(len(z), dtype=bool)
    is_seen[seen] = True
    k = min(_N_NEAREST, len(seen) - 1)
    distance, _ = cKDTree(z[seen]).query(z, k=k + 1)
    # A training cell's nearest is itself.
    mean = np.where(is_seen, distance[:, 1:].mean(axis=1), distance[:, :k].mean(axis=1))
    return _log(nll), _log(mean), _log(squares)


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(values, 1e-9))


def _gene_outliers(
    data: ad.AnnData,
    sizes: ad.AnnData,
    models: Sequence[Sequence[TrainedModel]],
    fold: np.ndarray,
    max_fdr: float,
) -> Iterator[tuple[slice, sparse.csr_matrix, np.ndarray]]:
    """Blocks of cells: outlier genes, signed -log10 of the adjusted p-value, and all p-values.

    What is expected of a cell is the mean over the models that have not seen it.
    """
    read = [modelled_counts(data, sizes, of_fold[0]) for of_fold in models]
    for start in range(0, data.n_obs, _BLOCK_CELLS):
        rows = slice(start, min(start + _BLOCK_CELLS, data.n_obs))
        x = read[0].X[rows].toarray()
        unseen = np.stack([(fold[rows] == k) | (fold[rows] < 0) for k in range(len(models))])
        total, n_models = _Expected(), np.zeros(len(x))
        for k, of_fold in enumerate(models):
            cells = np.flatnonzero(unseen[k])
            if len(cells):
                part = read[k].take(start + cells)
                for model in of_fold:
                    total.add(model, part, cells, x.shape)
                n_models[cells] += len(of_fold)
        p = count_p_values(x, *total.means(n_models))
        adjusted = adjust_p_values(p)
        few = x < total.mu
        signed = np.where(few, 1.0, -1.0) * np.log10(np.maximum(adjusted, 1e-300))
        # An adjusted p-value of 1 would be a stored zero, and is none at any level.
        yield rows, sparse.csr_matrix(np.where(adjusted <= max_fdr, signed, 0.0), dtype="f4"), p


class _Expected:
    """Sums over models of mu, log theta and pi, [cells, genes] each."""

    mu: np.ndarray
    log_theta: np.ndarray | None = None
    pi: np.ndarray | None = None

    def add(
        self, model: TrainedModel, part: ModelledCounts, cells: np.ndarray, shape: tuple[int, int]
    ) -> None:
        likelihood = LIKELIHOODS[model.config.likelihood]
        of = part.cells_of(model)
        z = model.encode(of)[0]
        self._add("mu", model.mean_counts(of, z), cells, shape)
        if likelihood.has_theta:
            self._add("log_theta", model.log_theta(of, z), cells, shape)
        if likelihood.has_pi:
            self._add("pi", model.extra_zero_fraction(of, z), cells, shape)

    def _add(
        self, name: str, values: np.ndarray, cells: np.ndarray, shape: tuple[int, int]
    ) -> None:
        if getattr(self, name, None) is None:
            setattr(self, name, np.zeros(shape))
        getattr(self, name)[cells] += values

    def means(
        self, n_models: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Divide by the number of models of each cell; (mu, theta, pi)."""
        self.mu /= n_models[:, None]
        theta = None if self.log_theta is None else np.exp(self.log_theta / n_models[:, None])
        return self.mu, theta, None if self.pi is None else self.pi / n_models[:, None]
