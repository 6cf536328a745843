"""Names of the cells of a run from labelled cells, or from a linear model of their genes."""

import logging

import numpy as np
import pandas as pd
from anndata import AnnData

from scpress import slots
from scpress.cells.reference import LinearNames
from scpress.config.transfer import ReferenceOptions
from scpress.counts.frames import labels_of
from scpress.counts.genes import gene_symbols
from scpress.counts.matrix import iter_chunks
from scpress.counts.sizes import library_sizes
from scpress.errors import InputError
from scpress.model.fitted import TrainedModel
from scpress.steps.transfer import describe, join_new, name_by, settle
from scpress.tables.transfer import ReferenceRecord

log = logging.getLogger("scpress")

_BATCH = "reference"
# Cells whose values are scaled at a time: the scaled ones have no zeros.
_BLOCK_CELLS = 1024


def reference(
    counts: AnnData,
    normalized: AnnData | None,
    labelled: AnnData,
    model: TrainedModel,
    options: ReferenceOptions | None = None,
    *,
    source: str = "labelled cells",
) -> AnnData:
    """Name the cells that a model was trained on by labelled cells, which it takes in as a batch.

    Parameters
    ----------
    counts, normalized
        [cells, genes] Cells of the model.
    labelled
        [labelled cells, genes] Raw counts as `ingest` gives them, and their labels in obs.
    source
        What the labels are of, as it is told.

    Returns
    -------
    [cells, 0] `obs`: cell_type, 'unassigned' where a cell is unlike all that have a label,
    cell_type_confidence and reference_p. `uns["scpress"]["reference"]`: a `ReferenceRecord`.

    Raises
    ------
    InputError
        No such column, too few types or genes, no covariate of the model.
    """
    options = options or ReferenceOptions()
    labels = labels_of(labelled.obs, options.labels_column)
    joined = join_new(
        counts,
        normalized,
        labelled,
        model,
        batch=_BATCH,
        max_missing_fraction=options.max_missing_fraction,
        max_steps=options.max_steps,
        seed=options.seed,
    )
    rate = options.unlike_rate
    names, few = name_by(joined.new, labels, joined.known, rate=rate, seed=options.seed)
    found, confidence, is_unlike = settle(names, min_confidence=0.0, rate=rate)
    log.info("%d of %d cells are unlike all that have a label", is_unlike.sum(), len(found))
    record = describe(names, source=source, rate=rate, joined=joined, left_out=few)
    return _as_result(counts, found, confidence, names.p, record)


def reference_by_model(counts: AnnData, model: LinearNames, *, source: str) -> AnnData:
    """As `reference`, by a linear model of genes, which has no labelled cells to be unlike.

    The confidence is the model's own probability of its best type.

    Raises
    ------
    InputError
        The counts have none of its genes.
    """
    symbols = gene_symbols(counts.var)
    place = {symbol: i for i, symbol in enumerate(symbols) if symbol}
    genes = np.flatnonzero([gene in place for gene in model.genes])
    if not len(genes):
        raise InputError(
            f"'{source}' knows {len(model.genes)} genes ({', '.join(model.genes[:3])}, ...), and "
            "none is a symbol of the cells' genes. Is it of another species?"
        )
    columns = np.array([place[model.genes[i]] for i in genes])
    best = np.zeros(counts.n_obs, dtype=np.int64)
    confidence = np.zeros(counts.n_obs)
    for start, stop, chunk in iter_chunks(counts.X):
        size = library_sizes(chunk)
        for first in range(0, stop - start, _BLOCK_CELLS):
            rows = slice(first, first + _BLOCK_CELLS)
            found = model.probabilities(chunk[rows][:, columns], size[rows], genes)
            at = slice(start + first, start + first + len(found))
            best[at], confidence[at] = found.argmax(axis=1), found.max(axis=1)
    n_missing = len(model.genes) - len(genes)
    log.info("%d of the %d genes of '%s' are missing", n_missing, len(model.genes), source)
    record = ReferenceRecord(source=source, n_missing_genes=n_missing)
    return _as_result(counts, np.array(model.types)[best], confidence, None, record)


def _as_result(
    counts: AnnData,
    found: np.ndarray,
    confidence: np.ndarray,
    p: np.ndarray | None,
    record: ReferenceRecord,
) -> AnnData:
    obs = pd.DataFrame(
        {
            slots.CELL_TYPE.name: pd.Categorical(found),
            slots.CELL_TYPE_CONFIDENCE.name: confidence.astype(np.float32),
        },
        index=counts.obs_names,
    )
    if p is not None:
        obs[slots.REFERENCE_P.name] = p
    return AnnData(obs=obs, uns={slots.RECORD.name: {"reference": record.as_plain()}})
