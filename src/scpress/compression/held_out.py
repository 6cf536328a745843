"""What lossy codes keep of molecules that were in nobody's hands, at the bytes of their files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from scpress.compression.coders import (
    Coder,
    GeneMeanCoder,
    ModelCoder,
    expand,
    fit_nmf,
    fit_pca_coders,
    totals,
)
from scpress.compression.codes import StoredArrays, pack_latent, store_arrays, unpack_latent
from scpress.compression.distortion import poisson_deviance
from scpress.compression.weights import pack_weights, unpack_weights
from scpress.counts.digests import digest_of
from scpress.counts.matrix import select_columns
from scpress.counts.thinning import split_counts
from scpress.model.baselines import FLOOR
from scpress.model.fitted import TrainedModel
from scpress.model.likelihoods import LIKELIHOODS
from scpress.model.modelled import ModelledCounts
from scpress.tables.compression import GENE_MEAN, NMF, PCA, LossyCode

# What the latent and the weights are stored as. Latents bear fewer bits than weights.
VARIANTS = (
    ("float32", "float32"),
    ("float16", "float16"),
    ("int8", "int8"),
    ("int6", "int6"),
    ("int4", "int8"),
    ("int4", "int6"),
    ("int4", "int4"),
)
# Part of the molecules of a held-out cell that is coded: so many that its latent is nearly that of
# the whole cell, so few that the rest measures.
SEEN_FRACTION = 0.8
_BLOCK_CELLS = 500
# Training cells that NMF, which takes longest, is fitted to at most.
_MAX_NMF_CELLS = 5000
# Above every theta of real genes: molecules are divided independently of each other.
_POISSON = 1e8


@dataclass(frozen=True)
class DividedCells:
    """Cells that are coded, of which the first were held out and are coded by a part of themselves.

    Attributes
    ----------
    coded
        [cells] The held-out cells with the seen part of their molecules, then others.
    unseen
        [held-out cells, genes] The other part.
    share
        [genes] Of the molecules of the training cells.
    n_obs
        Cells over which the bytes of what all cells share are divided.
    """

    coded: ModelledCounts
    unseen: sparse.csr_matrix
    share: np.ndarray
    n_obs: int

    @property
    def digest(self) -> str:
        """Scores on the same molecules, and only those, can be compared."""
        X = self.unseen
        return digest_of(*(part.astype(np.int64) for part in (X.data, X.indices, X.indptr)))


def divide_cells(
    data: ModelledCounts,
    held_out: np.ndarray,
    held_out_counts: sparse.csr_matrix,
    columns: np.ndarray,
    *,
    others: np.ndarray,
    share: np.ndarray,
    seed: int = 0,
) -> DividedCells:
    """Divide the molecules of held-out cells into a part that is coded and one that is predicted.

    Molecules go to either part independently of each other. Given what a cell expresses, counts are
    Poisson and the parts independent: a code is rewarded for the cell's expression and for none of
    the chance in which molecules were caught (Batson 2019, Neufeld 2024).

    Parameters
    ----------
    data
        The modelled genes of all cells.
    held_out, others
        Cells of `data` that no code was fitted to, and more that are stored.
    held_out_counts
        [held-out cells, genes] Counts of all genes: size factors are of the seen part, too.
    columns
        [modelled genes] Their columns.
    """
    theta = np.full(held_out_counts.shape[1], _POISSON)
    rng = np.random.default_rng(seed)
    seen, unseen = split_counts(held_out_counts, theta, fraction=SEEN_FRACTION, rng=rng)
    first, rest = data.take(held_out), data.take(others)
    library = np.maximum(np.asarray(held_out_counts.sum(axis=1)).ravel(), 1)
    part = np.maximum(np.asarray(seen.sum(axis=1)).ravel(), 1) / library
    X = sparse.vstack([select_columns(seen, columns), rest.X], format="csr")
    coded = ModelledCounts(
        X.astype(np.int32),
        np.concatenate([first.size_factor * part, rest.size_factor]),
        _joined(first.batch, rest.batch),
        _joined(first.continuous, rest.continuous),
    )
    return DividedCells(coded, select_columns(unseen, columns), share, len(data))


class HeldOutBench:
    """The ruler of lossy codes: each is stored, read back, decoded and scored.

    Parameters
    ----------
    folder
        Where files are written, one at a time.
    """

    def __init__(self, cells: DividedCells, folder: Path):
        self.cells = cells
        self.folder = folder
        n_scored = cells.unseen.shape[0]
        self.total = totals(cells.coded)[:n_scored]
        # What no code may go below, a twentieth of a molecule in all training cells: one molecule
        # of a gene that a code says is nowhere would cost it everything.
        self.floor = FLOOR * float(cells.share.min())
        gene_mean = GeneMeanCoder(cells.share)
        none = np.zeros((n_scored, 0), dtype=np.float32)
        self.gene_mean_deviance = self._deviance(
            gene_mean, gene_mean.weights, {"total": self.total}, none
        )

    def measure(self, coder: Coder, *, code: str) -> Iterator[LossyCode]:
        """Give one row for each way to store a code."""
        z = coder.encode(self.cells.coded)
        library = self._store(coder.library(self.cells.coded))
        latents: dict[str, StoredArrays] = {}
        weights: dict[str, StoredArrays] = {}
        for precision, of_weights in VARIANTS if z.shape[1] else VARIANTS[:2]:
            if precision not in latents:
                latents[precision] = self._store(pack_latent(z, precision))
            if of_weights not in weights:
                weights[of_weights] = self._store(pack_weights(coder.weights, of_weights))
            latent, shared = latents[precision], weights[of_weights]
            per_cell = latent.n_bytes * bool(z.shape[1]) + library.n_bytes
            cell_bytes = per_cell / len(self.cells.coded)
            deviance = self._deviance(
                coder,
                unpack_weights(shared.arrays),
                expand(library.arrays),
                unpack_latent(latent.arrays),
            )
            yield LossyCode(
                code=code,
                n_latent=z.shape[1],
                precision=precision,
                weights_precision=of_weights,
                shared_bytes=shared.n_bytes,
                cell_bytes=cell_bytes,
                bytes_per_cell=shared.n_bytes / self.cells.n_obs + cell_bytes,
                unseen_deviance_explained=1 - deviance / max(self.gene_mean_deviance, 1e-12),
            )

    def _store(self, arrays: dict[str, np.ndarray]) -> StoredArrays:
        return store_arrays(arrays, self.folder / "part.npz")

    def _deviance(self, coder: Coder, weights: dict, library: dict, z: np.ndarray) -> float:
        """Poisson deviance of the unseen molecules, nats, as decoded from the seen ones."""
        unseen, scored = self.cells.unseen, self.cells.unseen.shape[0]
        ratio = (1 - SEEN_FRACTION) / SEEN_FRACTION
        total = 0.0
        for start in range(0, scored, _BLOCK_CELLS):
            rows = slice(start, min(start + _BLOCK_CELLS, scored))
            part = {name: values[rows] for name, values in library.items()}
            mu = coder.decode(weights, part, z[rows])
            mu = np.maximum(mu, self.floor * self.total[rows, None])
            total += poisson_deviance(unseen[rows], mu * ratio)
        return total


def measure_model(bench: HeldOutBench, model: TrainedModel, *, name: str) -> Iterator[LossyCode]:
    """Codes of a model; none of one of log-values, whose mean is none of counts: it is a PCA."""
    if LIKELIHOODS[model.config.likelihood].on_counts:
        yield from bench.measure(ModelCoder(model), code=name)


def measure_rivals(
    bench: HeldOutBench,
    training: ModelledCounts,
    *,
    pca_ranks: Sequence[int],
    nmf_ranks: Sequence[int],
) -> Iterator[LossyCode]:
    """Codes of gene means, PCA and NMF, fitted to training cells; too high ranks are left out."""
    share = bench.cells.share
    yield from bench.measure(GeneMeanCoder(share), code=GENE_MEAN)
    n_obs, n_vars = training.X.shape
    ranks = sorted({rank for rank in pca_ranks if rank <= min(n_vars, n_obs - 1)})
    for pca in fit_pca_coders(training, ranks) if ranks else ():
        yield from bench.measure(pca, code=PCA)
    some = training.X[: min(n_obs, _MAX_NMF_CELLS)]
    for rank in sorted({rank for rank in nmf_ranks if rank <= min(some.shape)}):
        yield from bench.measure(fit_nmf(some, share, rank), code=NMF)


def _joined(first: np.ndarray | None, rest: np.ndarray | None) -> np.ndarray | None:
    return None if first is None or rest is None else np.concatenate([first, rest])
