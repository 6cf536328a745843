"""What a model's decoder must have to decode a latent, and decoding from what was read back."""

import copy
import dataclasses

import numpy as np
import torch

from scpress.model.batches import Cells
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts

_BLOCK_CELLS = 500


def library_arrays(model: TrainedModel, data: ModelledCounts) -> dict[str, np.ndarray]:
    """Collect what the decoder must be told of each cell besides the latent.

    Returns
    -------
    [cells] total or size_factor, and batch and continuous covariates where the model has them.
    """
    arrays = {}
    if model.config.library == "observed":
        arrays["total"] = np.asarray(data.X.sum(axis=1), dtype=np.float32).ravel()
    else:
        arrays["size_factor"] = data.size_factor.astype(np.float32)
    if data.batch is not None:
        arrays["batch"] = data.batch.astype(np.min_scalar_type(int(data.batch.max())))
    if data.continuous is not None:
        arrays["continuous"] = data.continuous
    return arrays


class StoredDecoder:
    """A decoder as it came back from its file, beside the library of the cells as it came back.

    Parameters
    ----------
    model
        The model the arrays were taken from; its encoder is not used.
    weights
        `model.decoder_state()` as read.
    library
        `library_arrays` as read, of the cells of `data`.
    data
        [cells] The true counts, to be compared with.
    """

    def __init__(
        self,
        model: TrainedModel,
        weights: dict[str, np.ndarray],
        library: dict[str, np.ndarray],
        data: ModelledCounts,
    ):
        network = copy.deepcopy(model.network)
        tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
        network.load_state_dict(tensors, strict=False)
        self.model = dataclasses.replace(model, network=network.eval())
        self.library = library
        self.data = data

    def expected_counts(self, z: np.ndarray, start: int, stop: int) -> np.ndarray:
        """[stop - start, genes] Mean of the decoded counts: (1 - pi) mu under zero inflation."""
        cells = self._cells(start, stop)
        mu = self.model.mean_counts(cells, z[start:stop])
        if self.model.network.pi_logits is None:
            return mu
        return mu * (1 - self.model.extra_zero_fraction(cells, z[start:stop]))

    def negative_log_likelihood(self, z: np.ndarray) -> np.ndarray:
        """[cells] -log p(x | z), nats, at the latent as stored."""
        values = np.zeros(len(z))
        for start in range(0, len(z), _BLOCK_CELLS):
            stop = min(start + _BLOCK_CELLS, len(z))
            cells = self._cells(start, stop)
            values[start:stop] = -self.model.log_likelihood(cells, z[start:stop])
        return values

    def _cells(self, start: int, stop: int) -> Cells:
        """Build the tensors of a block with library sizes and covariates as read back."""
        part = {name: values[start:stop] for name, values in self.library.items()}
        cells = self.model.cells(
            self.data.X[start:stop],
            part.get("size_factor", self.data.size_factor[start:stop]),
            part.get("batch"),
            part.get("continuous"),
        )
        if "total" in part:
            total = torch.as_tensor(part["total"], device=cells.total.device)
            cells = dataclasses.replace(cells, total=total)
        return cells
