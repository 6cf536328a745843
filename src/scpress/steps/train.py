"""Train one model on the highly variable genes and say whether the fit can be used."""

import logging
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy import sparse

from scpress import slots
from scpress.config.options import TrainOptions
from scpress.counts.genes import gene_symbols
from scpress.counts.matrix import iter_chunks
from scpress.counts.measured import measured_in
from scpress.counts.spill import RowKeeper
from scpress.errors import FitFailedError, InputError
from scpress.model.axes import resolve_config
from scpress.model.covariates import covariates_of
from scpress.model.device import resolve_device
from scpress.model.fitted import TrainedModel, record_options
from scpress.model.likelihoods import LIKELIHOODS, LOG_THETA_MAX, LOG_THETA_MIN
from scpress.model.modelled import ModelledCounts
from scpress.model.network import CountAutoencoder
from scpress.model.scoring import gene_mean_nll, importance_weighted_nll, reconstruction_nll
from scpress.tables.training import HeldOut, ThetaRange, TrainingRecord, Verdict
from scpress.training.balance import find_problems
from scpress.training.checkpoints import Checkpoint
from scpress.training.engines import fit_model
from scpress.training.loop import Fit
from scpress.training.split import split_validation

log = logging.getLogger("scpress")

# Held-out cells on which the importance-weighted likelihood is computed at most, and those of them
# that decide when to stop: a million cells would have 100,000, and each validation waits for them.
_MAX_SCORED, _MAX_VALIDATED = 2000, 1000
_N_DRAWS = 100


def train(
    counts: AnnData,
    normalized: AnnData,
    options: TrainOptions | None = None,
    *,
    seed: int = 0,
    device: str = "auto",
    checkpoint: Checkpoint | None = None,
) -> tuple[TrainedModel, pd.DataFrame]:
    """Train one model with one seed.

    Parameters
    ----------
    counts
        [cells, genes] Raw counts in X, in memory or on disk; covariates in obs.
    normalized
        [cells, genes] obs: library_size, size_factor; var: highly_variable.
    device
        auto, cpu or cuda.
    checkpoint
        Where an unfinished training is kept and looked for; remove it when the model is written.
        scpress's own training only.

    Returns
    -------
    model, history
        The model with the best weights, and one row per validation.

    Raises
    ------
    InputError
        A missing column, too few cells or genes, axes that do not go together.
    FitFailedError
        The fit never beat the gene means on the held-out cells.
    InterruptedTrainingError
        A signal asked for the end and the checkpoint has the state.
    """
    options = options or TrainOptions()
    chosen = resolve_device(device)
    slots.require(normalized, slots.LIBRARY_SIZE, slots.HIGHLY_VARIABLE)
    slots.require_same_cells(counts.obs_names, normalized.obs_names, "normalized")
    slots.require_same_genes(counts.var_names, normalized.var_names, "normalized")
    columns = np.flatnonzero(normalized.var[slots.HIGHLY_VARIABLE.name].to_numpy(dtype=bool))
    if len(columns) < 2:
        raise InputError(f"a model needs at least 2 genes; found {len(columns)} highly variable.")
    is_pca = options.preset == "pca"
    batch, batches = covariates_of(counts.obs, None if is_pca else options.batch_key)
    measured = measured_in(counts)
    measured = None if measured is None else measured.select(columns)
    config = resolve_config(
        options, n_genes=len(columns), batches=batches, masked=measured is not None
    )

    library_size = normalized.obs[slots.LIBRARY_SIZE.name].to_numpy()
    # By sample, whatever the model's own batch: all models are scored on the same cells.
    strata = np.zeros(counts.n_obs, dtype=np.int64)
    if slots.SAMPLE.name in counts.obs:
        strata = pd.factorize(counts.obs[slots.SAMPLE.name].astype(str), sort=True)[0]
    training_rows, validation_rows = split_validation(strata, options.validation_fraction)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = CountAutoencoder(config).to(chosen)
    symbols = gene_symbols(counts.var)
    model = TrainedModel(
        network,
        [str(name) for name in counts.var_names[columns]],
        [symbols[column] for column in columns],
        float(np.median(library_size)),
        tuple(np.bincount(batch).tolist()) if batch is not None else (counts.n_obs,),
        validation_rows,
    )
    size_factor = model.size_factors(library_size)
    continuous = model.continuous_values(counts.obs)
    training, validation = (
        ModelledCounts(
            X,
            size_factor[rows],
            None if batch is None else batch[rows],
            None if continuous is None else continuous[rows],
            None if measured is None else measured.take(rows),
        )
        for X, rows in zip(
            divide_rows(counts.X, columns, (training_rows, validation_rows), options.memory_mb),
            (training_rows, validation_rows),
            strict=True,
        )
    )
    scored = validation.take(_draw(len(validation)))
    validated = validation.take(_draw(len(validation), _MAX_VALIDATED))
    del validation  # of a million cells, 100,000
    fitted = fit_model(model, training, validated, options, seed=seed, checkpoint=checkpoint)
    held_out = score_held_out(model, scored, seed=seed)
    verdict = judge_fit(
        fitted,
        held_out,
        gene_mean_nll(network, training, scored),
        allow_failed=options.allow_failed_fit,
        problems=find_problems(model, scored, seed=seed),
    )
    model.record = TrainingRecord(
        options=record_options(options),
        seed=seed,
        device=chosen,
        device_name=torch.cuda.get_device_name() if chosen == "cuda" else "cpu",
        threads=torch.get_num_threads(),
        versions={name: version(name) for name in ("scpress", "torch", "scvi-tools")},
        n_training_cells=len(training),
        n_validation_cells=len(validation_rows),
        verdict=verdict,
        held_out=held_out,
        theta=describe_theta(model, training),
    )
    log.info(
        "%s after %d steps (best at %d): held-out cells at %.2f, by gene means %.2f nats per cell",
        fitted.stopped,
        fitted.history[-1]["step"],
        fitted.best_step,
        verdict.score,
        verdict.gene_mean_nll,
    )
    return model, pd.DataFrame(fitted.history)


