"""One step on a GPU as a captured graph, from counts at fixed places of its memory."""

import logging
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from scpress.config.options import TrainOptions
from scpress.model.batches import Cells, DenseBatch
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts
from scpress.training.stepper import Stepper

log = logging.getLogger("scpress")

# The counts stay on the GPU if they take at most this share of its free memory.
_RESIDENT_SHARE = 0.5
_WARM_UP_STEPS = 3
# Values copied to the GPU at a time.
_UPLOADED = 2**24


class GraphStepper(Stepper):
    """One step on a GPU: captured once as a CUDA graph, then replayed without Python.

    All shapes are fixed: the nonzeros of a cell are padded to those of the fullest one. The counts
    stay on the GPU as CSR where they fit; elsewhere each batch is copied there.
    """

    def __init__(self, model: TrainedModel, training: ModelledCounts, options: TrainOptions):
        super().__init__(model, training, options)
        device = self.network.input_mean.device
        n_cells = min(options.batch_size, len(training))
        self.rows = PaddedRows(training, n_cells, device, resident=fits(training, device))
        self.noise = torch.zeros(n_cells, self.network.config.n_latent, device=device)
        self.kl_weight = torch.zeros((), device=device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._loss: Tensor | float = 0.0

    def __call__(self, rows: np.ndarray, *, kl_weight: float, seed: int) -> Tensor | float:
        """As `Stepper`; the result is overwritten by the next step."""
        self.rows.choose(rows)
        self.kl_weight.fill_(kl_weight)
        if self._graph is None:
            self._capture()
        torch.manual_seed(seed)  # of the GPU's generator, too, from which a replay draws
        self.noise.normal_()
        assert self._graph is not None
        self._graph.replay()
        return self._loss

    def compute(self) -> Tensor | float:
        """[] Loss of the chosen rows, from the fixed places in memory alone."""
        return self.update(self.rows.cells(self.model), self.noise, self.kl_weight)

    def _scale(self, gradients: list[Tensor], norm: Tensor) -> None:
        torch._foreach_mul_(gradients, (self.options.clip_norm / norm).clamp(max=1.0))

    def _capture(self) -> None:
        state = [*self.network.state_dict().values()]
        state += [v for slots in self.optimizer.state.values() for v in slots.values()]

        def compute() -> None:
            self._loss = self.compute()

        self._graph = captured(compute, state)


def captured(compute: Callable[[], None], state: list[Tensor]) -> torch.cuda.CUDAGraph:
    """What a function computes as a graph; the state that it changes is as it was before."""
    before = [value.clone() for value in state]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP_STEPS):
            compute()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        compute()
    for value, old in zip(state, before, strict=True):
        value.copy_(old)
    return graph


def fits(training: ModelledCounts, device: torch.device) -> bool:
    """Whether the counts fit on the GPU beside the training."""
    free, _ = torch.cuda.mem_get_info(device)
    needed = 8 * training.X.nnz + 24 * len(training)
    if needed <= _RESIDENT_SHARE * free:
        return True
    log.info("the counts take %.1f GB and are copied to the GPU batch by batch", needed / 1e9)
    return False


class PaddedRows:
    """The chosen rows of the training counts at fixed places of a device.

    Parameters
    ----------
    n_cells
        Rows that are chosen at a time.
    resident
        Whether all counts are kept on the device, or the chosen rows are copied.
    """

    def __init__(
        self, training: ModelledCounts, n_cells: int, device: torch.device, *, resident: bool
    ):
        self.training, self.resident = training, resident
        X = training.X
        self.width = max(1, int(np.diff(X.indptr).max()))
        self.n_genes = X.shape[1]
        self._padding = torch.arange(self.width, device=device) % self.n_genes

        def place(values: np.ndarray | None, dtype: torch.dtype) -> Tensor | None:
            if values is None:
                return None
            chosen = torch.from_numpy(np.ascontiguousarray(values)).to(dtype)
            return (
                chosen.to(device)
                if resident
                else torch.zeros(n_cells, *chosen.shape[1:]).to(device, dtype)
            )

        self._by_cell = {
            "size_factor": place(training.size_factor, torch.float32),
            "batch": place(training.batch, torch.int64),
            "continuous": place(training.continuous, torch.float32),
            "gene_set": place(training.gene_set, torch.int64),
        }
        measured = training.measured
        self._measured = None if measured is None else torch.from_numpy(measured.genes).to(device)
        self._rows = torch.zeros(n_cells, dtype=torch.int64, device=device)
        if resident:
            self._pointers = torch.from_numpy(X.indptr.astype(np.int64)).to(device)
            self._indices = upload(X.indices, torch.int32, device)
            self._values = upload(X.data, torch.float32, device)
        else:
            shape = (n_cells, self.width)
            self._columns = torch.zeros(shape, dtype=torch.int64, device=device)
            self._padded = torch.zeros(shape, device=device)

    def choose(self, rows: np.ndarray) -> None:
        """Set the rows that `cells` gives."""
        if self.resident:
            self._rows.copy_(torch.from_numpy(rows), non_blocking=True)
            return
        part = self.training.take(rows)
        lengths = np.diff(part.X.indptr)
        filled = np.arange(self.width) < lengths[:, None]
        columns = np.broadcast_to(self._padding.cpu().numpy(), filled.shape).copy()
        values = np.zeros(filled.shape, dtype=np.float32)
        columns[filled], values[filled] = part.X.indices, part.X.data
        self._columns.copy_(torch.from_numpy(columns))
        self._padded.copy_(torch.from_numpy(values))
        for name, target in self._by_cell.items():
            if target is not None:
                target.copy_(torch.from_numpy(np.asarray(getattr(part, name))))

    def cells(self, model: TrainedModel) -> Cells:
        """The chosen cells, densified: a GPU has lanes to spare, and shapes stay fixed."""
        if self.resident:
            start, stop = self._pointers[self._rows], self._pointers[self._rows + 1]
            at = start[:, None] + torch.arange(self.width, device=start.device)
            inside = at < stop[:, None]
            at = torch.where(inside, at, 0)
            columns = torch.where(inside, self._indices[at].long(), self._padding)
            values = torch.where(inside, self._values[at], 0.0)
            by_cell = {k: None if v is None else v[self._rows] for k, v in self._by_cell.items()}
        else:
            columns, values, by_cell = self._columns, self._padded, self._by_cell
        dense = torch.zeros(len(values), self.n_genes, device=values.device)
        # Padding adds 0, to all genes in turn; no place is written to by two nonzeros.
        dense.scatter_add_(1, columns, values)
        size_factor, continuous = by_cell["size_factor"], by_cell["continuous"]
        assert size_factor is not None
        return Cells(
            DenseBatch(dense),
            size_factor,
            values.sum(dim=1),
            by_cell["batch"] if model.config.n_batches else None,
            None if continuous is None else model.standardized(continuous),
            self._measured,
            by_cell["gene_set"],
        )


def upload(values: np.ndarray, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[nonzeros] Values on the device, in parts: a mapped file never becomes memory as a whole."""
    placed = torch.empty(len(values), dtype=dtype, device=device)
    for first in range(0, len(values), _UPLOADED):
        part = np.array(values[first : first + _UPLOADED])
        placed[first : first + len(part)] = torch.from_numpy(part).to(device)
    return placed
