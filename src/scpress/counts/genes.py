"""What the id and the symbol of each gene are, and which are mitochondrial or ribosomal."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scpress import slots
from scpress.counts.names import (
    are_gene_or_transcript_ids,
    are_mostly_ids,
    are_mostly_numbers,
    is_gene_id,
    split_names,
)

# The 37 mitochondrial genes start with MT- in human and mt- in mouse; 13 of them code for proteins
# and are what an RNA count contains. Ensembl releases 75 to 113 agree on these ids.
MITOCHONDRIAL_IDS = frozenset(
    (  # noqa: SIM905
        # human: ND1 ND2 CO1 CO2 ATP8 ATP6 CO3 ND3 ND4L ND4 ND5 ND6 CYB
        "ENSG00000198888 ENSG00000198763 ENSG00000198804 ENSG00000198712 ENSG00000228253 "
        "ENSG00000198899 ENSG00000198938 ENSG00000198840 ENSG00000212907 ENSG00000198886 "
        "ENSG00000198786 ENSG00000198695 ENSG00000198727 "
        # mouse, same order
        "ENSMUSG00000064341 ENSMUSG00000064345 ENSMUSG00000064351 ENSMUSG00000064354 "
        "ENSMUSG00000064356 ENSMUSG00000064357 ENSMUSG00000064358 ENSMUSG00000064360 "
        "ENSMUSG00000065947 ENSMUSG00000064363 ENSMUSG00000064367 ENSMUSG00000064368 "
        "ENSMUSG00000064370"
    ).split()
)

# Human proteins of the ribosome and their paralogues (RPS*, RPL*), as numbers of ENSG ids, from
# the gene annotation of Ensembl 98 (10x Genomics' reference GRCh38 2020-A). Mouse ids are not
# listed: mouse genes are found by symbol, and `qc` says so where there is none.
RIBOSOMAL_IDS = frozenset(
    f"ENSG{int(number):011d}"
    for number in (  # noqa: SIM905
        "8988 37241 63177 71082 83845 89009 89157 100316 105193 105372 105640 108107 108298 "
        "109475 110700 112306 114391 115268 116251 118181 122026 122406 124614 125691 129824 "
        "130255 131469 134419 136942 137154 137818 138326 140986 140988 142534 142541 142676 "
        "142937 143947 144713 145425 145592 146223 147403 147604 148303 149273 156482 161016 "
        "161970 162244 163584 163682 163923 164587 165496 165502 166441 167526 168028 170889 "
        "171858 171863 172809 174444 174748 177600 177954 182774 182899 185088 186468 188846 "
        "197728 197756 197958 198034 198242 198755 198918 213741 229117 231500 233927 241343 "
        "265681 280969 "
    ).split()
)

# Names of var columns in files of scanpy, CELLxGENE, Seurat's converters and loom.
_ID_COLUMNS = (  # noqa: SIM905
    "gene_id gene_ids ensembl_id ensembl_ids ensembl ensemblid ensembl_gene_id feature_id "
    "accession gene_accession"
).split()
_SYMBOL_COLUMNS = (  # noqa: SIM905
    "gene_symbol gene_symbols symbol symbols gene_name gene_names feature_name gene "
    "gene_short_name external_gene_name hgnc_symbol mgi_symbol"
).split()


def find_ids_and_symbols(var: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """[genes] ids and [genes] symbols of a var table, '' where it has none.

    Either comes from a column with one of the usual names, or from the index; ids that are not
    there, from a column of any name that holds them. Symbols that stand where ids are expected are
    symbols (`tell_ids_from_symbols`).
    """
    index = np.asarray(var.index.astype(str), dtype=object)
    ids = _find_column(var, _ID_COLUMNS)
    symbols = _find_column(var, _SYMBOL_COLUMNS)
    if ids is None and (both := split_names(index)) is not None:
        ids, symbols = both[0], both[1] if symbols is None else symbols
    if ids is None and not are_mostly_ids(index):
        ids = _find_column(
            var, [str(name).lower() for name in var.columns if _holds_ids(var[name])]
        )
    index_is_id = is_gene_id(list(index))
    most_are_ids = len(index) > 0 and bool(index_is_id.mean() > 0.5)
    if ids is None:
        ids = np.where(index_is_id, index, "") if most_are_ids else np.full(len(index), "", object)
    if symbols is None:
        # An index of ids that has a symbol here and there (spike-ins, transgenes) names those too.
        symbols = np.where(index_is_id, "", index) if most_are_ids else index
    return tell_ids_from_symbols(ids, symbols)


def find_name_columns(var: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """[genes] Names of a var table that stand for ids and for symbols, whatever they are in truth.

    The index stands for either that has no column. Quick, for questions about all the names.
    """
    index = np.asarray(var.index.astype(str), dtype=object)
    ids, symbols = _find_column(var, _ID_COLUMNS), _find_column(var, _SYMBOL_COLUMNS)
    return index if ids is None else ids, index if symbols is None else symbols


def tell_ids_from_symbols(
    first: np.ndarray, second: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """[genes] ids and [genes] symbols of two columns that should be these, '' where there is none.

    The columns are exchanged where the second has the stable ids. A first column without stable
    ids is symbols where nothing else makes it ids: where it is alone, repeats a name, or says what
    the second says. Names that are unique and have symbols beside them (NCBI's numbers, the locus
    tags of plants and microbes) are ids. Names that hold both (ENSG00000198888_MT-ND1) are split.
    """
    if second is None:
        second = np.full(len(first), "", dtype=object)
    for names in (first, second):
        if (both := split_names(names)) is not None:
            return both
    if are_mostly_ids(second):
        if not are_mostly_ids(first):
            return second, first
        # Ids twice: no gene has a symbol, but for those that are no ids.
        return first, np.where(are_gene_or_transcript_ids(second), "", second)
    named = first != ""
    if not named.any() or are_mostly_ids(first):
        return first, second
    if are_mostly_numbers(first) and not are_mostly_numbers(second):
        return first, second
    says_the_same = float((first[named] == second[named]).mean()) > 0.5
    is_repeated = len(set(first[named])) < int(named.sum())
    if not (second != "").any() or says_the_same or is_repeated:
        return np.full(len(first), "", dtype=object), np.where(second != "", second, first)
    return first, second


def _holds_ids(column: pd.Series) -> bool:
    if column.dtype.kind in "biuf":
        return False
    # The first values tell of nearly every column that it does not.
    for part in (column.iloc[:50], column):
        if not len(part) or is_gene_id(list(part.astype(object).map(str))).mean() <= 0.5:
            return False
    return True


def _find_column(var: pd.DataFrame, names: Sequence[str]) -> np.ndarray | None:
    by_name = {str(column).lower(): column for column in reversed(list(var.columns))}
    for name in names:
        if name in by_name:
            values = var[by_name[name]].astype(object)
            text = values.where(values.notna(), "").astype(str)
            if (text != "").any():
                return np.asarray(text, dtype=object)
    return None


def without_version(gene_id: str) -> str:
    """ENSG00000198888.2 -> ENSG00000198888; other names unchanged."""
    head, dot, tail = gene_id.rpartition(".")
    return head if dot and head.startswith("ENS") and tail.isdigit() else gene_id


def is_mitochondrial(ids: Sequence[str], symbols: Sequence[str]) -> np.ndarray:
    """[genes] True for mitochondrial genes of human and mouse, by symbol or by id."""
    return np.array(
        [
            symbol.upper().startswith("MT-") or without_version(gene_id) in MITOCHONDRIAL_IDS
            for gene_id, symbol in zip(ids, symbols, strict=True)
        ],
        dtype=bool,
    )


def is_ribosomal(ids: Sequence[str], symbols: Sequence[str]) -> np.ndarray:
    """[genes] True for ribosomal proteins of human and mouse by symbol, of human also by id.

    The RPS6K genes are kinases and the antisense and fusion genes (RPL34-AS1) are not counted.
    """
    return np.array(
        [
            (
                symbol.upper().startswith(("RPS", "RPL"))
                and not symbol.upper().startswith(("RPS6K", "RPS19BP"))
                and "-" not in symbol
            )
            or without_version(gene_id) in RIBOSOMAL_IDS
            for gene_id, symbol in zip(ids, symbols, strict=True)
        ],
        dtype=bool,
    )


def gene_ids(var: pd.DataFrame) -> list[str]:
    """[genes] Ids of a var table that `ingest` wrote, '' where a gene has none.

    A table of another origin has its names for both ids and symbols.
    """
    return _written(var, slots.GENE_ID.name)


def gene_symbols(var: pd.DataFrame) -> list[str]:
    """[genes] Symbols of a var table that `ingest` wrote, as `gene_ids`."""
    return _written(var, slots.GENE_SYMBOL.name)


def gene_labels(var: pd.DataFrame) -> list[str]:
    """[genes] What a reader is shown: the symbol, or the name of a gene without one."""
    names = var.index.astype(str)
    return [symbol or name for symbol, name in zip(gene_symbols(var), names, strict=True)]


def _written(var: pd.DataFrame, column: str) -> list[str]:
    if column not in var:
        return [str(name) for name in var.index]
    values = var[column].astype(object)
    return [str(value) for value in values.where(values.notna(), "")]
