"""New cells through a saved model, and names from labelled cells in its latent."""

import logging
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from sklearn.decomposition import PCA
from torch import Tensor

from scpress import slots
from scpress.cells.markers import draw_cells
from scpress.cells.probes import cycle_score, probe_groups, probe_number
from scpress.cells.reference import MIN_TYPE_CELLS, Names, find_alike, name_cells
from scpress.config.options import TrainOptions
from scpress.config.transfer import TransferOptions
from scpress.counts.genes import gene_symbols
from scpress.errors import InputError
from scpress.model.added_batch import takes_batches, with_batch
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts, modelled_counts
from scpress.model.scoring import log_values
from scpress.tables.transfer import Probes, ReferenceRecord, TransferRecord
from scpress.training.loop import fit
from scpress.training.split import split_validation

log = logging.getLogger("scpress")

# Labelled cells that names are learned of at most, and cells whose latent is probed.
_MAX_LABELLED, _MAX_PROBED = 20_000, 5_000
# Fewest cells that the weights of a batch are trained on.
_MIN_CELLS = 10
_BLOCK_CELLS = 1024
# Rarely reached: the steps are few, and what is kept is the best of them.
_FIT = TrainOptions(validate_every=20, patience=100, plateau=60, kl_warmup_steps=0)


@dataclass(frozen=True)
class Side:
    """Cells of one data set as a model reads them.

    Attributes
    ----------
    read
        What it reads; genes that the other side lacks hold nothing.
    model
        The model, which knows their batch.
    """

    read: ModelledCounts
    model: TrainedModel

    def latent(self, read: ModelledCounts | None = None) -> np.ndarray:
        """[cells, n_latent] Posterior mean or code, of these cells or of others of their batch."""
        read = self.read if read is None else read
        z = np.zeros((len(read), self.model.n_latent), dtype=np.float32)
        for rows, part in read.blocks(n_cells=_BLOCK_CELLS):
            z[rows] = self.model.encode(part.cells_of(self.model))[0]
        return z


@dataclass(frozen=True)
class Joined:
    """The cells of a model and new ones, ready to be compared, and how that was done.

    Attributes
    ----------
    model
        With the batch of the new cells.
    n_missing
        Genes of the model that the new cells lack.
    """

    known: Side
    new: Side
    model: TrainedModel
    n_missing: int
    n_steps: int


def join_new(
    counts: AnnData,
    normalized: AnnData | None,
    new: AnnData,
    model: TrainedModel,
    *,
    batch: str,
    max_missing_fraction: float,
    max_steps: int,
    seed: int,
) -> Joined:
    """Add the batch of new cells to a model and train its weights, and nothing else.

    Parameters
    ----------
    counts, normalized
        [cells, genes] Cells of the model.
    new
        [new cells, genes] Raw counts of the new cells, all of one batch.

    Raises
    ------
    InputError
        Too few new cells, too few of the model's genes, a batch that is there, no covariate.
    """
    if new.n_obs < _MIN_CELLS:
        raise InputError(
            f"the new cells are {new.n_obs}; the weights of their batch need at least {_MIN_CELLS}."
        )
    known = modelled_counts(counts, normalized, model)
    wide, key = model, model.config.batch_key
    free: dict[str, Tensor] = {}
    if takes_batches(model):
        wide, free = with_batch(model, batch, new.n_obs)
        key = wide.config.batch_key
    # What is not changed by them is told, and not trained.
    named = AnnData(new.X, obs=new.obs.copy(), var=new.var)
    if key is not None:
        named.obs[key] = batch
    read = modelled_counts(named, None, wide, max_missing_fraction=max_missing_fraction)
    names = [str(gene) for gene in new.var_names]
    columns = model.matching_columns(names, gene_symbols(new.var), max_missing_fraction=1.0)
    missing = columns < 0
    known = replace(known, X=_without(known.X, missing))
    n_steps = 0
    if free and max_steps:
        training, validation = split_validation(np.zeros(len(read), dtype=np.int64), 0.1)
        fitted = fit(
            wide,
            read.take(training),
            read.take(validation),
            replace(_FIT, max_steps=max_steps, validate_every=min(20, max_steps)),
            seed=seed,
            free=free,
        )
        n_steps = fitted.best_step
        log.info(
            "batch %r: its weights were trained in %d steps, held-out loss %.2f nats per cell",
            batch,
            fitted.best_step,
            fitted.best_loss,
        )
    return Joined(Side(known, model), Side(read, wide), wide, int(missing.sum()), n_steps)


