"""How values that are fractions of counts, or whole but for noise, become counts."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from scipy import sparse

from scpress.counts.raw import RawCounts, is_noise
from scpress.errors import InputError

_Round = Callable[[np.ndarray], np.ndarray]
# How options.rounding is called where it was not chosen: to the nearest, noise alone.
_NOISE_ALONE = "noise"


def round_fractions(raw: RawCounts, method: str, seed: int) -> RawCounts:
    """The same sample with counts for fractions; reads them once to say how much that changes.

    Parameters
    ----------
    method
        "nearest" (halves to the even number), or "stochastic": up with the probability that the
        fraction is, so that every expected sum stays what it was.
    seed
        Of the stochastic rounding, which depends on the values by cell and gene alone, not on the
        format of the file or the size of blocks.
    """

    def read_blocks(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        round_values = _rounder(method, seed)
        for block in raw.read_blocks(max_bytes):
            yield _rounded(block, round_values)

    n_values = n_fractions = 0
    before = after = largest = 0.0
    round_values = _rounder(method, seed)
    for block in raw.chunks():
        if block.dtype.kind != "f":
            continue
        block = _canonical(block)
        values = block.data
        new = round_values(values)
        with np.errstate(invalid="ignore"):
            off = np.abs(values - new)
        n_values += len(values)
        n_fractions += int((off > 0).sum())
        before, after = before + values.sum(dtype=np.float64), after + new.sum(dtype=np.float64)
        largest = max(largest, float(off.max(initial=0)))
    record = {
        "method": method,
        "seed": seed,
        "n_values": n_values,
        "n_fractions": n_fractions,
        "molecules_before": float(before),
        "molecules_after": float(after),
    }
    return replace(
        raw,
        read_blocks=read_blocks,
        rounding=record,
        messages=[*raw.messages, _tell(method, n_values, n_fractions, largest, before, after)],
    )


def round_noise(raw: RawCounts, sample: str) -> RawCounts:
    """The same sample where every value is whole but for the noise of floats.

    Raises
    ------
    InputError
        All values are so small that nothing is left of them.
    """
    rounded = round_fractions(raw, _NOISE_ALONE, 0)
    assert rounded.rounding is not None
    if rounded.rounding["molecules_after"] == 0 < rounded.rounding["molecules_before"]:
        raise InputError(
            f"counts must be non-negative integers; no value of sample {sample!r} is above 0.001. "
            "A normalized matrix was given? Point `layer` at the raw counts."
        )
    return rounded


def _tell(
    method: str, n_values: int, n_fractions: int, largest: float, before: float, after: float
) -> str:
    if method == _NOISE_ALONE:
        return (
            f"{n_fractions} of {n_values} values are whole but for noise of at most {largest:.2g} "
            f"and were rounded: {before:.10g} molecules became {after:.0f}"
        )
    if not n_fractions:
        return f"`rounding` {method} changed nothing: all values are whole numbers"
    return (
        f"{n_fractions} of {n_values} values are fractions and were rounded ({method}): "
        f"{before:.10g} molecules became {after:.0f}"
    )


def _rounder(method: str, seed: int) -> _Round:
    rng = np.random.default_rng(seed)

    def round_values(values: np.ndarray) -> np.ndarray:
        if method == "stochastic":
            new = np.floor(values + rng.random(len(values)))
        else:
            new = np.rint(values)
        # What is no count by more than noise is not made one: whoever checks the values names it.
        is_kept = (values < 0) | (method == _NOISE_ALONE)
        with np.errstate(invalid="ignore"):
            return np.where(is_kept & ~is_noise(values), values, np.maximum(new, 0))

    return round_values


def _rounded(block: sparse.csr_matrix, round_values: _Round) -> sparse.csr_matrix:
    if block.dtype.kind != "f":
        return block
    block = _canonical(block)
    return sparse.csr_matrix((round_values(block.data), block.indices, block.indptr), block.shape)


def _canonical(block: sparse.csr_matrix) -> sparse.csr_matrix:
    """A copy in float64 with one value a place, in the order of genes, and without zeros."""
    block = sparse.csr_matrix(block, dtype=np.float64, copy=True)
    block.sum_duplicates()
    block.eliminate_zeros()
    return block
