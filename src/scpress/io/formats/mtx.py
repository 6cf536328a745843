"""How a sparse matrix in a text file, with its tables of cells and genes, becomes raw counts."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.counts.axes import reader_of_sum
from scpress.counts.matrix import column_joiner
from scpress.counts.parts import choose_parts
from scpress.counts.raw import RawCounts
from scpress.errors import InputError
from scpress.io.formats.features import are_types, find_genes
from scpress.io.formats.layouts import Layout, find_layout
from scpress.io.formats.matrix_market import check_entries, cut_cells, iter_entries, read_shape
from scpress.io.formats.plain import open_text

_USA = ("spliced", "unspliced", "ambiguous")
# Words of the first line where that names columns, not the first cell or gene.
_HEADER = frozenset(
    (  # noqa: SIM905
        "barcode barcodes cell cells cell_id cellid bc_wells x v1 gene genes gene_id geneid "
        "gene_ids gene_name gene_names gene_symbol symbol symbols ensembl ensembl_id "
        "ensembl_gene_id feature features feature_id feature_name"
    ).split()
)

_Reader = Callable[[int], Iterator[sparse.csr_matrix]]


def open_mtx(path: Path, options: IngestOptions) -> RawCounts:
    """Open a folder of a matrix and its tables, or a matrix beside its tables; gzipped or not."""
    layout = find_layout(path)
    messages = list(layout.messages)
    matrices = layout.matrices
    if "" not in matrices:
        chosen = choose_parts(options.layer, list(matrices), str(path), messages)
        matrices = {part: matrices[part] for part in chosen}
    shapes = {part: read_shape(matrix) for part, matrix in matrices.items()}
    sizes = {size for shape in shapes.values() for size in shape[:2]}
    cells = _read_cells(layout, list(matrices), sizes, shapes)
    table = _read_genes(layout, list(matrices), sizes)
    first = table[0].to_numpy(dtype=object)
    columns: np.ndarray | None = None
    n_features = len(first)
    if layout.is_usa and (3 * len(first) in sizes or _has_usa_names(first)):
        first, columns = _read_usa(first, options.layer, path, messages)
        table = table.iloc[: len(first)]
        n_features = len(columns)
    elif "" in matrices and options.layer not in (None, "X"):
        raise InputError(
            f"`layer` {options.layer!r} has no effect: '{path}' holds one matrix. Leave it out."
        )
    others = [table[column].to_numpy(dtype=object) for column in table.columns[1:]]
    types = next((column for column in others if are_types(column)), None)
    second = others[0] if others and not are_types(others[0]) else None
    genomes = table["genome"].to_numpy(dtype=object) if "genome" in table else None
    var, target, said = find_genes(first, second, types, genomes, path)
    if columns is not None:
        target = np.where(columns >= 0, target[columns], -1)
    readers = [
        _open_matrix(matrix, shapes[part], (len(cells[part]), n_features), layout, target, len(var))
        for part, matrix in matrices.items()
    ]
    names, read_blocks = _add_parts(list(cells.values()), readers)
    obs = pd.DataFrame(index=pd.Index(names, dtype=object))
    return RawCounts(obs, var, read_blocks, messages=messages + said)


def _open_matrix(
    matrix: Path,
    shape: tuple[int, int, int],
    sizes: tuple[int, int],
    layout: Layout,
    target: np.ndarray,
    n_vars: int,
) -> _Reader:
    n_obs, n_features = sizes
    if shape[:2] not in (sizes, sizes[::-1]):
        raise InputError(
            f"'{matrix}' is {shape[0]} x {shape[1]}, but there are {n_features} features and "
            f"{n_obs} barcodes. Do the three files belong together?"
        )
    cells_first = layout.cells_first if n_obs == n_features else shape[:2] == sizes
    is_sorted = check_entries(matrix, shape[:2], shape[2], cells_first=cells_first)
    join = column_joiner(target, n_vars)

    def read_blocks(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        # Entries cannot be cut into cells when they are not sorted by cell: all at once, then.
        lines = max(1, max_bytes // 48) if is_sorted else max(1, shape[2])
        entries = iter_entries(matrix, lines, cells_first=cells_first)
        for block in cut_cells(entries, n_obs, n_features, max_bytes):
            yield join(block)

    return read_blocks


def _add_parts(cells: list[list[str]], readers: list[_Reader]) -> tuple[list[str], _Reader]:
    """Names of the cells, and a reader of the sum of all matrices."""
    if len(readers) == 1:
        return cells[0], readers[0]
    if all(names == cells[0] for names in cells):
        return cells[0], reader_of_sum(readers)
    union = list(dict.fromkeys(name for names in cells for name in names))

    def read_whole(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        # A cell may stand anywhere in the other matrix: the sparse wholes are kept.
        total = None
        for names, read in zip(cells, readers, strict=True):
            part = sparse.vstack(list(read(max_bytes)), format="csr")
            part = sparse.vstack([part, sparse.csr_matrix((1, part.shape[1]), dtype=part.dtype)])
            part = part.tocsr()[pd.Index(names).get_indexer(pd.Index(union))]
            total = part if total is None else total + part
        assert total is not None
        yield total

    return union, read_whole


def _read_cells(
    layout: Layout, parts: list[str], sizes: set[int], shapes: dict[str, tuple[int, int, int]]
) -> dict[str, list[str]]:
    """Part -> names of the cells of its matrix."""
    if not layout.cells:
        return {part: [str(row) for row in range(1, shapes[part][0] + 1)] for part in parts}
    tables = [_read_table(path, sizes) for path in layout.cells]
    if len(layout.cells) > 1:
        tables = [tables[list(layout.matrices).index(part)] for part in parts]
    lists = [list(table[0]) for table in tables]
    return dict(zip(parts, lists * (len(parts) // len(lists)), strict=True))


def _read_genes(layout: Layout, parts: list[str], sizes: set[int]) -> pd.DataFrame:
    """[features] Columns 0, 1, ... of the table of genes, and `genome` where it is named."""
    paths = layout.genes
    if len(paths) > 1:
        paths = tuple(paths[list(layout.matrices).index(part)] for part in parts)
    table, *others = (_read_table(path, sizes) for path in paths)
    for path, other in zip(paths[1:], others, strict=True):
        if not other.equals(table):
            raise InputError(f"'{path}' has other genes than '{paths[0]}'. Ingest one of them.")
    if layout.symbols is not None:
        symbols = _read_table(layout.symbols, sizes)[0]
        if len(symbols) != len(table):
            raise InputError(
                f"'{layout.symbols}' has {len(symbols)} lines and '{paths[0]}' {len(table)}. "
                "Do they belong together?"
            )
        return pd.DataFrame({0: table[0], 1: symbols})
    return table


def _read_table(path: Path, sizes: set[int]) -> pd.DataFrame:
    """Read a table without a header, or with one where the matrix is a line shorter."""
    is_csv = path.name.removesuffix(".gz").endswith(".csv")
    with open_text(path) as file:
        options: dict[str, Any] = {"header": None, "dtype": str, "keep_default_na": False}
        options |= {"sep": ","} if is_csv else {"sep": "\t", "quoting": 3}
        table = pd.read_csv(file, **options)
    n_needed = min(3, table.shape[1])
    if (table.iloc[:, 1:n_needed] == "").to_numpy().any():
        _require_fields(path, str(options["sep"]), n_needed, table.shape[1])
    header = [word.strip().lower() for word in table.iloc[0]]
    if is_csv or (
        len(table) not in sizes and len(table) - 1 in sizes and not _HEADER.isdisjoint(header[:2])
    ):
        table = table.iloc[1:].reset_index(drop=True)
        if "genome" in header:
            table["genome"] = table[header.index("genome")]
    return table


def _require_fields(path: Path, separator: str, n_needed: int, n_first: int) -> None:
    """A field may be empty; one that is missing was cut off, which pandas does not tell apart."""
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip() and line.count(separator) < n_needed - 1:
                raise InputError(
                    f"'{path}': line {number} has fewer fields than the {n_first} of the first. "
                    "Is the file complete?"
                )


def _has_usa_names(names: np.ndarray) -> bool:
    n_genes = len(names) // 3
    unspliced = [f"{name}-U" for name in names[:n_genes]]
    return n_genes > 0 and list(names[n_genes : 2 * n_genes]) == unspliced


def _read_usa(
    names: np.ndarray, layer: str | None, path: Path, messages: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """[genes] their names, and [columns] the gene of each, or -1 where its part is not chosen."""
    n_genes = len(names) // 3 if _has_usa_names(names) else len(names)
    chosen = choose_parts(layer, list(_USA), str(path), messages)
    columns = np.concatenate(
        [np.arange(n_genes) if part in chosen else np.full(n_genes, -1) for part in _USA]
    )
    return names[:n_genes], columns
