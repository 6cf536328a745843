"""A latent that makes the counts shorter than it is itself: how its weights and cells are found.

The likelihood is the negative binomial's with log mean `offset + z . w`; weights and latents are
found in turn by Fisher scoring with normal priors, from the leading residuals on. What is stored
are whole numbers: z in half standard deviations, w in sixteenths of an octave for such a step.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scpress.archive.numpy_reader import T_LOW, T_POISSON

_SIXTEENTH = np.float32(np.log(2) / 16)
# Steps of half a standard deviation cost hardly more than exact latents would.
_STEP = 0.5
_MOST_Z, _MOST_W = 60, 400
_LARGEST_LOG_MEAN = 12.0


@dataclass(frozen=True, eq=False)
class Fit:
    """[genes] shift of b, [genes, n] weights and [cells, n] latents, of standard deviation 1."""

    shift: np.ndarray
    w: np.ndarray
    z: np.ndarray


@dataclass(frozen=True, eq=False)
class Latent:
    """How the latents of any cell are found.

    Attributes
    ----------
    genes, b, theta, w
        Genes with a weight, and their parameters; w is [n, genes].
    values
        Steps that each dimension has a place for, one after the other.
    z
        [cells, n] Latents in steps, where they were given for the whole file.
    """

    genes: np.ndarray
    b: np.ndarray
    theta: np.ndarray
    w: np.ndarray
    values: list[np.ndarray]
    z: np.ndarray | None = None

    def given(self, latent: np.ndarray) -> "Latent":
        """The same with the latents of all cells."""
        return replace(self, z=whole_z(standardized(latent)).astype(np.int8))

    def places(self, block: Any, levels: np.ndarray, first_cell: int) -> np.ndarray:
        """[cells, n] Places of some cells' latents in the tables."""
        out = np.empty((block.shape[0], len(self.w)), np.int64)
        for at in range(0, len(out), 1000):
            here = slice(at, min(at + 1000, len(out)))
            if self.z is not None:
                z = self.z[first_cell + here.start : first_cell + here.stop].astype(np.int64)
            else:
                counts = block[here][:, self.genes].toarray().astype(np.float32)
                z = find_z(counts, log_means(levels[here], self.b), self.theta, self.w)
            for k, values in enumerate(self.values):
                out[here, k] = np.clip(z[:, k], values[0], values[-1]) - values[0]
        return out


def standardized(latent: np.ndarray) -> np.ndarray:
    """[cells, n] Latent of mean 0 and standard deviation 1."""
    latent = np.asarray(latent, np.float32)
    return (latent - latent.mean(axis=0)) / np.maximum(latent.std(axis=0), np.float32(1e-6))


