"""Which genome genes and cells of a mixture are of, and what the genes are called without it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse

from scpress.counts.genes import find_name_columns
from scpress.counts.names import find_genomes, without_genome
from scpress.counts.raw import RawCounts, select_genes
from scpress.errors import InputError

# A cell is of the genome that more than this share of its molecules is of, as is usual for
# mixtures of human and mouse cells; else it is a doublet, or ambient RNA.
_PURE = 0.9
# Column of obs with the genome of each cell, where there are several.
_COLUMN, _MIXED = "genome", "mixed"


def choose_genome(raw: RawCounts, genome: str | None, where: str) -> RawCounts:
    """Keep the genes of one genome, without its name in front of theirs.

    A genome is the column `genome` of var, or what stands in front of the names. Where there are
    several, obs says which one each cell is of.

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
        return _without_genomes(raw, genomes, list(found.index), ids, symbols)
    wanted = list(found.index) if genome is None else genome.split("+")
    if missing := [name for name in wanted if name not in found]:
        raise InputError(
            f"'{where}' has no genes of genome {missing[0]!r}; found {there}."
            if there
            else f"`genome` {genome!r} has no effect: '{where}' names no genome. Leave it out."
        )
    if len(found) > 1:
        species, shares = _find_species(raw, genomes, list(found.index))
        if genome is None:
            raise InputError(
                f"'{where}' holds genes of {len(found)} genomes, {there}; {shares}. "
                "Set `genome` to one of them, or to several joined by '+'."
            )
        raw.messages.append(shares)
        if _COLUMN not in raw.obs:
            obs = raw.obs.copy()
            obs[_COLUMN] = species
            raw = replace(raw, obs=obs)
    kept = np.isin(genomes, wanted)
    if not kept.all():
        raw.messages.append(
            f"{int((~kept).sum())} genes of other genomes set aside; "
            f"{int(kept.sum())} of {genome} kept"
        )
        raw = select_genes(raw, kept)
    return _without_genomes(raw, genomes[kept], wanted, ids[kept], symbols[kept])


def _find_species(
    raw: RawCounts, genomes: np.ndarray, names: list[str]
) -> tuple["pd.Categorical[str]", str]:
    """[cells] The genome of each cell, or 'mixed'; and the sentence that counts them."""
    known = np.flatnonzero(genomes != "")
    codes = pd.Index(names).get_indexer(pd.Index(genomes[known]))
    indicator = sparse.csr_matrix(
        (np.ones(len(known)), (known, codes)), shape=(len(genomes), len(names))
    )
    return count_species(
        np.vstack([(block @ indicator).toarray() for block in raw.chunks()]), names
    )


def count_species(molecules: np.ndarray, names: list[str]) -> tuple["pd.Categorical[str]", str]:
    """[cells] The genome of each cell, or 'mixed'; and the sentence that counts them.

    Parameters
    ----------
    molecules
        [cells, genomes] Molecules of each genome.
    """
    total = molecules.sum(axis=1)
    is_pure = molecules.max(axis=1) > _PURE * total
    species = np.where(is_pure, molecules.argmax(axis=1), len(names))
    counted = np.bincount(species, minlength=len(names) + 1)
    listed = ", ".join(f"of {name} in {n}" for name, n in zip(names, counted, strict=False))
    sentence = (
        f"more than {100 * _PURE:.0f} % of a cell's molecules are {listed} and of none in "
        f"{counted[-1]} of {len(species)} cells"
    )
    return pd.Categorical.from_codes(species.astype(int), pd.Index([*names, _MIXED])), sentence


def _without_genomes(
    raw: RawCounts, genomes: np.ndarray, wanted: list[str], ids: np.ndarray, symbols: np.ndarray
) -> RawCounts:
    """Genes by their names without the genome in front; `genomes`, `ids` and `symbols`: [genes]."""
    names = "\n".join([*map(str, raw.var.index), *ids, *symbols])
    if not any(name in names for name in wanted):
        return raw
    index = raw.var.index.astype(str)
    bare = list(_strip(index, genomes))
    columns = [
        name
        for name in raw.var.columns
        if any(
            one != other
            for one, other in zip(_strip(raw.var[name], genomes), raw.var[name], strict=True)
            if isinstance(other, str)
        )
    ]
    # Of two species that share symbols, the genome tells which is which.
    if len(set(bare)) < len(set(index)) or (bare == list(index) and not columns):
        return raw
    var = raw.var.set_axis(pd.Index(bare, dtype=object), axis=0)
    for name in columns:
        var[name] = np.array(list(_strip(raw.var[name], genomes)), dtype=object)
    shown = ", ".join(sorted({str(genome) for genome in genomes} - {""}))
    raw.messages.append(f"names of genes are given without the genome in front of them ({shown})")
    return replace(raw, var=var)


def _strip(values: pd.Series | pd.Index, genomes: np.ndarray) -> Iterator[object]:
    for value, genome in zip(values.astype(object), genomes, strict=True):
        yield without_genome(value, genome) if isinstance(value, str) else value