def name_by(
    labelled: Side, labels: np.ndarray, cells: Side, *, rate: float, seed: int
) -> tuple[Names, tuple[str, ...]]:
    """Name cells by the labelled ones.

    Parameters
    ----------
    labels
        [labelled cells] Types; '' and 'unassigned' are none.

    Returns
    -------
    names, left_out
        And the types of too few cells to be learned.

    Raises
    ------
    InputError
        Fewer than two types of enough cells.
    """
    is_known = ~np.isin(labels, ("", slots.UNASSIGNED))
    types, n = np.unique(labels[is_known], return_counts=True)
    few = tuple(map(str, types[n < MIN_TYPE_CELLS]))
    rows = np.flatnonzero(is_known & ~np.isin(labels, few))
    kept, code = np.unique(labels[rows], return_inverse=True)
    if len(kept) < 2:
        raise InputError(
            f"names need two types of at least {MIN_TYPE_CELLS} labelled cells; found "
            f"{', '.join(f'{t} ({m})' for t, m in zip(types, n, strict=True)) or 'no label'}. "
            "Is this the column of the labels?"
        )
    if few:
        log.info(
            "types of fewer than %d labelled cells are given to none: %s",
            MIN_TYPE_CELLS,
            ", ".join(few),
        )
    rows = rows[draw_cells(code, _MAX_LABELLED, seed=seed)]
    reference = labelled.read.take(rows)
    matched = thin_to(reference, cells.read, seed=seed)
    names = name_cells(
        labelled.latent(reference),
        labelled.latent(matched),
        labels[rows],
        cells.latent(),
        matched_alike=find_alike(log_values(matched), seed=seed),
        alike=find_alike(log_values(cells.read), seed=seed),
        rate=rate,
        seed=seed,
    )
    log.info(
        "%d labelled cells of %d types: %.1f %% of them are named rightly when held out, at a mean "
        "confidence of %.2f, and %.1f %% would be called unlike all others",
        len(rows),
        len(kept),
        100 * names.accuracy["both"],
        names.mean_confidence,
        100 * names.held_out_rate,
    )
    return names, few


def thin_to(reference: ModelledCounts, other: ModelledCounts, *, seed: int) -> ModelledCounts:
    """Labelled cells with molecules taken out at random, so that they are as deep as the others.

    The spread of a cell in the latent, and so how far it is from others, is its depth's. Each cell
    is given the molecules of one of the other cells, drawn at random, or keeps its fewer ones.
    """
    rng = np.random.default_rng(seed)
    total, wanted = (np.asarray(one.X.sum(axis=1)).ravel() for one in (reference, other))
    part = np.minimum(1.0, rng.choice(wanted, len(total)) / np.maximum(total, 1))
    X = reference.X.copy()
    X.data = rng.binomial(X.data, np.repeat(part, np.diff(X.indptr))).astype(X.dtype)
    X.eliminate_zeros()
    # A cell without molecules would have a size of none.
    size_factor = reference.size_factor * np.maximum(part, 1 / np.maximum(total, 1))
    return replace(reference, X=X, size_factor=size_factor)


