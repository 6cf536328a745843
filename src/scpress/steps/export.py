"""A trained scvi-preset model as a directory of scvi-tools' own."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from anndata import AnnData
from scipy import sparse

from scpress.counts.matrix import stack_rows
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts
from scpress.steps.embed import modelled_blocks
from scpress.training.scvi_tools import require_scvi_axes, save_as_scvi

# A block keeps what is beside its counts, which go into one matrix.
_NO_COUNTS = sparse.csr_matrix((0, 0), dtype=np.int32)


def export(
    counts: AnnData, normalized: AnnData | None, model: TrainedModel, directory: Path
) -> None:
    """Fill a real SCVI with the model's weights and call its own `save`.

    The directory holds the training cells' counts of the modelled genes, which `SCVI.load` needs.
    Its continuous covariates are standardized as the network saw them.

    Raises
    ------
    InputError
        The model is not one SCVI can be, or the cells lack its genes.
    """
    require_scvi_axes(model.config)
    blocks: list[ModelledCounts] = []

    def read() -> Iterator[sparse.csr_matrix]:
        for _, block in modelled_blocks(counts, normalized, model):
            blocks.append(replace(block, X=_NO_COUNTS))
            yield block.X

    data = ModelledCounts(
        stack_rows(read(), n_vars=len(model.genes), dtype=np.int32),
        np.concatenate([block.size_factor for block in blocks]),
        None
        if blocks[0].batch is None
        else np.concatenate([b.batch for b in blocks if b.batch is not None]),
        None
        if blocks[0].continuous is None
        else np.concatenate([b.continuous for b in blocks if b.continuous is not None]),
    )
    save_as_scvi(model, data, directory)
