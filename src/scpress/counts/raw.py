"""What a reader of raw files gives, and which values are counts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from scpress import settings
from scpress.counts.matrix import iter_chunks, kept_columns, remap_columns
from scpress.errors import InputError

# What floats leave of a whole number: of decimals and logarithms there and back.
_NOISE, _RELATIVE_NOISE = 1e-3, 1e-6
# Counts are stored as int32. A power of two is itself in every type, where 2^31 - 1 as float32 is
# 2^31 and lets that through.
_TOO_LARGE = 2**31


class NoisyCountsError(InputError):
    """A value that is a count but for the noise of floats (`is_noise`)."""


@dataclass
class RawCounts:
    """One sample as a file holds it, with the counts still to be read.

    Parameters
    ----------
    obs
        [cells] Barcodes as index, and the file's own columns.
    var
        [genes] The file's own names as index, and its columns.
    read_blocks
        Starts reading: CSR blocks of some rows each, in order, of at most the given bytes.
    obsm
        Arrays of [cells, any].
    messages
        What the user should be told about the file.
    places
        Where else in the file a matrix is, named when this one does not hold counts.
    source
        Name of the file or folder, and its format.
    read_columns
        The same of the transposed matrix, where the file holds columns together.
    rounding
        How values that were no whole numbers were rounded, where they were.
    """

    obs: pd.DataFrame
    var: pd.DataFrame
    read_blocks: Callable[[int], Iterator[sparse.csr_matrix]]
    obsm: dict[str, Any] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    places: tuple[str, ...] = ()
    source: str = "memory"
    read_columns: Callable[[int], Iterator[sparse.csr_matrix]] | None = None
    rounding: dict[str, Any] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(cells, genes)."""
        return len(self.obs), len(self.var)

    def chunks(self, max_bytes: int | None = None) -> Iterator[sparse.csr_matrix]:
        """Read the counts in blocks of rows; may be called again."""
        return self.read_blocks(settings.chunk_bytes if max_bytes is None else max_bytes)


def require_counts(
    values: np.ndarray,
    *,
    sample: str,
    columns: np.ndarray | None = None,
    genes: Sequence[str] | None = None,
    places: Sequence[str] = (),
) -> None:
    """Check that every stored value is a non-negative whole number that fits in int32.

    Parameters
    ----------
    values
        [nonzeros] Stored values of any type.
    columns, genes
        [nonzeros] Column of each value, and [genes] the names of the columns, for the message.
    places
        Other places of the file where the counts may be, for the message.

    Raises
    ------
    InputError
        The first value that is not a count, with its gene.
    """
    kind = values.dtype.kind
    if kind not in "biuf":
        raise InputError(
            f"counts must be non-negative integers; sample {sample!r} holds values of type "
            f"{values.dtype}. Give a matrix of numbers."
        )
    if kind == "b" or not len(values):
        return
    with np.errstate(invalid="ignore"):
        if kind == "f":
            bad = ~(np.isfinite(values) & (values >= 0) & (values == np.rint(values)))
        else:
            bad = values < 0 if kind == "i" else np.zeros(len(values), dtype=bool)
        if values.dtype.itemsize > 2:
            bad |= values >= _TOO_LARGE
    if not bad.any():
        return
    at = int(np.argmax(bad))
    value = values[at]
    where = f" in gene {genes[columns[at]]!r}" if columns is not None and genes is not None else ""
    known = f" (the file also holds {', '.join(places)})" if places else ""
    kind_of_error = InputError
    if not np.isfinite(value):
        advice = "The file is damaged, or a value is missing in it."
    elif value >= _TOO_LARGE and value == np.rint(value):
        advice = f"A count cannot be above {_TOO_LARGE - 1}; was the matrix scaled?"
    else:
        was = "scaled" if value < 0 else "normalized"
        advice = f"A {was} matrix was given? Point `layer` at the raw counts{known}."
        if value > 0:
            advice += (
                " Fractions that a correction of ambient RNA (SoupX, CellBender) or an EM (salmon, "
                "alevin, RSEM) makes of counts are taken with `rounding`."
            )
        if is_noise(values[at : at + 1]).all():
            kind_of_error = NoisyCountsError
    shown = f"{value:g}"
    if float(shown) == np.rint(value) != value:  # a few digits look like what it is not
        shown = str(value)
    raise kind_of_error(
        f"counts must be non-negative integers; found {shown}{where} of sample {sample!r}. {advice}"
    )


def is_noise(values: np.ndarray) -> np.ndarray:
    """[values] True where a number is a whole one but for what floats leave of it."""
    off = np.abs(values - np.rint(values))
    return (off <= np.maximum(_NOISE, _RELATIVE_NOISE * values)) & (values >= -_NOISE)


def select_genes(raw: RawCounts, kept: np.ndarray) -> RawCounts:
    """The same cells with some of the genes; `kept` is [genes] True for these."""
    target = kept_columns(kept)
    n_vars = int(kept.sum())
    read_all = raw.read_blocks

    def read_blocks(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        return (remap_columns(block, target, n_vars) for block in read_all(max_bytes))

    return replace(raw, var=raw.var[kept], read_blocks=read_blocks)


def transpose(raw: RawCounts) -> RawCounts:
    """The same counts with cells for genes; arrays of what were cells are left out."""

    def read_whole(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        # A row of the transpose is complete only at the end, so the sparse whole is kept.
        whole = sparse.vstack(list(raw.read_blocks(max_bytes)), format="csr").T.tocsr()
        return (block for _, _, block in iter_chunks(whole, max_bytes=max_bytes))

    messages = list(raw.messages)
    if raw.obsm:
        messages.append(f"obsm of what are genes is set aside: {', '.join(raw.obsm)}")
    return replace(
        raw,
        obs=raw.var,
        var=raw.obs,
        obsm={},
        messages=messages,
        read_blocks=raw.read_columns or read_whole,
        read_columns=raw.read_blocks,
    )