def settle(
    names: Names, *, min_confidence: float, rate: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """([cells] names or 'unassigned', [cells] confidence, [cells] whether unlike all labelled)."""
    is_unlike = names.p <= rate
    is_named = ~is_unlike & (names.confidence >= min_confidence)
    labels = np.where(is_named, np.array(names.types)[names.best], slots.UNASSIGNED)
    return labels, names.confidence, is_unlike


def describe(
    names: Names, *, source: str, rate: float, joined: Joined, left_out: tuple[str, ...]
) -> ReferenceRecord:
    """What is told of the labelled cells and of what they named."""
    n, accuracy, unlike = names.by_type.T
    return ReferenceRecord(
        source=source,
        n_missing_genes=joined.n_missing,
        n_unlike=int((names.p <= rate).sum()),
        left_out=left_out,
        unlike_rate=rate,
        held_out_rate=names.held_out_rate,
        accuracy_knn=names.accuracy["knn"],
        accuracy_linear=names.accuracy["linear"],
        accuracy_both=names.accuracy["both"],
        mean_confidence=names.mean_confidence,
        n_steps=joined.n_steps,
        types=names.types,
        type_sizes=tuple(map(int, n)),
        type_accuracies=tuple(map(float, accuracy)),
        type_unlike=tuple(map(float, unlike)),
    )


def transfer(
    counts: AnnData,
    normalized: AnnData | None,
    labels: np.ndarray,
    query: AnnData,
    model: TrainedModel,
    options: TransferOptions | None = None,
    *,
    name: str = "model",
) -> tuple[AnnData, TrainedModel]:
    """Take new cells through a model and name them by the model's own cells.

    Parameters
    ----------
    counts, normalized
        [cells, genes] Cells that the model was trained on; without normalized their library size
        is counted.
    labels
        [cells] Their types; '' and 'unassigned' are none.
    query
        [new cells, genes] Raw counts as `ingest` gives them.

    Returns
    -------
    result, model
        [new cells, 0] `obs`: cell_type, cell_type_confidence, reference_p, and their batch; `obsm`:
        X_{name}; `uns["scpress"]["transfer"]`. The model with the added batch: the latent of its
        own cells is what it was, bit for bit.

    Raises
    ------
    InputError
        As `join_new` and `name_by`.
    """
    options = options or TransferOptions()
    joined = join_new(
        counts,
        normalized,
        query,
        model,
        batch=options.batch,
        max_missing_fraction=options.max_missing_fraction,
        max_steps=options.max_steps,
        seed=options.seed,
    )
    rate = options.unlike_rate
    names, few = name_by(joined.known, labels, joined.new, rate=rate, seed=options.seed)
    found, confidence, is_unlike = settle(names, min_confidence=options.min_confidence, rate=rate)
    log.info(
        "%d of %d new cells are named, %d are unlike all that have a label",
        (found != slots.UNASSIGNED).sum(),
        len(found),
        is_unlike.sum(),
    )
    latent = joined.new.latent()
    obs = pd.DataFrame(
        {
            slots.CELL_TYPE.name: pd.Categorical(found),
            slots.CELL_TYPE_CONFIDENCE.name: confidence.astype(np.float32),
            slots.REFERENCE_P.name: names.p,
        },
        index=query.obs_names,
    )
    if joined.model.config.batch_key is not None:
        obs[joined.model.config.batch_key] = options.batch
    result = AnnData(obs=obs)
    result.obsm[slots.LATENT.of(name)] = latent
    record = TransferRecord(
        model=name,
        batch=options.batch,
        n_cells=query.n_obs,
        n_reference=int(names.by_type[:, 0].sum()),
        reference=describe(
            names, source="the model's cells", rate=rate, joined=joined, left_out=few
        ),
        probes=probe(joined, labels, seed=options.seed),
    )
    result.uns[slots.RECORD.name] = {"transfer": record.as_plain()}
    return result, joined.model


def probe(joined: Joined, labels: np.ndarray, *, seed: int) -> Probes:
    """What the latent of both sides knows, beside as many principal components of log-counts."""
    rng = np.random.default_rng(seed)
    sides = [
        (side.read.take(rows), side, labels[rows] if side is joined.known else None)
        for side in (joined.known, joined.new)
        for rows in [np.sort(rng.permutation(len(side.read))[:_MAX_PROBED])]
    ]
    z = np.concatenate([side.latent(read) for read, side, _ in sides])
    logs = sparse.vstack([log_values(read) for read, *_ in sides], format="csr")
    n_components = min(z.shape[1], min(logs.shape) - 1)
    components = PCA(n_components, svd_solver="arpack", random_state=seed).fit_transform(
        logs.astype(np.float64)
    )
    is_known = np.arange(len(z)) < len(sides[0][0])
    own = sides[0][2]
    assert own is not None
    labelled = np.flatnonzero(is_known)[~np.isin(own, ("", slots.UNASSIGNED))]
    batch = np.where(is_known, "", "new").astype(object)
    if sides[0][0].batch is not None:
        batch[is_known] = [f"known {code}" for code in sides[0][0].batch]
    depth = np.log(
        np.concatenate([np.asarray(read.X.sum(axis=1)).ravel() for read, *_ in sides]) + 1
    )
    cycle = cycle_score(logs, joined.model.symbols)
    rows: list[tuple[str, str, float, float, float]] = []
    for what, at, groups in (
        ("label", labelled, own[~np.isin(own, ("", slots.UNASSIGNED))]),
        ("batch", np.arange(len(z)), batch.astype(str)),
    ):
        scores = [probe_groups(one[at], groups, seed=seed) for one in (z, components)]
        if np.isfinite(scores).all():
            rows.append((what, "balanced accuracy", 1 / len(set(groups)), scores[0], scores[1]))
    for what, values in (("depth", depth), ("cycle", cycle)):
        if values is not None:
            scores = [probe_number(one, values, seed=seed) for one in (z, components)]
            rows.append((what, "R2", 0.0, scores[0], scores[1]))
    for what, measure, chance, of_latent, of_pca in rows:
        log.info(
            "%s (%s): %.3f of the latent, %.3f of PCA, %.3f by chance",
            what,
            measure,
            of_latent,
            of_pca,
            chance,
        )
    what_, measure_, chance_, latent_, pca_ = zip(*rows, strict=True)
    return Probes(what=what_, measure=measure_, chance=chance_, latent=latent_, pca=pca_)


def _without(X: sparse.csr_matrix, missing: np.ndarray) -> sparse.csr_matrix:
    """[cells, n_genes] The counts with nothing in some genes."""
    if not missing.any():
        return X
    kept = X.copy()
    kept.data[missing[kept.indices]] = 0
    kept.eliminate_zeros()
    return kept
