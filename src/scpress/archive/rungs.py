"""Which latent, if any, makes the counts of a file shorter than it is itself."""

from dataclasses import dataclass

import numpy as np

from scpress.archive.costs import THETA_BITS, Costs, dense_bits
from scpress.archive.latents import (
    Latent,
    find_z,
    fit_given,
    fit_latent,
    log_means,
    standardized,
    theta_of,
    whole_weights,
    whole_z,
)
from scpress.archive.numbers import frequencies
from scpress.archive.numpy_reader import T_POISSON
from scpress.archive.survey import Seen

# Of the cells and genes that a latent is fitted on, cells that it is judged on beside them: few to
# find out how many dimensions pay, and more once that is known.
_FEW, _MANY = (300, 100, 800), (900, 300, 2500)
_LATENTS = (2, 4, 8, 16)
_GIVEN = "latent of the model"
_FEWEST_MOLECULES, _FEWEST_CELLS = 30, 20
_THETAS_UP = 5


@dataclass(frozen=True, eq=False)
class Choice:
    """What pays most: its name, or "" for nothing; bits saved by all that was tried."""

    chosen: str
    saved: dict[str, float]
    b: np.ndarray
    t: np.ndarray
    w: np.ndarray
    latent: Latent | None
    tables: list[tuple[np.ndarray, np.ndarray]]


def choose_latent(  # type: ignore[no-untyped-def]
    seen: Seen, b, t, given: np.ndarray | None, costs: Costs, seed: int
) -> Choice | None:
    """The latent with the fewest bits in all, its own and its weights' counted."""
    genes = np.argsort(-seen.totals, kind="stable")
    genes = genes[seen.totals[genes] >= _FEWEST_MOLECULES]
    if len(genes) < 2 or len(seen.cells) < _FEWEST_CELLS:
        return None
    few = _Part.of(seen, genes, _FEW, b, t, given)
    tried: dict[str, tuple[int, float]] = {}
    best = 0.0
    for n_latent in _LATENTS:
        if n_latent >= min(len(few.fitted), len(few.genes)):
            break
        saved = _try_latent(few, n_latent, costs, seed=seed).saved
        tried[f"latent of {n_latent}"] = n_latent, saved
        if saved < best:
            break
        best = saved
    if tried and best == next(iter(tried.values()))[1]:
        tried["latent of 1"] = 1, _try_latent(few, 1, costs, seed=seed).saved
    if given is not None:
        tried[_GIVEN] = 0, _try_latent(few, 0, costs, seed=seed).saved
    saved_by = {name: saved for name, (_, saved) in tried.items()}
    chosen = max(saved_by, key=lambda name: saved_by[name], default="")
    nothing = Choice("", saved_by, b, t, np.zeros((0, len(b)), np.int64), None, [])
    if not chosen or saved_by[chosen] <= 0:
        return nothing
    many = _Part.of(seen, genes, _MANY, b, t, given)
    final = _try_latent(many, tried[chosen][0], costs, seed=seed)
    saved_by[chosen] = final.saved
    if final.saved <= 0:
        return nothing
    b, t, w = b.copy(), t.copy(), np.zeros((len(final.w), len(b)), np.int64)
    kept = many.genes[final.kept]
    b[kept], t[kept], w[:, kept] = final.b[final.kept], final.t[final.kept], final.w[:, final.kept]
    values, table = [], []
    for column in final.z.T:
        # All steps in between, and a little beyond: cells that were not seen have them, too.
        low, high = int(column.min()) - 2, int(column.max()) + 2
        values.append(np.arange(low, high + 1))
        table.append((values[-1], frequencies(np.bincount(column - low, minlength=high - low + 1))))
    latent = Latent(kept, b[kept], theta_of(t[kept]), w[:, kept], values)
    if chosen == _GIVEN:
        assert given is not None
        latent = latent.given(given)
    return Choice(chosen, saved_by, b, t, w, latent, table)


@dataclass(frozen=True, eq=False)
class _Part:
    """The cells and genes that a latent is fitted and judged on."""

    counts: np.ndarray
    genes: np.ndarray
    levels: np.ndarray
    b: np.ndarray
    t: np.ndarray
    z: np.ndarray | None
    fitted: np.ndarray
    judged: np.ndarray
    n_obs: int

    @classmethod
    def of(cls, seen: Seen, genes, sizes, b, t, given) -> "_Part":  # type: ignore[no-untyped-def]
        """Evenly spaced cells of the sample and the most abundant genes."""
        n_fitted, n_judged, n_genes = sizes
        rows = np.arange(0, len(seen.cells), max(1, len(seen.cells) // (n_fitted + n_judged)))
        genes = np.sort(genes[:n_genes])
        fitted = judged = np.arange(len(rows))
        if len(rows) < seen.n_obs:
            judged = np.arange(0, len(rows), 4)
            fitted = np.setdiff1d(fitted, judged)
        counts = seen.sample[rows][:, genes].toarray().astype(np.float32)
        z = None if given is None else standardized(given)[seen.cells[rows]]
        return cls(
            counts, genes, seen.levels[rows], b[genes], t[genes], z, fitted, judged, seen.n_obs
        )


@dataclass(frozen=True, eq=False)
class _Tried:
    saved: float
    b: np.ndarray
    t: np.ndarray
    w: np.ndarray
    z: np.ndarray
    kept: np.ndarray


def _try_latent(part: _Part, n_latent: int, costs: Costs, *, seed: int) -> _Tried:
    """A latent of this size, its genes chosen by what they save; 0 is the one that was given."""
    fitted, judged, theta = part.fitted, part.judged, theta_of(part.t)
    offset = log_means(part.levels[fitted], part.b)
    if n_latent:
        fit = fit_latent(part.counts[fitted], offset, theta, n_latent, seed=seed)
    else:
        assert part.z is not None
        fit = fit_given(part.counts[fitted], offset, theta, part.z[fitted])
    shift, w = whole_weights(fit)
    b = np.where(w.any(axis=0), part.b + shift, part.b)
    if n_latent:
        z = find_z(part.counts[judged], log_means(part.levels[judged], b), theta, w)
    else:
        assert part.z is not None
        z = whole_z(part.z[judged])
    scale = part.n_obs / len(judged)
    without, bits = np.zeros((len(b), 1)), np.zeros((len(b), _THETAS_UP))
    data = part.counts[judged], part.levels[judged]
    dense_bits(*data, part.b, part.t, w[:0], z, costs.arrays, without)
    dense_bits(*data, b, part.t, w, z, costs.arrays, bits)
    bits[:, 1:] += THETA_BITS / scale
    t = np.minimum(part.t + bits.argmin(axis=1), T_POISSON)
    weight_bits = np.zeros(len(b))
    for row in w:
        _, inverse, n = np.unique(row, return_inverse=True, return_counts=True)
        weight_bits += -np.log2(n / len(row))[inverse]
    gain = scale * (without[:, 0] - bits.min(axis=1)) - weight_bits
    kept = (gain > 0) & w.any(axis=0)
    z_bits = sum(_entropy(column) for column in z.T) * part.n_obs
    return _Tried(float(gain[kept].sum() - z_bits), b, t, w, z, kept)


def _entropy(values: np.ndarray) -> float:
    """Bits of one of the values, coded by how often each occurs."""
    _, n = np.unique(values, return_counts=True)
    return float(-(n / n.sum() * np.log2(n / n.sum())).sum())
