"""Which axis of a raw matrix is cells, and which of its genes count genes."""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from scpress import settings, slots
from scpress.config.options import IngestOptions
from scpress.counts.genes import find_name_columns
from scpress.counts.genomes import choose_genome
from scpress.counts.matrix import column_joiner, iter_chunks, sum_of_all
from scpress.counts.names import are_exchanged, are_hashtags, find_rows_of_no_gene
from scpress.counts.parts import add_blocks, find_matrices, name_places, tell_parts
from scpress.counts.raw import RawCounts, select_genes, transpose
from scpress.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData


def settle_axes(raw: RawCounts, options: IngestOptions, where: str) -> RawCounts:
    """Cells x genes as the options say: turned, of the chosen genome, and of genes alone.

    Raises
    ------
    InputError
        The names say that genes are taken for cells, or there is a choice to make.
    """
    if options.orientation == "genes_by_cells":
        raw = transpose(raw)
    cells, genes = raw.obs.index.astype(str), raw.var.index.astype(str)
    if are_exchanged(list(cells), list(genes)):
        is_turned = options.orientation == "genes_by_cells"
        raise InputError(
            f"'{where}' is read as {options.orientation.replace('_', ' ')}, but its genes would be "
            f"{', '.join(genes[:3])} and its cells {', '.join(cells[:3])}. "
            f"Set `orientation` to {'cells_by_genes' if is_turned else 'genes_by_cells'}."
        )
    if is_of_probes(raw.var):
        raw = join_probes(raw)
    raw = keep_genes(choose_genome(raw, options.genome, where))
    if are_hashtags(list(raw.var.index.astype(str))):
        raise InputError(
            f"'{where}' counts hashtags or antibodies by the names of its {raw.shape[1]} features "
            f"({', '.join(raw.var.index.astype(str)[:3])}), not genes. Give the matrix of genes."
        )
    return raw


def raw_from_anndata(adata: "AnnData", layer: str | None) -> RawCounts:
    """View an AnnData in memory as the readers of files show theirs."""
    matrices = {"X": adata.X} if adata.X is not None else {}
    matrices |= {f"layers/{name}": adata.layers[name] for name in slots.names_in(adata.layers)}
    matrices |= {"raw/X": adata.raw.X} if adata.raw is not None else {}
    used, var_key = find_matrices(list(matrices), layer, "the AnnData")
    var = adata.raw.var if var_key == "raw/var" else adata.var

    def total(key: str) -> float:
        return sum_of_all(reader_of(matrices[key])(settings.chunk_bytes))

    messages = tell_parts(list(matrices), used, layer, total)
    return RawCounts(
        adata.obs,
        var,
        reader_of_sum([reader_of(matrices[key]) for key in used]),
        obsm=dict(adata.obsm),
        messages=messages,
        places=name_places(list(matrices), used),
    )


def reader_of(X: object) -> Callable[[int], Iterator[sparse.csr_matrix]]:
    """Give the rows of a matrix as `RawCounts.read_blocks` does; X as for `iter_chunks`."""
    return lambda max_bytes: (
        block for _, _, block in iter_chunks(X, max_bytes=max_bytes, values="anything")
    )


def reader_of_sum(
    readers: Sequence[Callable[[int], Iterator[sparse.csr_matrix]]],
) -> Callable[[int], Iterator[sparse.csr_matrix]]:
    """Reader of the sum of several matrices of one shape, as much of each at a time."""
    if len(readers) == 1:
        return readers[0]
    return lambda max_bytes: add_blocks([read(max_bytes // len(readers)) for read in readers])


def is_of_probes(columns: Container[str]) -> bool:
    """Whether features are probes of Cell Ranger and Space Ranger, several of a gene."""
    return "gene_id" in columns and ("filtered_probes" in columns or "probe_region" in columns)


def join_probes(raw: RawCounts) -> RawCounts:
    """Genes of a matrix with a row for every probe.

    `filtered_probes` is true for the probes that Cell Ranger counts: not for those of deprecated
    genes and those that bind genomic DNA.
    """
    probes = raw.var
    ids = probes["gene_id"].astype(str).to_numpy(dtype=object)
    if "filtered_probes" in probes:
        kept = probes["filtered_probes"].to_numpy(dtype=bool)
    else:
        kept = np.array([not name.startswith("DEPRECATED") for name in ids], dtype=bool)
    target = np.full(len(ids), -1, dtype=np.int64)
    target[kept], genes = pd.factorize(ids[kept])
    first = np.flatnonzero(kept)[np.unique(target[kept], return_index=True)[1]]
    table = {"gene_id": np.asarray(genes, dtype=object)}
    for key, name in (("gene_name", "gene_symbol"), ("genome", "genome")):
        if key in probes:
            table[name] = probes[key].astype(str).to_numpy(dtype=object)[first]
    message = f"{int(kept.sum())} probes are summed by their {len(genes)} genes"
    if not kept.all():
        message += f"; {int((~kept).sum())} that are filtered or deprecated set aside"
    join = column_joiner(target, len(genes))
    return replace(
        raw,
        var=pd.DataFrame(table, index=pd.Index(table["gene_id"], dtype=object)),
        read_blocks=lambda max_bytes: (join(block) for block in raw.read_blocks(max_bytes)),
        messages=[*raw.messages, message],
    )


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
