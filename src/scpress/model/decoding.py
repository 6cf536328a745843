"""In which batches each gene is decoded: the reference one, or those that measured it."""

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
        The cells in each batch that they are decoded in, and [n_genes] the part that it has in what
        is said of each gene.
    """

    rows: slice
    block: ModelledCounts
    z: np.ndarray
    batches: list[tuple[Cells, np.ndarray]]

    def decode(self, what: Callable[[Cells, np.ndarray], np.ndarray]) -> np.ndarray:
        """[cells, n_genes] What a model says of each gene, mean over the batches by their parts."""
        if len(self.batches) == 1:
            return what(self.batches[0][0], self.z)
        return np.asarray(sum(what(cells, self.z) * part for cells, part in self.batches))


def encode_block(
    model: TrainedModel, rows: slice, block: ModelledCounts, reference: int | None
) -> Encoded:
    """Encode a block of cells and lay out in which batches its genes are decoded.

    Parameters
    ----------
    reference
        Index of the batch that every gene is decoded in which was measured there. The others are
        decoded in all batches in which they were, each as much as it has cells; so are all genes
        where there is no reference.

    Raises
    ------
    InputError
        Cells share no gene with those of a batch.
    """
    z = model.encode(block.cells_of(model))[0]
    if not model.config.masked or block.batch is None:
        if block.batch is not None:
            assert reference is not None
            block.batch = np.full(len(block), reference, dtype=np.int64)
        return Encoded(rows, block, z, [(block.cells_of(model), np.ones(block.X.shape[1]))])
    was_measured = model.network.measured.cpu().numpy()
    was_measured = was_measured | ~was_measured.any(axis=0)  # in no training cell: anywhere
    part = was_measured * np.asarray(model.batch_sizes, dtype=np.float32)[:, None]
    if reference is not None:
        part[:, was_measured[reference]] = 0
        part[reference, was_measured[reference]] = 1
    part /= np.maximum(part.sum(axis=0), 1e-12)
    batches = []
    for one in np.flatnonzero(part.any(axis=1)):
        # The total that is shared out is of genes whose weights this batch has learned.
        seen = restrict(block, was_measured[one])
        seen.batch = np.full(len(block), one, dtype=np.int64)
        batches.append((seen.cells_of(model), part[one]))
    return Encoded(rows, block, z, batches)
