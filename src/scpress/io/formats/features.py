"""Which features of Cell Ranger's tables are genes, and what their ids and symbols are."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from scpress.counts.genes import tell_ids_from_symbols
from scpress.counts.matrix import kept_columns
from scpress.counts.names import split_names
from scpress.errors import InputError

_EXPRESSION = "gene expression"
# What Cell Ranger, Space Ranger and Xenium write as the type of a feature. A column is one of types
# only where it has one of these: others write the biotype or the chromosome there.
_TYPES = frozenset(
    {
        _EXPRESSION,
        "antibody capture",
        "antigen capture",
        "crispr guide capture",
        "custom",
        "multiplexing capture",
        "peaks",
    }
)


def are_types(column: Iterable[str]) -> bool:
    """Whether a column holds the types of features in 10x's words, in any case."""
    return any(word.strip().lower() in _TYPES for word in set(column))


def _require_whole_types(types: np.ndarray, names: np.ndarray, path: Path) -> None:
    """Check that no type may be a gene's that was cut off: the gene would be set aside."""
    for at, word in enumerate(types):
        bare = word.strip().lower()
        if bare != _EXPRESSION and _EXPRESSION.startswith(bare):
            raise InputError(
                f"'{path}': the type of feature {names[at]!r} is {word!r}, where others have a "
                "whole one. Is the file complete?"
            )


def find_genes(
    first: np.ndarray,
    second: np.ndarray | None,
    types: np.ndarray | None,
    genomes: np.ndarray | None,
    path: Path,
) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Find the genes among the features, the new column of each (or -1), and what to say.

    Parameters
    ----------
    first, second
        [features] Ids and symbols, as far as the file has them and in its order.
    types, genomes
        [features] Type and genome, where the file has them.

    Raises
    ------
    InputError
        There are features of other types only, or one whose type was cut off.
    """
    kept = np.ones(len(first), dtype=bool)
    messages = []
    if types is not None and len(types) and not are_types(types):
        messages.append(
            f"no feature has a type of 10x's ({', '.join(sorted(set(types))[:3])}): "
            "all are taken as genes"
        )
    elif types is not None and len(types):
        _require_whole_types(types, first, path)
        kept = np.array([word.strip().lower() == _EXPRESSION for word in types], dtype=bool)
        if not kept.any():
            found = ", ".join(sorted(set(types))[:5])
            raise InputError(f"'{path}' has no features of type Gene Expression; found {found}.")
        aside = pd.Series(types[~kept], dtype=object).value_counts()
        if len(aside):
            listed = ", ".join(f"{count} of type {kind}" for kind, count in aside.items())
            messages.append(f"{listed} set aside; {int(kept.sum())} of type Gene Expression kept")
    if split_names(first) is not None:
        messages.append(f"the names hold ids and symbols and were split, as {first[0]!r}")
    ids, symbols = tell_ids_from_symbols(first[kept], None if second is None else second[kept])
    columns = {"gene_id": ids, "gene_symbol": symbols}
    if genomes is not None:
        columns["genome"] = genomes[kept]
    var = pd.DataFrame(columns, index=pd.Index(np.where(ids != "", ids, symbols), dtype=object))
    return var, kept_columns(kept), messages
