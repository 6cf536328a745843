"""What one pass over the counts of a file tells: totals of all cells, and some cells whole."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scpress.archive.numbers import frequencies
from scpress.archive.numpy_reader import (
    ABSENT,
    E_LOW,
    E_MAX,
    RARE_SHIFT,
    Parameters,
    rare_level_of,
)

ReadBlocks = Callable[[], Iterator[sparse.csr_matrix]]
_OCTAVE = 16
# Cells that all but the totals is found on, and the nonzeros they may have.
_SAMPLE_CELLS, _SAMPLE_NONZEROS = 8000, 2**22
# b is stored in steps of so many standard deviations of the log mean: coarser ones cost more than
# they save from 3.5 on (2 sqrt(3), where the loss in bits grows as fast as the steps save them).
_STEP_SDS = 3.0
# Genes with a count in more cells than this are coded cell by cell, which is quicker there.
_DIRECT_NONZERO = 0.3


def level_of(library: np.ndarray) -> np.ndarray:
    """[cells] Log2 library sizes in sixteenths."""
    return np.rint(_OCTAVE * np.log2(np.maximum(library, 1.0))).astype(np.int64)


def library_of(block: sparse.csr_matrix) -> np.ndarray:
    """[cells] Molecules of each cell."""
    return np.asarray(block.sum(axis=1, dtype=np.float64)).ravel()


@dataclass(frozen=True, eq=False)
class Seen:
    """Totals of all cells, and some cells.

    Attributes
    ----------
    totals
        [genes] Sum of the counts of all cells.
    level_table
        Levels of all cells and their frequencies.
    sample, cells, levels
        [cells, genes] Evenly spaced cells; which ones they are, and their levels.
    """

    n_obs: int
    totals: np.ndarray
    level_table: tuple[np.ndarray, np.ndarray]
    sample: sparse.csr_matrix
    cells: np.ndarray
    levels: np.ndarray


def look(read_blocks: ReadBlocks, n_obs: int, n_vars: int) -> Seen:
    """Walk over all counts once."""
    totals = np.zeros(n_vars)
    levels: list[np.ndarray] = []
    sample: list[sparse.csr_matrix] = []
    step = max(1, -(-n_obs // _SAMPLE_CELLS))
    at = 0
    for block in read_blocks():
        levels.append(level_of(library_of(block)).astype(np.int16))
        totals += np.bincount(block.indices, block.data, minlength=n_vars)
        sample.append(block[np.arange(-at % step, block.shape[0], step)])
        at += block.shape[0]
        # Very wide cells: every other one of the sample is enough.
        if sum(part.nnz for part in sample) > _SAMPLE_NONZEROS and step < n_obs:
            step *= 2
            whole = sparse.vstack(sample, format="csr")
            sample = [whole[::2]]
    found = np.concatenate([*levels, np.empty(0, np.int16)]).astype(np.int64)
    values, counts = np.unique(found, return_counts=True)
    if not n_obs:
        values, counts = np.zeros(1, np.int64), np.ones(1, np.int64)
    cells = np.arange(0, at, step)
    whole = sparse.vstack(sample, format="csr") if sample else sparse.csr_matrix((0, n_vars))
    return Seen(n_obs, totals, (values, frequencies(counts)), whole, cells, found[cells])


def shares_of(totals: np.ndarray) -> np.ndarray:
    """[genes] Log2 share of each gene in sixteenths, in steps as coarse as its molecules allow."""
    b = np.full(len(totals), ABSENT, np.int64)
    present = totals > 0
    if present.any():
        exact = _OCTAVE * np.log2(totals[present] / totals.sum())
        sd = _OCTAVE / (np.log(2) * np.sqrt(totals[present]))
        step = 2.0 ** np.clip(np.rint(np.log2(_STEP_SDS * sd)), 0, 5)
        b[present] = np.clip(np.rint(exact / step) * step, E_LOW, E_MAX)
    return b


def direct_from(level_table: tuple[np.ndarray, np.ndarray]) -> int:
    """Share from which on walking cell by cell is quicker than searching for the next count."""
    values, starts = level_table
    median = int(values[np.searchsorted(starts, starts[-1] // 2, side="right") - 1])
    return int(np.rint(_OCTAVE * np.log2(-np.log1p(-_DIRECT_NONZERO)))) - median


# Molecules of rare genes that a cell is taken to have as expected, beside those it has.
_RARE_PRIOR = 16.0


def rare_steps(block: sparse.csr_matrix, levels: np.ndarray, parameters: Parameters) -> np.ndarray:
    """[cells] Steps by which the level of rare genes is above that of the cell."""
    found, expected = _rare_molecules(block, levels, parameters)
    up = _OCTAVE * np.log2((found + _RARE_PRIOR) / (expected + _RARE_PRIOR))
    step = 1 << RARE_SHIFT
    zero = rare_level_of(levels, np.zeros_like(levels))
    return (
        np.floor((levels + up) / step + 0.5).astype(np.int64) << RARE_SHIFT
    ) - zero >> RARE_SHIFT


def _rare_molecules(block, levels, parameters):  # type: ignore[no-untyped-def]
    """[cells] both: those found, and those expected by the cell's level."""
    share = np.zeros(block.shape[1])
    share[parameters.rare] = 2.0 ** (parameters.b[parameters.rare] / _OCTAVE)
    found = np.asarray(block @ (share > 0).astype(np.float64)).ravel()
    return found, share.sum() * 2.0 ** (levels / _OCTAVE)


def rare_table(seen: Seen, parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Steps that cells have and their frequencies; none but 0 where they do not pay."""
    steps = np.clip(rare_steps(seen.sample, seen.levels, parameters), -20, 20)
    found, expected = _rare_molecules(seen.sample, seen.levels, parameters)
    zero = rare_level_of(seen.levels, np.zeros_like(steps))
    # Bits that a Poisson count of all rare molecules is shorter by.
    with_it = expected * 2.0 ** ((rare_level_of(seen.levels, steps) - seen.levels) / _OCTAVE)
    without = expected * 2.0 ** ((zero - seen.levels) / _OCTAVE)
    safe = np.maximum(without, 1e-300)
    saved = found * np.log2(np.maximum(with_it, 1e-300) / safe) - (with_it - without) / np.log(2)
    values, counts = np.unique(steps, return_counts=True)
    cost = -(counts * np.log2(counts / max(counts.sum(), 1))).sum() + 16 * len(values)
    if saved.sum() <= cost:
        return np.zeros(1, np.int64), frequencies(np.ones(1, np.int64))
    low, high = max(int(values[0]) - 1, -20), min(int(values[-1]) + 1, 20)
    between = np.arange(low, high + 1)
    return between, frequencies(np.bincount(steps - low, minlength=len(between)))
