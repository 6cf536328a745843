"""Some cells as the network reads them: sparse or dense counts, and what goes beside them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import sparse
from torch import Tensor


@dataclass(frozen=True)
class SparseBatch:
    """The nonzeros of some cells, CSR.

    Attributes
    ----------
    pointers
        [cells + 1] Where each row starts, int64.
    indices
        [nonzeros] Genes, int32.
    values
        [nonzeros] Counts, or log-normalized values, as floats.
    """

    pointers: Tensor
    indices: Tensor
    values: Tensor
    n_genes: int

    @property
    def shape(self) -> tuple[int, int]:
        """[cells, genes]."""
        return len(self.pointers) - 1, self.n_genes

    @cached_property
    def rows(self) -> Tensor:
        """[nonzeros] Cell within the batch, int64."""
        cells = torch.arange(self.shape[0], device=self.pointers.device)
        return torch.repeat_interleave(
            cells, torch.diff(self.pointers), output_size=len(self.values)
        )

    @cached_property
    def columns(self) -> Tensor:
        """[nonzeros] Gene, int64, as torch indexes with."""
        return self.indices.long()

    def dense(self) -> Tensor:
        """[cells, genes] The batch with its zeros."""
        out = torch.zeros(self.shape, dtype=self.values.dtype, device=self.values.device)
        out[self.rows, self.columns] = self.values
        return out

    def of_cells(self, per_cell: Tensor) -> Tensor:
        """[nonzeros] The cell's number at each nonzero."""
        return per_cell[self.rows]

    def sum_rows(self, per_nonzero: Tensor) -> Tensor:
        """[cells] Sum over the nonzeros of each row."""
        return torch.segment_reduce(
            per_nonzero, "sum", offsets=self.pointers, axis=0, initial=0, unsafe=True
        )


@dataclass(frozen=True)
class DenseBatch:
    """Some cells with their zeros, for devices where a fixed shape is worth more than sparsity.

    Attributes
    ----------
    values
        [cells, genes] Counts, or log-normalized values, as floats.
    """

    values: Tensor

    def dense(self) -> Tensor:
        """[cells, genes] The batch."""
        return self.values

    def of_cells(self, per_cell: Tensor) -> Tensor:
        """[cells, 1] The cell's number beside its genes."""
        return per_cell[:, None]


@dataclass(frozen=True)
class Cells:
    """Some cells as the network sees them.

    Attributes
    ----------
    counts
        [cells, genes] Raw counts of the modelled genes.
    size_factor
        [cells] Library size over all genes, over its median.
    total
        [cells] Molecules over the modelled genes.
    batch
        [cells] Index of the batch; None where the model has none.
    continuous
        [cells, covariates] Standardized continuous covariates, or None.
    measured, gene_set
        [sets, genes] Whether the cells of a set were measured, and [cells] the set of each cell;
        None where all cells were, of all genes.
    """

    counts: SparseBatch | DenseBatch
    size_factor: Tensor
    total: Tensor
    batch: Tensor | None = None
    continuous: Tensor | None = None
    measured: Tensor | None = None
    gene_set: Tensor | None = None

    @cached_property
    def mask(self) -> Tensor | None:
        """[cells, genes] Whether a cell was measured; None where all were."""
        return None if self.measured is None else self.measured[self.gene_set]


def sparse_batch(block: sparse.csr_matrix, device: torch.device | str = "cpu") -> SparseBatch:
    """[cells, genes] The nonzeros of a CSR block as tensors; stored zeros are dropped."""
    if block.nnz and not np.all(block.data):
        block = block.copy()
        block.eliminate_zeros()
    return SparseBatch(
        torch.from_numpy(block.indptr.astype(np.int64)).to(device),
        torch.from_numpy(block.indices.astype(np.int32)).to(device),
        torch.from_numpy(block.data.astype(np.float32)).to(device),
        block.shape[1],
    )
