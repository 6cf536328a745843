"""The counts a model reads: its genes alone, of all cells or of a block of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from scpress.counts.digests import digest_of
from scpress.counts.matrix import select_columns
from scpress.model.batches import Cells, SparseBatch
from scpress.model.compiled import layer_loops
from scpress.model.fitted import TrainedModel


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
    """

    X: sparse.csr_matrix
    size_factor: np.ndarray
    batch: np.ndarray | None = None
    continuous: np.ndarray | None = None

    def __len__(self) -> int:
        return self.X.shape[0]

    def take(self, rows: np.ndarray | slice) -> "ModelledCounts":
        """Some of the cells."""
        return ModelledCounts(
            self.X[rows],
            self.size_factor[rows],
            None if self.batch is None else self.batch[rows],
            None if self.continuous is None else self.continuous[rows],
        )

    def cells_of(self, model: TrainedModel) -> Cells:
        """The tensors of all these cells."""
        return model.cells(self.X, self.size_factor, self.batch, self.continuous)

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
        )

    def digest(self) -> str:
        """Digest of all that training reads."""
        X = self.X
        return digest_of(X.data, X.indices, X.indptr, self.size_factor, self.batch, self.continuous)

    def blocks(self, *, n_cells: int) -> Iterator[tuple[slice, "ModelledCounts"]]:
        """Blocks of at most `n_cells` cells, in order."""
        for start in range(0, len(self), n_cells):
            rows = slice(start, min(start + n_cells, len(self)))
            yield rows, self.take(rows)


def select_genes(X: Any, columns: np.ndarray) -> sparse.csr_matrix:
    """[cells, n_genes] Columns of a matrix in memory or on disk; -1 gives a gene of zeros."""
    present = np.flatnonzero(columns >= 0)
    found = select_columns(X, columns[present])
    if len(present) == len(columns):
        return found
    wide = sparse.csr_matrix(
        (found.data, present[found.indices], found.indptr), shape=(found.shape[0], len(columns))
    )
    wide.sort_indices()
    return wide
