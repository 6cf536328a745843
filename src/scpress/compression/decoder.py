"""What a model's decoder must have to decode a latent, and decoding with that and nothing else."""

import dataclasses

import numpy as np
import torch
from scipy import sparse

from scpress.counts.sizes import library_sizes
from scpress.model.axes import ModelConfig
from scpress.model.batches import Cells
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts
from scpress.model.network import CountAutoencoder

_BLOCK_CELLS = 500
# What only the encoder, or training, has: all that a decoder may lack.
_NOT_DECODING = (
    *("encoder.", "z_mean.", "z_log_variance.", "input_mean", "input_scale"),
    "discriminator.",
)
# What the mean of a count does not depend on.
DISPERSION = "log_theta"


def library_arrays(model: TrainedModel, data: ModelledCounts) -> dict[str, np.ndarray]:
    """Collect what the decoder must be told of each cell besides the latent.

    Returns
    -------
    [cells] total or size_factor, and batch and continuous covariates where the model has them.
    """
    arrays = {}
    if model.config.library == "observed":
        arrays["total"] = library_sizes(data.X).astype(np.float32)
    else:
        arrays["size_factor"] = data.size_factor.astype(np.float32)
    if data.batch is not None:
        arrays["batch"] = data.batch.astype(np.min_scalar_type(int(data.batch.max())))
    if data.continuous is not None:
        arrays["continuous"] = data.continuous
    return arrays


class StoredDecoder:
    """A decoder made of what came back from its files: what was not stored cannot decode.

    It starts as a network of NaN, and knows of the cells what `library` says.

    Parameters
    ----------
    config
        Axes of the network.
    weights
        `TrainedModel.decoder_state` as read.
    library
        `library_arrays` as read, of some cells.
    means_only
        The weights may lack the dispersion, on which no mean depends.

    Raises
    ------
    ValueError
        A tensor that decoding needs is missing, or one is there that it does not know.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: dict[str, np.ndarray],
        library: dict[str, np.ndarray],
        *,
        means_only: bool = False,
    ):
        network = CountAutoencoder(config)
        with torch.no_grad():
            for value in network.state_dict().values():
                if value.is_floating_point():
                    value.fill_(torch.nan)
        tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
        loaded = network.load_state_dict(tensors, strict=False)
        needless = (*_NOT_DECODING, *([DISPERSION] if means_only else []))
        # The encoder's, where the decoder is it backwards.
        encoder = (name for name in network.state_dict() if name.startswith(_NOT_DECODING))
        tied = tuple(name for name in encoder if network.is_decoding(name))
        lacking = [
            name
            for name in loaded.missing_keys
            if (not name.startswith(needless) or name.startswith(tied))
            and not name.endswith("num_batches_tracked")
        ]
        lacking += [name for name in _told_of_cells(config) if name not in library]
        if lacking or loaded.unexpected_keys:
            raise ValueError(
                f"a decoder was stored without {', '.join(lacking) or 'lack'} and with "
                f"{', '.join(loaded.unexpected_keys) or 'nothing'} that it does not know"
            )
        self._model = TrainedModel(network.eval(), [], [], float("nan"))
        self._library = library

    def expected_counts(self, z: np.ndarray, start: int, stop: int) -> np.ndarray:
        """[stop - start, genes] Mean of the decoded counts: (1 - pi) mu under zero inflation."""
        cells = self._cells(start, stop)
        mu = self._model.mean_counts(cells, z[start:stop])
        if self._model.network.pi_logits is None:
            return mu
        return mu * (1 - self._model.extra_zero_fraction(cells, z[start:stop]))

    def negative_log_likelihood(self, z: np.ndarray, X: sparse.csr_matrix) -> np.ndarray:
        """[cells] -log p(x | z), nats, of the true counts X at the latent as stored."""
        values = np.zeros(len(z))
        for start in range(0, len(z), _BLOCK_CELLS):
            stop = min(start + _BLOCK_CELLS, len(z))
            cells = self._cells(start, stop, X[start:stop])
            values[start:stop] = -self._model.log_likelihood(cells, z[start:stop])
        return values

    def _cells(self, start: int, stop: int, X: sparse.csr_matrix | None = None) -> Cells:
        """Build the tensors of a block from what was stored; counts are for comparison alone."""
        part = {name: values[start:stop] for name, values in self._library.items()}
        unknown = np.full(stop - start, np.nan, dtype=np.float32)
        if X is None:
            X = sparse.csr_matrix((stop - start, self._model.config.n_genes), dtype=np.float32)
        cells = self._model.cells(
            X, part.get("size_factor", unknown), part.get("batch"), part.get("continuous")
        )
        return dataclasses.replace(cells, total=torch.from_numpy(part.get("total", unknown)))


def _told_of_cells(config: ModelConfig) -> list[str]:
    """Arrays of `library_arrays` that a decoder of these axes reads."""
    names = ["total" if config.library == "observed" else "size_factor"]
    names += ["batch"] if config.n_batches else []
    return names + (["continuous"] if config.continuous_covariates else [])