def divide_rows(
    X: Any, columns: np.ndarray, parts: tuple[np.ndarray, ...], memory_mb: int
) -> list[sparse.csr_matrix]:
    """[rows of the part, columns] Some genes of each part of the cells, in one pass over a matrix.

    What is above the memory goes to files that are mapped.
    """
    part_of = np.zeros(X.shape[0], dtype=np.int8)
    for i, rows in enumerate(parts):
        part_of[rows] = i
    keepers = [
        RowKeeper(n_vars=len(columns), max_bytes=memory_mb * 10**6 * len(rows) // X.shape[0])
        for rows in parts
    ]
    for start, stop, block in iter_chunks(X):
        chosen = block[:, columns].astype(np.int32, copy=False)
        chosen.sum_duplicates()
        for i, keeper in enumerate(keepers):
            keeper.add(chosen[np.flatnonzero(part_of[start:stop] == i)])
    return [keeper.matrix() for keeper in keepers]


def judge_fit(
    fitted: Fit,
    held_out: HeldOut,
    baseline: float,
    *,
    allow_failed: bool = False,
    problems: tuple[str, ...] = (),
) -> Verdict:
    """The verdict of a fit against the gene-mean model on the same held-out cells.

    A variational model is judged by its evidence, which is what the baseline's likelihood is too.

    Raises
    ------
    FitFailedError
        The held-out score is not below the baseline, and a failed fit is not allowed.
    """
    score = held_out.score
    if not score < baseline:
        problem = (
            f"the fit failed: it predicts held-out cells at {score:.3f} nats per cell and "
            f"knowing each gene's mean alone gives {baseline:.3f}. Raise max_steps or patience, "
            "lower learning_rate, or check that the cells differ at all."
        )
        if not allow_failed:
            raise FitFailedError(problem)
        log.warning("%s Kept, because allow_failed_fit is set.", problem)
    return Verdict(
        status="ok" if score < baseline else "failed",
        score=score,
        best_loss=fitted.best_loss,
        best_step=fitted.best_step,
        n_steps=fitted.history[-1]["step"],
        stopped=fitted.stopped,
        rollbacks=fitted.rollbacks,
        gene_mean_nll=baseline,
        problems=problems or None,
    )


def score_held_out(model: TrainedModel, scored: ModelledCounts, *, seed: int) -> HeldOut:
    """Mean held-out scores, nats per cell; the evidence only where there is one."""
    nll = None
    if model.config.is_variational:
        nll = importance_weighted_nll(model, scored, n_draws=_N_DRAWS, seed=seed)
    return HeldOut(
        n_cells=len(scored),
        n_draws=0 if nll is None else _N_DRAWS,
        nll=None if nll is None else float(nll.mean()),
        reconstruction_nll=float(reconstruction_nll(model, scored).mean()),
        likelihood=model.config.likelihood,
    )


def describe_theta(model: TrainedModel, training: ModelledCounts) -> ThetaRange | None:
    """Range of the fitted inverse dispersion, and the genes at its bounds."""
    likelihood = LIKELIHOODS[model.config.likelihood]
    if not (likelihood.has_theta and likelihood.on_counts):
        return None
    theta = gene_theta(model, training.take(_draw(len(training))))
    low, high = np.exp(LOG_THETA_MIN) * 1.001, np.exp(LOG_THETA_MAX) * 0.999
    at_bound = [g for g, t in zip(model.genes, theta, strict=True) if not low < t < high]
    if at_bound:
        log.info("theta is at its bound for %d genes: %s", len(at_bound), ", ".join(at_bound[:5]))
    return ThetaRange(
        min=float(theta.min()),
        median=float(np.median(theta)),
        max=float(theta.max()),
        genes_at_bound=tuple(at_bound),
    )


def gene_theta(model: TrainedModel, data: ModelledCounts | None = None) -> np.ndarray:
    """[n_genes] Inverse dispersion of each gene; the geometric mean over batches, or cells.

    Of batches in which the gene was measured.
    """
    log_theta = model.network.log_theta
    if isinstance(log_theta, torch.nn.Parameter):
        values = log_theta.detach()
        if model.config.masked and len(values) > 1:
            measured = model.network.measured
            values = (values * measured).sum(dim=0) / measured.sum(dim=0).clamp(min=1)
            return torch.exp(values).cpu().numpy()
        return torch.exp(values.mean(dim=0)).cpu().numpy()
    assert data is not None
    total = np.zeros(model.config.n_genes)
    for _, block in data.blocks(n_cells=512):
        cells = block.cells_of(model)
        total += model.log_theta(cells, model.encode(cells)[0]).sum(axis=0)
    return np.exp(total / len(data))


def _draw(n_obs: int, most: int = _MAX_SCORED) -> np.ndarray:
    """Rows of at most `most` cells, drawn at random and the same for every model."""
    return np.sort(np.random.default_rng(0).permutation(n_obs)[:most])
