"""In which batch each gene is decoded: the reference one, or one in which it was measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scpress.errors import InputError
from scpress.model.batches import Cells
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts, restrict


def require_seeds(models: Sequence[TrainedModel]) -> None:
    """Check that models are one, trained with several seeds.

    Raises
    ------
    InputError
        They are not.
    """
    model, *others = models
    seeds = {model.record.seed}
    for other in others:
        if other.genes != model.genes or other.config != model.config:
            raise InputError(
                "only trainings of one model with several seeds are averaged; these differ in "
                "genes or options. Give models of one run."
            )
        if other.record.seed in seeds:
            raise InputError(
                f"two of the models to average are of seed {other.record.seed}. Give one of each."
            )
        seeds.add(other.record.seed)


@dataclass
class Encoded:
    """Some cells with their latent, and as they are decoded.

    Attributes
    ----------
    batches
        Which genes are decoded together, and the cells in the batch that they are decoded in.
    """

    rows: slice
    block: ModelledCounts
    z: np.ndarray
    batches: list[tuple[np.ndarray, Cells]]

    def decode(self, what: Callable[[Cells, np.ndarray], np.ndarray]) -> np.ndarray:
        """[cells, n_genes] What a model says of each gene in the batch it is decoded in."""
        if len(self.batches) == 1:
            return what(self.batches[0][1], self.z)
        out = np.zeros(self.block.X.shape, dtype=np.float32)
        for genes, cells in self.batches:
            out[:, genes] = np.broadcast_to(what(cells, self.z), out.shape)[:, genes]
        return out


def encode_block(
    model: TrainedModel, rows: slice, block: ModelledCounts, reference_batch: str | None
) -> Encoded:
    """Encode a block of cells and lay out in which batches its genes are decoded."""
    z = model.encode(block.cells_of(model))[0]
    code = model.reference_code(reference_batch)
    if not model.config.masked or block.batch is None:
        if block.batch is not None:
            block.batch = np.full(len(block), code, dtype=np.int64)
        return Encoded(rows, block, z, [(np.arange(block.X.shape[1]), block.cells_of(model))])
    was_measured = model.network.measured.cpu().numpy()
    # The reference first, then the others from the largest on; argmax is the first that has a gene.
    order = [code, *(c for c in np.argsort(model.batch_sizes, kind="stable")[::-1] if c != code)]
    of_gene = np.array(order)[was_measured[order].argmax(axis=0)]
    batches = []
    for one in np.unique(of_gene):
        # The total that is shared out is of genes whose weights this batch has learned.
        seen = restrict(block, was_measured[one])
        seen.batch = np.full(len(block), one, dtype=np.int64)
        batches.append((np.flatnonzero(of_gene == one), seen.cells_of(model)))
    return Encoded(rows, block, z, batches)
