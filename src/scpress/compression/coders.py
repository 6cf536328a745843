"""The lossy codes that are compared: a trained model, NMF, PCA, and the gene mean."""

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy import sparse
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor
from torch.nn import functional

from scpress.compression.decoder import DISPERSION, StoredDecoder, library_arrays
from scpress.counts.matrix import gene_totals
from scpress.counts.sizes import library_sizes
from scpress.model.baselines import FLOOR, Pca, fit_pca, truncate_pca
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts

_BLOCK_CELLS = 500
# Adam on the latent, in units of the latent's deviation. On PBMC 3k 20 steps explain as much of
# unseen molecules as L-BFGS until it converges.
_REFINE_STEPS, _REFINE_RATE = 20, 0.2

Arrays = dict[str, np.ndarray]


class Coder(Protocol):
    """A code: how cells become a latent, and what comes back from files becomes counts.

    Attributes
    ----------
    weights
        What all cells share, before it is quantised.
    """

    weights: Arrays

    def library(self, data: ModelledCounts) -> Arrays:
        """What is stored of each cell besides its latent."""
        ...

    def encode(self, data: ModelledCounts) -> np.ndarray:
        """[cells, n_latent] The latent of some cells."""
        ...

    def decode(self, weights: Arrays, library: Arrays, z: np.ndarray) -> np.ndarray:
        """[cells, genes] Expected counts, from what was stored alone; call it on a block."""
        ...


def totals(data: ModelledCounts) -> np.ndarray:
    """[cells] Molecules of the modelled genes, at least 1, float64."""
    return np.maximum(library_sizes(data.X), 1).astype(np.float64)


class _OfTotals:
    """What all rivals are told of a cell: its total, as models with library `observed` are."""

    def library(self, data: ModelledCounts) -> Arrays:
        """Total of each cell."""
        return {"total": compact(totals(data))}


@dataclass
class GeneMeanCoder(_OfTotals):
    """Every gene at its mean; a latent of no dimension.

    Parameters
    ----------
    rate
        [genes] Share of each gene in the molecules of the training cells.
    """

    rate: np.ndarray

    def __post_init__(self) -> None:
        # Of a share, float16 has no digits left; of its root it has three for every gene.
        self.weights = {"root_rate": np.sqrt(self.rate).astype(np.float32)}

    def encode(self, data: ModelledCounts) -> np.ndarray:
        """[cells, 0] Nothing."""
        return np.zeros((len(data), 0), dtype=np.float32)

    def decode(self, weights: Arrays, library: Arrays, z: np.ndarray) -> np.ndarray:
        """[cells, genes] The gene's share of the cell's total."""
        return np.outer(library["total"], weights["root_rate"] ** 2)


@dataclass
class PcaCoder(_OfTotals):
    """PCA of log-normalized counts, fitted with `totals / median` as its size factors."""

    pca: Pca
    median: float

    def __post_init__(self) -> None:
        fields = ("components", "mean", "scale")
        self.weights = {name: getattr(self.pca, name) for name in fields}

    def encode(self, data: ModelledCounts) -> np.ndarray:
        """[cells, n_components] Scores."""
        return self.pca.encode(data.X, totals(data) / self.median)

    def decode(self, weights: Arrays, library: Arrays, z: np.ndarray) -> np.ndarray:
        """[cells, genes] Counts of the log-normalized values, scaled to the totals."""
        mean, scale = weights["mean"], weights["scale"]
        # The floor, a part of the gene's mean, follows from what is stored anyway.
        rate = np.expm1(mean) * scale
        read = dataclasses.replace(
            self.pca, components=weights["components"], mean=mean, scale=scale, rate=rate
        )
        mu = read.decode_counts(z, library["total"] / self.median)
        # The total is known.
        return mu * (library["total"] / mu.sum(axis=1))[:, None]


def fit_pca_coders(training: ModelledCounts, ranks: Sequence[int]) -> Iterator[PcaCoder]:
    """Fit the code of each rank to some cells."""
    total = totals(training)
    median = float(np.median(total))
    pca = fit_pca(training.X, total / median, max(ranks))
    for rank in ranks:
        yield PcaCoder(truncate_pca(pca, training.X, total / median, rank), median)


class NmfCoder(_OfTotals):
    """scikit-learn's NMF of the counts under the Kullback-Leibler loss, a Poisson factor model.

    This is the loss that codes are scored by. On PBMC 3k the same with the squared loss of
    log-normalized values, or of square roots, explains less of unseen molecules at every rank. What
    is stored are square roots, whose error under a Poisson is the same for all sizes: of each
    cell's shares of the factors, and of the factors over the gene means. Quantised as they are, the
    factors lose the genes of few molecules.
    """

    def __init__(self, fitted: NMF, rate: np.ndarray):
        size = fitted.components_.sum(axis=1)
        self.nmf, self.size = fitted, size
        shares = fitted.components_ / np.where(size > 0, size, 1)[:, None]
        self.weights = {
            "loadings": np.sqrt(shares / rate).astype(np.float32),
            "root_rate": np.sqrt(rate).astype(np.float32),
        }

    def encode(self, data: ModelledCounts) -> np.ndarray:
        """[cells, n_factors] Roots of the shares of the factors in each cell."""
        with _no_convergence_warning():
            z = self.nmf.transform(data.X.astype(np.float32)) * self.size
        return np.sqrt(_shares(z)).astype(np.float32)

    def decode(self, weights: Arrays, library: Arrays, z: np.ndarray) -> np.ndarray:
        """[cells, genes] Mix of the factors at the cell's total."""
        ratio = np.maximum(_shares(z**2) @ weights["loadings"] ** 2, FLOOR)
        return ratio * weights["root_rate"] ** 2 * library["total"][:, None]


