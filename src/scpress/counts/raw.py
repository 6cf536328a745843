"""What a reader of raw files gives, and which values are counts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from scpress import settings, slots
from scpress.counts.genes import (
    find_genomes,
    find_name_columns,
    find_rows_of_no_gene,
    without_genome,
)
from scpress.counts.matrix import iter_chunks, kept_columns, remap_columns
from scpress.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

# Counts are stored as int32. A power of two is itself in every type, where 2^31 - 1 as float32 is
# 2^31 and lets that through.
_TOO_LARGE = 2**31


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
    """

    obs: pd.DataFrame
    var: pd.DataFrame
    read_blocks: Callable[[int], Iterator[sparse.csr_matrix]]
    obsm: dict[str, Any] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    places: tuple[str, ...] = ()

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
    if not np.isfinite(value):
        advice = "The file is damaged, or a value is missing in it."
    elif value >= _TOO_LARGE and value == np.rint(value):
        advice = f"A count cannot be above {_TOO_LARGE - 1}; was the matrix scaled?"
    else:
        was = "scaled" if value < 0 else "normalized"
        advice = f"A {was} matrix was given? Point `layer` at the raw counts{known}."
    raise InputError(
        f"counts must be non-negative integers; found {value:g}{where} of sample {sample!r}. "
        f"{advice}"
    )


