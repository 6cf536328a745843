"""Which parameters make a file's counts short: found in floats once, stored as whole numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from scpress.archive.costs import THETA_BITS, Costs, sparse_bits
from scpress.archive.latents import Latent
from scpress.archive.numbers import (
    frequencies,
    pack_numbers,
    pack_table,
    write_signed,
    write_varint,
)
from scpress.archive.numpy_reader import ABSENT, T_LOW, T_POISSON, Parameters, order_of
from scpress.archive.rungs import choose_latent
from scpress.archive.survey import ReadBlocks, Seen, direct_from, look, rare_table, shares_of

_OCTAVE = 16


@dataclass(frozen=True, eq=False)
class Fitted:
    """Parameters of a file.

    Attributes
    ----------
    packed
        As `numpy_reader.Parameters` reads them.
    latent
        How the latents of cells are found; None where there are none.
    story
        What was tried and what it costs in bytes.
    """

    packed: bytes
    latent: Latent | None
    story: dict[str, Any]


def fit_parameters(
    read_blocks: ReadBlocks, shape: tuple[int, int], *, latent: np.ndarray | None, seed: int
) -> Fitted:
    """Fit all parameters in one pass over the counts."""
    n_obs, n_vars = shape
    seen = look(read_blocks, n_obs, n_vars)
    b = shares_of(seen.totals)
    w = np.zeros((0, n_vars), np.int64)
    tables, found, story = [seen.level_table], None, {}
    t = np.zeros(n_vars, np.int64)
    if seen.totals.any():
        costs = Costs(b, seen.level_table[0], reach=160)
        t, rungs = _thetas(seen, b, costs)
        chosen = min(rungs, key=lambda name: rungs[name])
        choice = choose_latent(seen, b, t, latent, costs, seed)
        saved = choice.saved if choice is not None else {}
        nb = rungs["negative binomial"]
        rungs |= {name: nb - bits for name, bits in saved.items()}
        if choice is not None and choice.chosen:
            chosen = choice.chosen
            b, t, w, found = choice.b, choice.t, choice.w, choice.latent
            tables += choice.tables
        sizes = {name: round(bits / 8) for name, bits in rungs.items()}
        story = {"rungs": sizes, "chosen": chosen, "why": "fewest bytes in all, by a sample"}
    direct_b = direct_from(seen.level_table)
    # Which genes are rare is known from all but the table of how much higher their level is.
    nothing = np.zeros(1, np.int64), frequencies(np.ones(1, np.int64))
    packed = pack_parameters(b, t, w, direct_b, [tables[0], nothing, *tables[1:]])
    more = rare_table(seen, Parameters(packed, n_vars))
    packed = pack_parameters(b, t, w, direct_b, [tables[0], more, *tables[1:]])
    return Fitted(packed, found, story)


# theta -------------------------------------------------------------------------------------------

_REACH = 2  # thetas tried on each side of the moments'


def _thetas(seen: Seen, b: np.ndarray, costs: Costs) -> tuple[np.ndarray, dict[str, float]]:
    """[genes] Thetas by the bits of the tables that will be used; bits of all cells by rung."""
    first = _theta_by_moments(seen, b)
    tried = np.clip(first[:, None] + np.arange(-_REACH, _REACH + 1), 0, T_POISSON)
    tried = np.concatenate([tried, np.full((len(b), 1), T_POISSON)], axis=1)
    level_values, level_counts = np.unique(seen.levels, return_counts=True)
    bits = np.zeros(tried.shape)
    by_gene = seen.sample.tocsc()
    sparse_bits(
        by_gene.indptr.astype(np.int64), by_gene.indices, by_gene.data, seen.levels,
        level_values, level_counts, b, tried, costs.arrays, bits,
    )  # fmt: skip
    scale = seen.n_obs / len(seen.cells)
    bits *= scale
    best = np.take_along_axis(tried, bits.argmin(axis=1)[:, None], axis=1)[:, 0]
    least = bits.min(axis=1)
    present = np.flatnonzero(b > ABSENT)
    own = 0
    for octave in np.unique(b[present] >> 4):
        genes = present[b[present] >> 4 == octave]
        usual = np.bincount(best[genes]).argmax()
        of_usual = np.where(tried[genes] == usual, bits[genes], np.inf).min(axis=1)
        keeps = least[genes] + THETA_BITS < of_usual
        # Where the usual one was not among those tried, its bits are not known.
        keeps |= np.isinf(of_usual)
        own += int(keeps.sum())
        best[genes[~keeps]] = usual
        least[genes[~keeps]] = of_usual[~keeps]
    best[b == ABSENT] = 0
    poisson, nb = float(bits[:, -1].sum()), float(least.sum()) + own * THETA_BITS
    if poisson <= nb:
        best = np.where(b > ABSENT, T_POISSON, 0)
    return best, {"poisson": poisson, "negative binomial": min(nb, poisson)}


def _theta_by_moments(seen: Seen, b: np.ndarray) -> np.ndarray:
    sample, share = seen.sample, 2.0 ** (seen.levels / _OCTAVE)
    values = sample.data.astype(np.float64)
    totals = np.bincount(sample.indices, values, minlength=sample.shape[1])
    squares = np.bincount(sample.indices, values * values, minlength=sample.shape[1])
    of_mean = totals**2 * float((share**2).sum() / share.sum() ** 2)
    over = squares - totals - of_mean
    with np.errstate(divide="ignore", invalid="ignore"):
        theta = np.nan_to_num(np.log2(of_mean / over), posinf=99, neginf=-99)
    t = np.where(over > 0, np.rint(theta) - T_LOW, T_POISSON)
    return np.where(b > ABSENT, np.clip(t, 0, T_POISSON), 0).astype(np.int64)


# bytes -------------------------------------------------------------------------------------------


def pack_parameters(b, t, w, direct_b, tables) -> bytes:  # type: ignore[no-untyped-def]
    """Write what `numpy_reader.Parameters` reads, which says what each is."""
    out = [write_varint(len(w)), write_signed(direct_b), pack_numbers(b)]
    order = order_of(b)
    # Theta follows the mean: a gene says how it differs from the others of its octave.
    octave, usual = _usual_thetas(b[order], t[order])
    out += [pack_numbers(usual), pack_numbers(t[order] - usual[octave])]
    n_weighted = 1 + int(max(np.flatnonzero(w[:, order].any(axis=0)), default=-1))
    out.append(write_varint(n_weighted))
    out += [pack_numbers(row[order][:n_weighted]) for row in w]
    out += [pack_table(*table) for table in tables]
    return b"".join(out)


def _usual_thetas(b: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Octave of each gene, counted from the first, and the most frequent theta of each octave."""
    if not len(b):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    octave = (b[0] >> 4) - (b >> 4)
    usual = np.zeros(octave[-1] + 1, np.int64)
    for one in np.unique(octave):
        usual[one] = np.bincount(t[octave == one]).argmax()
    return octave, usual