def log_means(levels: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[cells, genes] Natural logs of the means without a latent."""
    return (levels[:, None] + b).astype(np.float32) * _SIXTEENTH


def theta_of(t: np.ndarray) -> np.ndarray:
    """[genes] Inverse dispersion of what is coded as t."""
    theta = 2.0 ** (t.astype(np.float32) + T_LOW)
    theta[t == T_POISSON] = 1e9
    return theta


def fit_latent(
    counts: np.ndarray, offset: np.ndarray, theta: np.ndarray, n_latent: int, *, seed: int
) -> Fit:
    """Fit weights and latents.

    Parameters
    ----------
    counts
        [cells, genes] Counts of the more abundant genes.
    offset
        [cells, genes] Log means without a latent.
    theta
        [genes] Inverse dispersion.
    """
    mu = np.exp(offset)
    residual = np.clip((counts - mu) / np.sqrt(mu + mu * mu / theta), -10, 10)
    z = _leading(residual, n_latent, seed)
    shift, w = np.zeros(counts.shape[1], np.float32), np.zeros((counts.shape[1], n_latent), "f4")
    by_gene = _by_gene(counts, offset, theta)
    for _ in range(2):
        shift, w = _step_weights(by_gene, z, shift, w)
    z = _step_z(counts, offset + shift, theta, w, z)
    shift, w = _step_weights(by_gene, z, shift, w)
    sd = np.maximum(z.std(axis=0), np.float32(1e-6))
    return Fit(shift, w * sd, z / sd)


def fit_given(counts: np.ndarray, offset: np.ndarray, theta: np.ndarray, z: np.ndarray) -> Fit:
    """Fit weights to latents that are there already."""
    shift, w = np.zeros(counts.shape[1], np.float32), np.zeros((counts.shape[1], z.shape[1]), "f4")
    by_gene = _by_gene(counts, offset, theta)
    for _ in range(3):
        shift, w = _step_weights(by_gene, z, shift, w)
    return Fit(shift, w, z)


def find_z(counts: np.ndarray, offset: np.ndarray, theta: np.ndarray, w: np.ndarray) -> np.ndarray:
    """[cells, n] Latents, in steps, of some cells by weights as they are stored."""
    weights = w.T.astype(np.float32) * np.float32(_SIXTEENTH / _STEP)
    z = np.zeros((len(counts), len(w)), np.float32)
    for _ in range(3):
        z = _step_z(counts, offset, theta, weights, z)
    return whole_z(z)


def whole_weights(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """[genes] shift and [n, genes] weights as they are stored."""
    w = np.clip(np.rint(fit.w.T * (_STEP / _SIXTEENTH)), -_MOST_W, _MOST_W).astype(np.int64)
    return np.rint(fit.shift / _SIXTEENTH).astype(np.int64), w


def whole_z(z: np.ndarray) -> np.ndarray:
    """[cells, n] Latents in steps."""
    return np.clip(np.rint(z / _STEP), -_MOST_Z, _MOST_Z).astype(np.int64)


def _leading(residual: np.ndarray, n: int, seed: int) -> np.ndarray:
    """[cells, n] Leading left singular vectors by three rounds of subspace iteration."""
    draw = np.random.default_rng(seed).standard_normal((residual.shape[1], n + 4))
    basis = residual @ draw.astype(residual.dtype)
    for _ in range(3):
        basis, _ = np.linalg.qr(basis)
        basis = residual @ (residual.T @ basis)
    basis, _ = np.linalg.qr(basis)
    left = np.linalg.svd(basis.T @ residual, full_matrices=False)[0]
    return (basis @ left[:, :n]) * np.float32(np.sqrt(len(residual)))


def _by_gene(counts, offset, theta):  # type: ignore[no-untyped-def]
    """The same with a row for each gene."""
    return np.ascontiguousarray(counts.T), np.ascontiguousarray(offset.T), theta[:, None]


def _step_weights(by_gene, z, shift, w):  # type: ignore[no-untyped-def]
    """One step of every gene's shift, with hardly a prior, and weights, of variance 1."""
    design = np.concatenate([np.ones((len(z), 1), z.dtype), z], axis=1)
    now = np.concatenate([shift[:, None], w], axis=1)
    prior = np.array([1e-3] + [1.0] * w.shape[1], z.dtype)
    counts, offset, theta = by_gene
    now = _step(counts, offset, theta, design, now, prior, 1.0)
    return now[:, 0], now[:, 1:]


def _step_z(counts, offset, theta, w, z):  # type: ignore[no-untyped-def]
    """One step of every cell's latent, of variance 1."""
    return _step(counts, offset, theta[None], w, z, np.ones(w.shape[1], w.dtype), 2.0)


# Numbers of a block of rows, of which the few arrays that a step needs stay in a core's cache.
_BLOCK_NUMBERS = 1 << 16


def _step(counts, offset, theta, design, now, prior, largest):  # type: ignore[no-untyped-def]
    """One step of Fisher scoring: each row's coefficients [rows, n] of a design [columns, n]."""
    n = design.shape[1]
    one, other = np.triu_indices(n)
    pairs = design[:, one] * design[:, other]
    over = np.broadcast_to(1 / theta, counts.shape)
    out = np.empty(now.shape, design.dtype)
    rows = max(1, _BLOCK_NUMBERS // max(1, len(design)))
    for at in range(0, len(counts), rows):
        here = slice(at, at + rows)
        mu = now[here] @ design.T
        mu += offset[here]
        np.exp(np.clip(mu, -30, _LARGEST_LOG_MEAN, out=mu), out=mu)
        down = mu * over[here]
        down += 1
        np.reciprocal(down, out=down)
        rest = counts[here] - mu
        rest *= down
        slope = rest @ design - now[here] * prior
        mu *= down
        information = np.empty((len(slope), n, n))
        information[:, one, other] = information[:, other, one] = mu @ pairs
        information[:, range(n), range(n)] += prior
        step = np.linalg.solve(information, slope[:, :, None])[:, :, 0]
        out[here] = now[here] + np.clip(step, -largest, largest)
    return out