def raw_from_anndata(adata: "AnnData", layer: str | None) -> RawCounts:
    """View an AnnData in memory as the readers of files show theirs."""
    keys = ["X"] if adata.X is not None else []
    keys += [f"layers/{name}" for name in slots.names_in(adata.layers)]
    keys += ["raw/X"] if adata.raw is not None else []
    key, var_key = find_matrix(keys, layer, "the AnnData")
    X = adata.raw.X if key == "raw/X" else adata.X if key == "X" else adata.layers[key[7:]]
    var = adata.raw.var if var_key == "raw/var" else adata.var

    def read_blocks(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        return (block for _, _, block in iter_chunks(X, max_bytes=max_bytes, values="anything"))

    raw = RawCounts(
        pd.DataFrame(adata.obs),
        pd.DataFrame(var),
        read_blocks,
        obsm=dict(adata.obsm),
        places=name_places(keys, key),
    )
    return keep_genes(raw)


def keep_genes(raw: RawCounts) -> RawCounts:
    """Set aside rows that count what is no gene, and spike-ins, which are not of the cell's.

    Reads the counts once more where there are such rows, to say how many molecules they hold.
    """
    names = [str(name) for name in raw.var.index]
    _, symbols = find_name_columns(raw.var)
    pairs = zip(find_rows_of_no_gene(names), find_rows_of_no_gene(list(symbols)), strict=True)
    no_gene, spike_in = (by_name | by_symbol for by_name, by_symbol in pairs)
    if not (no_gene | spike_in).any():
        return raw
    per_gene = np.zeros(len(names))
    for block in raw.chunks():
        per_gene += np.asarray(block.sum(axis=0, dtype=np.float64)).ravel()
    for aside, what in ((no_gene, "rows that are no genes"), (spike_in, "spike-ins")):
        shown = [name for name, is_aside in zip(names, aside, strict=True) if is_aside]
        if shown:
            raw.messages.append(
                f"{len(shown)} {what} set aside ({', '.join(shown[:4])}"
                f"{', ...' if len(shown) > 4 else ''}): {per_gene[aside].sum():.0f} of "
                f"{per_gene.sum():.0f} molecules"
            )
    return select_genes(raw, ~(no_gene | spike_in))


def choose_genome(raw: RawCounts, genome: str | None, where: str) -> RawCounts:
    """Keep the genes of one genome, without its name in front of theirs.

    A genome is the column `genome` of var, or what stands in front of the names.

    Parameters
    ----------
    genome
        The genome to keep, or several joined by '+'; None where there is one.

    Raises
    ------
    InputError
        Several genomes and none is named, or the named one is not there.
    """
    ids, symbols = find_name_columns(raw.var)
    genomes = find_genomes(list(ids), list(symbols))
    if not (genomes != "").any() and "genome" in raw.var:
        column = raw.var["genome"].astype(object)
        genomes = np.asarray(column.where(column.notna(), "").astype(str), dtype=object)
    found = pd.Series(genomes[genomes != ""], dtype=object).value_counts()
    there = ", ".join(f"{name} ({count} genes)" for name, count in found.items())
    if genome is None and len(found) < 2:
        wanted = list(found.index)
        kept = np.ones(len(genomes), dtype=bool)
    elif genome is None:
        raise InputError(
            f"'{where}' holds genes of {len(found)} genomes, {there}. "
            "Set `genome` to one of them, or to several joined by '+'."
        )
    else:
        wanted = genome.split("+")
        if missing := [name for name in wanted if name not in found]:
            raise InputError(
                f"'{where}' has no genes of genome {missing[0]!r}; found {there}."
                if there
                else f"`genome` {genome!r} has no effect: '{where}' names no genome. Leave it out."
            )
        kept = np.isin(genomes, wanted)
        if not kept.all():
            raw.messages.append(
                f"{int((~kept).sum())} genes of other genomes set aside; "
                f"{int(kept.sum())} of {genome} kept"
            )
            raw = select_genes(raw, kept)
    names = "\n".join([*map(str, raw.var.index), *ids[kept], *symbols[kept]])
    if not any(f"{name}_" in names for name in wanted):
        return raw
    return _without_genomes(raw, genomes[kept])


def _without_genomes(raw: RawCounts, genomes: np.ndarray) -> RawCounts:
    index = raw.var.index.astype(str)
    bare = [without_genome(name, genome) for name, genome in zip(index, genomes, strict=True)]
    columns = [
        name
        for name in raw.var.columns
        if any(
            without_genome(str(value), genome) != str(value)
            for value, genome in zip(raw.var[name].astype(object), genomes, strict=True)
        )
    ]
    # Of two species that share symbols, the genome tells which is which.
    if len(set(bare)) < len(set(index)) or (bare == list(index) and not columns):
        return raw
    var = raw.var.set_axis(pd.Index(bare, dtype=object), axis=0)
    for name in columns:
        values = raw.var[name].astype(object)
        var[name] = [
            without_genome(value, genome) if isinstance(value, str) else value
            for value, genome in zip(values, genomes, strict=True)
        ]
    shown = ", ".join(sorted({str(genome) for genome in genomes} - {""}))
    raw.messages.append(f"names of genes are given without the genome in front of them ({shown})")
    return replace(raw, var=var)


def select_genes(raw: RawCounts, kept: np.ndarray) -> RawCounts:
    """The same cells with some of the genes; `kept` is [genes] True for these."""
    target = kept_columns(kept)
    n_vars = int(kept.sum())
    read_all = raw.read_blocks

    def read_blocks(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        return (remap_columns(block, target, n_vars) for block in read_all(max_bytes))

    return replace(raw, var=raw.var[kept], read_blocks=read_blocks)


def find_matrix(keys: list[str], layer: str | None, where: str) -> tuple[str, str]:
    """Where the counts and their genes are, from the matrices there are and the `layer` option.

    Raises
    ------
    InputError
        There is no such matrix.
    """
    key = "X" if layer in (None, "X") else "raw/X" if layer == "raw" else f"layers/{layer}"
    if key not in keys:
        found = ", ".join(name_places(keys, "")) or "no matrix"
        wanted = "X" if layer is None else repr(layer)
        raise InputError(
            f"{where} has no counts at {wanted}; it holds {found}. "
            "Set `layer` to where the raw counts are."
        )
    return key, "raw/var" if key == "raw/X" else "var"


def name_places(keys: list[str], used: str) -> tuple[str, ...]:
    """Name the matrices other than the used one as the option `layer` does."""
    names = {"X": "X", "raw/X": "raw"}
    return tuple(names.get(key, f"layer {key[7:]!r}") for key in keys if key != used)
