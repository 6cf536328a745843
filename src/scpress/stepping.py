"""How one step of the optimizer is computed: op by op on the CPU, as a captured graph on a GPU."""

import ctypes
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scpress.gradients import Gradients
from scpress.likelihoods import DenseBatch
from scpress.network import Cells, CountAutoencoder
from scpress.options import TrainOptions
from scpress.trained import ModelledCounts, TrainedModel

log = logging.getLogger("scpress")

_PER_GENE = ("log_theta", "log_theta.bias", "eta.bias", "pi_logits.bias")
# The counts stay on the GPU if they take at most this share of its free memory.
_RESIDENT_SHARE = 0.5
_WARM_UP_STEPS = 3
# Values copied to the GPU at a time.
_UPLOADED = 2**24


def build_optimizer(network: CountAutoencoder, options: TrainOptions) -> torch.optim.Optimizer:
    """Adam; what is one number per gene is not decayed."""
    named = dict(network.named_parameters())
    per_gene = [p for name, p in named.items() if name in _PER_GENE]
    rest = [_contiguous(p) for name, p in named.items() if name not in _PER_GENE]
    groups = [
        {"params": rest, "weight_decay": options.weight_decay},
        {"params": per_gene, "weight_decay": 0.0},
    ]
    device = network.input_mean.device
    on_gpu = device.type == "cuda"
    rate = options.first_rate
    optimizer = torch.optim.Adam(
        groups,
        lr=rate,
        eps=options.epsilon,
        fused=True,
        capturable=on_gpu,
    )
    for group in optimizer.param_groups:
        if on_gpu:
            # A captured graph reads the rate from where it is.
            group["lr"] = torch.tensor(rate, device=device)
        for parameter in group["params"]:
            # What Adam makes at its first step, so that a saved state has somewhere to go.
            optimizer.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
    return optimizer


def _contiguous(parameter: torch.nn.Parameter) -> torch.nn.Parameter:
    """The same memory in the order it is stored in: Adam copies what is stored transposed."""
    return parameter if parameter.is_contiguous() else torch.nn.Parameter(parameter.detach().t())


_SLOTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class _Group:
    """What Adam moves with the same options, as it wants it."""

    options: dict[str, Any]
    parameters: list[Tensor]
    gradients: list[Tensor]
    exp_avg: list[Tensor]
    exp_avg_sq: list[Tensor]
    step: list[Tensor]


class Stepper:
    """One step of the optimizer on the CPU, its gradients by autograd."""

    def __init__(self, model: TrainedModel, training: ModelledCounts, options: TrainOptions):
        self.model, self.training, self.options = model, training, options
        self.network = model.network
        self.optimizer = build_optimizer(self.network, options)
        parameters = list(self.network.parameters())
        adams = {p.data_ptr(): p for g in self.optimizer.param_groups for p in g["params"]}
        self._pairs = [(p, adams[p.data_ptr()]) for p in parameters]
        self._groups: list[_Group] = []

    def __call__(self, rows: np.ndarray, *, kl_weight: float, seed: int) -> Tensor | float:
        """[] Loss of the given training cells, without its gradient; the network moves a step."""
        # torch.manual_seed seeds every kind of device, which takes 0.13 ms.
        torch.default_generator.manual_seed(seed)
        noise = torch.randn(len(rows), self.network.config.n_latent)
        return self.update(self.training.cells_at(self.model, rows), noise, kl_weight)

    def update(self, cells: Cells, noise: Tensor, kl_weight: float | Tensor) -> Tensor | float:
        """[] Loss of some cells, without its gradient; the network moves a step."""
        loss = self._differentiate(cells, noise, kl_weight)
        self._clip()
        self._move()
        self.network.clamp_theta()
        return loss

    def _differentiate(
        self, cells: Cells, noise: Tensor, kl_weight: float | Tensor
    ) -> Tensor | float:
        for parameter, _ in self._pairs:
            parameter.grad = None
        loss = self.network.loss(cells, kl_weight=kl_weight, noise=noise).total
        loss.backward()
        self._hand_over_gradients()
        return loss.detach()

    def _hand_over_gradients(self) -> None:
        """Give Adam the gradients of the network's parameters, where there are some."""
        for parameter, moved in self._pairs:
            gradient = parameter.grad
            moved.grad = gradient if moved is parameter or gradient is None else gradient.t()
        self._groups = []
        for options in self.optimizer.param_groups:
            moving = [p for p in options["params"] if p.grad is not None]
            slots = [self.optimizer.state[p] for p in moving]
            of = {name: [slot[name] for slot in slots] for name in _SLOTS}
            if moving:
                self._groups.append(_Group(options, moving, [p.grad for p in moving], **of))

    def _move(self) -> None:
        """What `optimizer.step` computes, without 0.1 to 0.3 ms of Python around it."""
        for group in self._groups:
            torch._foreach_add_(group.step, 1)
            beta1, beta2 = group.options["betas"]
            torch._fused_adam_(
                group.parameters,
                group.gradients,
                group.exp_avg,
                group.exp_avg_sq,
                [],
                group.step,
                lr=group.options["lr"],
                beta1=beta1,
                beta2=beta2,
                weight_decay=group.options["weight_decay"],
                eps=group.options["eps"],
                amsgrad=False,
                maximize=False,
            )

    def _clip(self) -> None:
        gradients = [gradient for group in self._groups for gradient in group.gradients]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))  # type: ignore[arg-type]
        self._scale(gradients, norm)

    def _scale(self, gradients: list[Tensor], norm: Tensor) -> None:
        """Scale gradients of a norm to the limit, if they are above it."""
        limit = self.options.clip_norm
        # Few steps are clipped, and the others need no pass over all gradients.
        if norm > limit:
            torch._foreach_mul_(gradients, limit / norm)