def fit_nmf(X: sparse.csr_matrix, rate: np.ndarray, n_factors: int) -> NmfCoder:
    """Fit NMF of a rank to raw counts X [cells, genes]; rate as `fit_gene_shares` gives it."""
    nmf = NMF(
        n_factors,
        init="nndsvda",
        solver="mu",
        beta_loss="kullback-leibler",
        random_state=0,
    )
    with _no_convergence_warning():
        nmf.fit(X.astype(np.float32))
    return NmfCoder(nmf, rate)


def fit_gene_shares(training: ModelledCounts) -> np.ndarray:
    """[genes] Share of each gene in the molecules of some cells; of none, half a molecule's."""
    counted = gene_totals(training.X)
    return np.maximum(counted, 0.5) / max(float(counted.sum()), 1.0)


class ModelCoder:
    """A trained model as a code of mean counts: its dispersion is not stored.

    A compressor has the decoder, and so need not believe the encoder: the latent is moved to where
    the decoded means explain the cell's molecules best (Poisson, as codes are scored; the model's
    own prior counts). NMF's latent is found in the same way.
    """

    def __init__(self, model: TrainedModel):
        self.model = model
        state = model.decoder_state()
        self.weights = {k: v for k, v in state.items() if not k.startswith(DISPERSION)}

    def library(self, data: ModelledCounts) -> Arrays:
        """Collect what `library_arrays` has."""
        return {name: compact(v) for name, v in library_arrays(self.model, data).items()}

    def encode(self, data: ModelledCounts) -> np.ndarray:
        """[cells, n_latent] The encoder's latent, moved to where the decoder wants it."""
        blocks = [block for _, block in data.blocks(n_cells=_BLOCK_CELLS)]
        codes = [self.model.encode(block.cells_of(self.model))[0] for block in blocks]
        step = np.concatenate(codes).std(axis=0) * _REFINE_RATE
        return np.concatenate(
            [self._refine(z, block, step) for z, block in zip(codes, blocks, strict=True)]
        )

    def decode(self, weights: Arrays, library: Arrays, z: np.ndarray) -> np.ndarray:
        """[cells, genes] Means of a decoder that was made of what was stored."""
        read = StoredDecoder(self.model.config, weights, library, means_only=True)
        return read.expected_counts(z, 0, len(z))

    def _refine(self, z: np.ndarray, block: ModelledCounts, step: np.ndarray) -> np.ndarray:
        cells = block.cells_of(self.model)
        counts = cells.counts.dense()
        network = self.model.network.eval()
        prior = 1.0 if self.model.config.prior == "kl" else 0.0
        unit = torch.from_numpy(np.maximum(step, 1e-6))
        # In units of the step, so that one rate serves every dimension.
        moved = (torch.from_numpy(z) / unit).requires_grad_()
        optimizer = torch.optim.Adam([moved], lr=1.0, betas=(0.8, 0.95))
        for i in range(_REFINE_STEPS):
            optimizer.param_groups[0]["lr"] = 1 - 0.9 * i / _REFINE_STEPS
            latent = moved * unit
            parameters = network.decode(latent, cells)
            log_mean = parameters.log_mu + _log_not_zero(parameters.pi_logits)
            loss = (torch.exp(log_mean) - counts * log_mean).sum()
            loss = loss + prior / 2 * (latent**2).sum()
            (moved.grad,) = torch.autograd.grad(loss, [moved])
            optimizer.step()
        return (moved * unit).detach().numpy()


def _log_not_zero(pi_logits: Tensor | None) -> Tensor:
    """Log-probability that a count is no extra zero."""
    return torch.zeros(()) if pi_logits is None else functional.logsigmoid(-pi_logits)


def compact(values: np.ndarray) -> np.ndarray:
    """Whole numbers in the fewest bytes that hold them, others as float16 where that does."""
    whole = np.rint(values)
    if values.size and np.array_equal(whole, values) and values.min() >= 0:
        return whole.astype(np.min_scalar_type(int(values.max())))
    return values.astype(np.float16 if np.abs(values).max(initial=0) < 6e4 else np.float32)


def expand(library: Arrays) -> Arrays:
    """What `compact` stored, as decoders take it: float32, but a batch's number as int64."""
    return {
        name: values.astype(np.int64 if name == "batch" else np.float32)
        for name, values in library.items()
    }


def _shares(values: np.ndarray) -> np.ndarray:
    return values / np.maximum(values.sum(axis=1, keepdims=True), 1e-12)


def _no_convergence_warning() -> warnings.catch_warnings:
    # The iterations are a fixed number, as the time they take is.
    return warnings.catch_warnings(action="ignore", category=ConvergenceWarning)
