"""The counts a model reads: its genes alone, of all cells or of a block of them."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

from scpress import slots
from scpress.counts.digests import digest_of
from scpress.counts.genes import gene_symbols
from scpress.counts.matrix import iter_chunks, select_columns, stack_rows
from scpress.counts.measured import Measured, measured_in
from scpress.counts.sizes import library_sizes
from scpress.errors import InputError
from scpress.model.batches import Cells, SparseBatch
from scpress.model.compiled import layer_loops
from scpress.model.fitted import TrainedModel

if TYPE_CHECKING:
    from anndata import AnnData

log = logging.getLogger("scpress")

# A block keeps what is beside its counts, which go into one matrix.
_NO_COUNTS = sparse.csr_matrix((0, 0), dtype=np.int32)


@dataclass
class ModelledCounts:
    """The counts a model reads: its genes alone, of all cells, with what goes beside them.

    Attributes
    ----------
    X
        [cells, n_genes] Raw counts, CSR in memory.
    size_factor
        [cells] Library size over all genes, over the model's median.
    batch
        [cells] Batch codes or None.
    continuous
        [cells, covariates] Raw continuous covariates or None.
    measured
        Which of the genes were measured in which cells; None where all were in all.
    """

    X: sparse.csr_matrix
    size_factor: np.ndarray
    batch: np.ndarray | None = None
    continuous: np.ndarray | None = None
    measured: Measured | None = None

    def __len__(self) -> int:
        return self.X.shape[0]

    def take(self, rows: np.ndarray | slice) -> "ModelledCounts":
        """Some of the cells."""
        return ModelledCounts(
            self.X[rows],
            self.size_factor[rows],
            None if self.batch is None else self.batch[rows],
            None if self.continuous is None else self.continuous[rows],
            None if self.measured is None else self.measured.take(rows),
        )

    @property
    def gene_set(self) -> np.ndarray | None:
        """[cells] Which genes were measured, as a set of `measured`."""
        return None if self.measured is None else self.measured.of_cell

    def sums(self, per_cell: np.ndarray) -> np.ndarray:
        """[genes], or [] of complete counts: a number of each cell summed over those measured."""
        if self.measured is None:
            return np.asarray(per_cell.sum())
        return self.measured.sums(per_cell)

    def cells_of(self, model: TrainedModel) -> Cells:
        """The tensors of all these cells."""
        return model.cells(self.X, self.size_factor, self.batch, self.continuous, self.measured)

    def cells_at(self, model: TrainedModel, rows: np.ndarray) -> Cells:
        """The tensors of some of the cells, on the CPU; quicker than `take` and `cells_of`."""
        X = self.X
        *parts, total = layer_loops.gather_rows(rows, X.indptr, X.indices, X.data)
        pointers, indices, values = (torch.from_numpy(part) for part in parts)
        return model.cells_from(
            SparseBatch(pointers, indices, values, X.shape[1]),
            total,
            self.size_factor[rows],
            None if self.batch is None else self.batch[rows],
            None if self.continuous is None else self.continuous[rows],
            None if self.measured is None else self.measured.take(rows),
        )

    def digest(self) -> str:
        """Digest of all that training reads."""
        X, measured = self.X, self.measured
        sets = () if measured is None else (measured.genes, measured.of_cell)
        beside = (self.size_factor, self.batch, self.continuous, *sets)
        return digest_of(X.data, X.indices, X.indptr, *beside)

    def blocks(self, *, n_cells: int) -> Iterator[tuple[slice, "ModelledCounts"]]:
        """Blocks of at most `n_cells` cells, in order."""
        for start in range(0, len(self), n_cells):
            rows = slice(start, min(start + n_cells, len(self)))
            yield rows, self.take(rows)


def restrict(data: ModelledCounts, genes: np.ndarray) -> ModelledCounts:
    """The same cells as if only some genes [n_genes] had been measured.

    Raises
    ------
    InputError
        Nothing would be left of some cells.
    """
    measured = data.measured
    if measured is None:
        none = np.zeros(len(data), dtype=np.int64)
        measured = Measured(np.ones((1, len(genes)), dtype=bool), none)
    left = Measured(measured.genes & genes, measured.of_cell)
    if not left.genes[np.unique(left.of_cell)].any(axis=1).all():
        raise InputError(
            "some samples share no modelled gene with others, and nothing says how their counts "
            "compare. Raise n_top_genes, or name shared genes in gene_list."
        )
    X = data.X.copy()
    X.data[~genes[X.indices]] = 0
    X.eliminate_zeros()
    return replace(data, X=X, measured=left)


def modelled_blocks(
    counts: "AnnData",
    normalized: "AnnData | None",
    model: TrainedModel,
    *,
    reference_batch: str | None = None,
    max_missing_fraction: float = 0.0,
    n_cells: int = 1024,
) -> Iterator[tuple[slice, ModelledCounts]]:
    """Read what a model reads of some cells, a block at a time: its genes, and what goes beside.

    Parameters
    ----------
    counts
        [cells, genes] Raw counts in X, in memory or on disk.
    normalized
        obs: library_size. None for new cells: it is counted here, over all their genes.
    n_cells
        Most cells of a block.

    Raises
    ------
    InputError
        More of the model's genes are missing than allowed; a covariate is missing; other cells;
        genes that were not measured in all cells, which the model was not trained for.
    """
    columns = model.matching_columns(
        [str(gene) for gene in counts.var_names],
        gene_symbols(counts.var),
        max_missing_fraction=max_missing_fraction,
    )
    n_missing = int((columns < 0).sum())
    if n_missing:
        missing = [gene for gene, column in zip(model.genes, columns, strict=True) if column < 0]
        what = "are taken for not measured" if model.config.masked else "count as zeros"
        log.info("%d of the model's genes %s: %s", n_missing, what, ", ".join(missing[:20]))
    measured = _measured_of(counts, columns, model)
    batch = model.batch_codes(counts.obs, reference_batch=reference_batch)
    continuous = model.continuous_values(counts.obs)
    known = None
    if normalized is not None:
        slots.require(normalized, slots.LIBRARY_SIZE)
        slots.require_same_cells(counts.obs_names, normalized.obs_names, "normalized")
        known = normalized.obs[slots.LIBRARY_SIZE.name].to_numpy(dtype=np.float64)
    for start, stop, block in iter_chunks(counts.X):
        X = select_columns(block, columns)
        of_block = None if measured is None else measured.take(slice(start, stop))
        if known is not None:
            size_factor = model.size_factors(known[start:stop])
        elif model.config.masked:
            size_factor = model.sizes_by_rates(library_sizes(X), of_block)
        else:
            size_factor = model.size_factors(library_sizes(block))
        part = ModelledCounts(
            X,
            size_factor,
            None if batch is None else batch[start:stop],
            None if continuous is None else continuous[start:stop],
            of_block,
        )
        for rows, cells in part.blocks(n_cells=n_cells):
            yield slice(start + rows.start, start + rows.stop), cells


def _measured_of(counts: "AnnData", columns: np.ndarray, model: TrainedModel) -> Measured | None:
    """Which of a model's genes were measured; for other models, genes that are missing are zeros.

    Raises
    ------
    InputError
        Some were not in some cells, and the model was trained where all were.
    """
    measured = measured_in(counts)
    if model.config.masked:
        if measured is None:
            n_obs, n_vars = counts.shape
            measured = Measured(np.ones((1, n_vars), dtype=bool), np.zeros(n_obs, dtype=np.int64))
        return measured.select(columns)
    if measured is not None and measured.select(columns[columns >= 0]) is not None:
        raise InputError(
            "some of the model's genes were not measured in all samples, and the model was "
            "trained on counts where all were. Train it on these counts."
        )
    return None


def modelled_counts(
    counts: "AnnData",
    normalized: "AnnData | None",
    model: TrainedModel,
    *,
    max_missing_fraction: float = 0.0,
) -> ModelledCounts:
    """Read what a model reads of all cells, in memory; arguments as for `modelled_blocks`."""
    beside: list[ModelledCounts] = []

    def read() -> Iterator[sparse.csr_matrix]:
        for _, block in modelled_blocks(
            counts, normalized, model, max_missing_fraction=max_missing_fraction
        ):
            beside.append(replace(block, X=_NO_COUNTS))
            yield block.X

    X = stack_rows(read(), n_vars=len(model.genes), dtype=np.int32)
    sets = [block.measured for block in beside if block.measured is not None]
    size_factor = np.concatenate([block.size_factor for block in beside])
    batches = [block.batch for block in beside if block.batch is not None]
    continuous = [block.continuous for block in beside if block.continuous is not None]
    return ModelledCounts(
        X,
        size_factor,
        np.concatenate(batches) if batches else None,
        np.concatenate(continuous) if continuous else None,
        Measured(sets[0].genes, np.concatenate([one.of_cell for one in sets])) if sets else None,
    )