class CompiledStepper(Stepper):
    """One step of the optimizer on the CPU, its gradients written out by hand."""

    def __init__(self, model: TrainedModel, training: ModelledCounts, options: TrainOptions):
        super().__init__(model, training, options)
        self._gradients = Gradients(self.network, min(options.batch_size, len(training)))
        self._hand_over_gradients()

    def _differentiate(
        self, cells: Cells, noise: Tensor, kl_weight: float | Tensor
    ) -> Tensor | float:
        return self._gradients(cells, noise, float(kl_weight))

    def _clip(self) -> None:
        self._scale([self._gradients.all], torch.linalg.vector_norm(self._gradients.all))


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
        before = [value.clone() for value in state]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP_STEPS):
                self.compute()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._loss = self.compute()
        for value, old in zip(state, before, strict=True):
            value.copy_(old)
        self._graph = graph


def stepper(model: TrainedModel, training: ModelledCounts, options: TrainOptions) -> Stepper:
    """The stepper for where the network is."""
    if model.network.input_mean.device.type == "cuda":
        return GraphStepper(model, training, options)
    kind = CompiledStepper if Gradients.are_written_out_for(model.network) else Stepper
    return kind(model, training, options)


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
        }
        self._rows = torch.zeros(n_cells, dtype=torch.int64, device=device)
        if resident:
            self._pointers = torch.from_numpy(X.indptr.astype(np.int64)).to(device)
            self._indices = _upload(X.indices, torch.int32, device)
            self._values = _upload(X.data, torch.float32, device)
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
        )


def _upload(values: np.ndarray, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[nonzeros] Values on the device, in parts: a mapped file never becomes memory as a whole."""
    placed = torch.empty(len(values), dtype=dtype, device=device)
    for first in range(0, len(values), _UPLOADED):
        part = np.array(values[first : first + _UPLOADED])
        placed[first : first + len(part)] = torch.from_numpy(part).to(device)
    return placed


@contextmanager
def large_blocks_stay() -> Iterator[None]:
    """Let glibc keep blocks of megabytes for the next time instead of giving them back.

    A validation, and a step by autograd, ask for the same blocks as the one before; each that comes
    new from the system costs a fault per page, a sixth of a step of 128 cells x 2,000 genes.
    """
    m_trim_threshold, m_mmap_threshold = -1, -3
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another libc
        mallopt = None
    if mallopt is not None:
        mallopt(m_mmap_threshold, 32 * 2**20)
        mallopt(m_trim_threshold, 512 * 2**20)
    try:
        yield
    finally:
        if mallopt is not None:
            mallopt(m_mmap_threshold, 128 * 2**10)
            mallopt(m_trim_threshold, 128 * 2**10)
