"""The training cells on a device, and which of them each of the next steps is of."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scpress.model.compiled import layer_loops
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts
from scpress.training.cuda_graph import upload
from scpress.training.fused.feed import Feed
from scpress.training.fused.plain import Csr


class Step(NamedTuple):
    """What the host says about a step: rows of its cells, weight of the KL term, seed."""

    rows: np.ndarray
    kl_weight: float
    seed: int


class Source:
    """The training cells, and what is said of the next `n_steps` steps, on the device.

    Attributes
    ----------
    csr
        All counts; or those of the cells of the next steps, where the counts do not fit.
    size_factor, batch, continuous
        [cells] or [cells, covariates] What goes beside the counts of all cells; None where the
        model has no such covariate.

    Parameters
    ----------
    n_cells
        Cells of a step.
    resident
        Whether all counts are on the device.
    """

    def __init__(
        self,
        model: TrainedModel,
        training: ModelledCounts,
        n_cells: int,
        n_steps: int,
        *,
        resident: bool,
    ):
        device, config = model.network.input_mean.device, model.config
        self.training, self.n_cells, self._resident = training, n_cells, resident

        def of_cells(values: np.ndarray, dtype: torch.dtype) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(dtype).to(device)

        self.size_factor = of_cells(training.size_factor, torch.float32)
        self.batch = self.continuous = None
        if config.n_batches:
            assert training.batch is not None
            self.batch = of_cells(training.batch, torch.int64)
        if config.continuous_covariates:
            assert training.continuous is not None
            self.continuous = model.standardized(of_cells(training.continuous, torch.float32))
        X, n_rows = training.X, n_steps * n_cells
        width = max(1, int(np.diff(X.indptr).max()))
        sizes = {
            "rows": (n_rows, torch.int64),
            "seeds": (n_steps, torch.int64),
            "kl_weights": (n_steps, torch.float32),
        }
        if not resident:
            sizes |= {
                "pointers": (n_rows + 1, torch.int64),
                "indices": (n_rows * width, torch.int32),
                "values": (n_rows * width, torch.float32),
            }
        self._feed = Feed(sizes, device)
        there = self._feed.there
        self._rows = there["rows"].view(n_steps, n_cells)
        self.seeds, self._kl_weights = there["seeds"], there["kl_weights"]
        if resident:
            self._csr_rows = self._rows
            pointers = torch.from_numpy(X.indptr.astype(np.int64)).to(device)
            indices = upload(X.indices, torch.int32, device)
            self.csr = Csr(pointers, indices, upload(X.data, torch.float32, device), width)
        else:
            self._csr_rows = torch.arange(n_rows, device=device).view(n_steps, n_cells)
            self.csr = Csr(there["pointers"], there["indices"], there["values"], width)

    def choose(self, steps: list[Step]) -> None:
        """Say what the next steps are of."""
        arrays, n_steps = self._feed.arrays(), len(steps)
        rows = np.concatenate([step.rows for step in steps])
        lengths = {"rows": len(rows), "seeds": n_steps, "kl_weights": n_steps}
        arrays["rows"][: len(rows)] = rows
        arrays["seeds"][:n_steps] = [step.seed for step in steps]
        arrays["kl_weights"][:n_steps] = [step.kl_weight for step in steps]
        if not self._resident:
            X = self.training.X
            pointers, indices, values, _ = layer_loops.gather_rows(
                rows, X.indptr, X.indices, X.data
            )
            of_counts = {"pointers": pointers, "indices": indices, "values": values}
            for name, part in of_counts.items():
                arrays[name][: len(part)] = part
                lengths[name] = len(part)
        self._feed.send(lengths)

    def rows(self, step: int) -> tuple[Tensor, Tensor]:
        """([n_cells], [n_cells]) Rows of the cells in `csr`, and in what goes beside."""
        return self._csr_rows[step], self._rows[step]

    def kl_weight(self, step: int) -> Tensor:
        """[] Weight of the KL term."""
        return self._kl_weights[step]
