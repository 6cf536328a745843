"""How Cell Ranger's files become raw counts: HDF5 of versions 2 and 3, and matrix.mtx folders."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.counts.matrix import remap_columns
from scpress.counts.raw import RawCounts
from scpress.counts.stored import StoredRows
from scpress.errors import InputError
from scpress.io.guards import open_text, require_plain

_EXPRESSION = "Gene Expression"


def open_10x_h5(path: Path, options: IngestOptions) -> RawCounts:
    """Open a matrix of Cell Ranger 2 (one group per genome) or 3 and later (`matrix`)."""
    with h5py.File(path, "r") as file:
        name = "matrix" if "matrix" in file else _find_genome(file, options.genome, path)
        group = file[name]
        n_features, n_obs = (int(size) for size in group["shape"][:])
        StoredRows(group, n_obs, n_features)  # damage is told before the counts are asked for
        obs = pd.DataFrame(index=_text(group["barcodes"]))
        if name == "matrix":
            features = pd.DataFrame(
                {
                    "gene_id": _text(group["features/id"]),
                    "gene_symbol": _text(group["features/name"]),
                    "feature_type": _text(group["features/feature_type"]),
                }
            )
            if "genome" in group["features"]:
                features["genome"] = _text(group["features/genome"])
        else:
            features = pd.DataFrame(
                {"gene_id": _text(group["genes"]), "gene_symbol": _text(group["gene_names"])}
            )
    if len(obs) != n_obs or len(features) != n_features:
        raise InputError(f"'{path}': its tables do not fit its shape, {n_features} x {n_obs}.")
    genome = options.genome if name == "matrix" else None
    var, target, messages = _keep_expression(features, genome, path)

    # Genes x cells in CSC is cells x genes in CSR: the columns of a cell are stored together.
    def read_blocks(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        with h5py.File(path, "r") as file:
            rows = StoredRows(file[name], n_obs, n_features)
            indptr, start = rows.pointers, 0
            while start < n_obs:
                limit = indptr[start] + max_bytes // 16
                stop = max(int(np.searchsorted(indptr, limit, side="right")) - 1, start + 1)
                stop = min(stop, n_obs)
                yield remap_columns(rows.read(start, stop), target, len(var))
                start = stop

    return RawCounts(obs, var, read_blocks, messages=messages)


def _find_genome(file: h5py.File, genome: str | None, path: Path) -> str:
    genomes = [name for name in file if isinstance(file[name], h5py.Group)]
    genomes = [name for name in genomes if "barcodes" in file[name]]
    if not genomes:
        found = ", ".join(sorted(file)[:6]) or "nothing"
        raise InputError(f"'{path}' is not a 10x HDF5 file: it holds {found}. Is `format` right?")
    if genome is None and len(genomes) == 1:
        return genomes[0]
    if genome not in genomes:
        raise InputError(
            f"'{path}' holds the genomes {', '.join(genomes)}; "
            f"found genome {genome!r}. Set `genome` to one of them."
        )
    return str(genome)


def _keep_expression(
    features: pd.DataFrame, genome: str | None, path: Path
) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Find the genes among the features, the new column of each (or -1), and what to say."""
    kept = np.ones(len(features), dtype=bool)
    messages = []
    if "feature_type" in features:
        kinds = features["feature_type"]
        kept = np.asarray(kinds == _EXPRESSION)
        if not kept.any():
            found = ", ".join(sorted(set(kinds))[:5]) or "none"
            raise InputError(f"'{path}' has no features of type {_EXPRESSION}; found {found}.")
        aside = kinds[~kept].value_counts()
        if len(aside):
            listed = ", ".join(f"{count} of type {kind}" for kind, count in aside.items())
            messages.append(f"{listed} set aside; {int(kept.sum())} of type {_EXPRESSION} kept")
    if genome is not None:
        genomes = features["genome"] if "genome" in features else pd.Series([""] * len(features))
        of_genome = np.asarray(genomes == genome)
        if not (kept & of_genome).any():
            found = ", ".join(sorted(set(genomes[kept]) - {""})) or "none"
            raise InputError(f"'{path}' has no genes of genome {genome!r}; found {found}.")
        kept = kept & of_genome
    var = features[kept].drop(columns="feature_type", errors="ignore")
    target = np.full(len(features), -1, dtype=np.int64)
    target[kept] = np.arange(int(kept.sum()))
    return var.set_index("gene_id", drop=False).rename_axis(None), target, messages


def _text(dataset: Any) -> np.ndarray:
    return np.array([value.decode() for value in dataset[:]], dtype=object)


def open_10x_mtx(path: Path, options: IngestOptions) -> RawCounts:
    """Open a folder of matrix.mtx, barcodes.tsv and genes.tsv or features.tsv, gzipped or not."""
    matrix = path if path.is_file() else _find_one(path, "", ("matrix.mtx", "matrix.mtx.gz"))
    # Repositories put the sample's name in front of all three: GSM123_matrix.mtx.gz.
    prefix = matrix.name[: matrix.name.rindex("matrix.mtx")] if "matrix.mtx" in matrix.name else ""
    folder = matrix.parent
    barcodes = _find_one(folder, prefix, ("barcodes.tsv", "barcodes.tsv.gz"))
    genes = _find_one(
        folder, prefix, ("features.tsv", "features.tsv.gz", "genes.tsv", "genes.tsv.gz")
    )
    obs = pd.DataFrame(index=_read_tsv(barcodes)[0].to_numpy(dtype=object))
    table = _read_tsv(genes)
    columns = ["gene_id", "gene_symbol", "feature_type"]
    features = table.iloc[:, :3].set_axis(columns[: min(3, table.shape[1])], axis=1)
    var, target, messages = _keep_expression(features, None, path)

    n_rows, n_columns, n_entries = _read_header(matrix)
    sizes = (len(features), len(obs))
    if (n_rows, n_columns) not in (sizes, sizes[::-1]):
        raise InputError(
            f"'{matrix}' is {n_rows} x {n_columns}, but there are {sizes[0]} features and "
            f"{sizes[1]} barcodes. Do the three files belong together?"
        )
    cells_first = (n_rows, n_columns) != sizes
    is_sorted = _check_entries(matrix, (n_rows, n_columns), n_entries, cells_first=cells_first)

    def read_blocks(max_bytes: int) -> Iterator[sparse.csr_matrix]:
        # Entries cannot be cut into cells when they are not sorted by cell: all at once, then.
        lines = max(1, max_bytes // 48) if is_sorted else max(1, n_entries)
        entries = _iter_entries(matrix, lines, cells_first=cells_first)
        for block in _cut_cells(entries, len(obs), len(features), max_bytes):
            yield remap_columns(block, target, len(var))

    return RawCounts(obs, var, read_blocks, messages=messages)


def _find_one(folder: Path, prefix: str, names: tuple[str, ...]) -> Path:
    exact = [folder / (prefix + name) for name in names if (folder / (prefix + name)).exists()]
    if not prefix and not exact:
        exact = sorted(path for name in names for path in folder.glob(f"*{name}"))
    if len(exact) == 1:
        require_plain(exact[0])
        return exact[0]
    found = ", ".join(sorted(path.name for path in exact or folder.iterdir())[:6]) or "nothing"
    raise InputError(
        f"'{folder}' must hold one of {', '.join(prefix + name for name in names)}; found {found}."
    )


def _read_tsv(path: Path) -> pd.DataFrame:
    with open_text(path) as file:
        return pd.read_csv(
            file, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3, comment=None
        )


def _read_header(path: Path) -> tuple[int, int, int]:
    with open_text(path) as file:
        first = file.readline().lower().split()
        if first[:3] != ["%%matrixmarket", "matrix", "coordinate"] or first[3:5] not in (
            ["integer", "general"],
            ["real", "general"],
        ):
            raise InputError(
                f"'{path}' is not a sparse matrix of counts in Matrix Market format; "
                f"its first line is {' '.join(first)[:60]!r}."
            )
        line = file.readline()
        while line.startswith("%"):
            line = file.readline()
        n_rows, n_columns, n_entries = (int(word) for word in line.split())
    return n_rows, n_columns, n_entries


def _iter_entries(
    path: Path, lines: int, *, cells_first: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Cells, features (both from 0) and values, as many lines at a time."""
    with open_text(path) as file:
        line = file.readline()
        while line.startswith("%"):
            line = file.readline()
        if int(line.split()[2]) == 0:
            if file.read(2**16).strip():
                raise InputError(f"'{path}' promises 0 entries and holds more. Is it complete?")
            return
        # A place that is not a whole number is damage, and no number to be cut.
        whole = {0: np.int64, 1: np.int64}
        for table in pd.read_csv(
            file, sep=r"\s+", header=None, chunksize=lines, dtype=whole, quoting=3
        ):
            if table.shape[1] != 3:
                raise ValueError(f"{table.shape[1]} words in a line; 3 expected")
            first, second = (table[column].to_numpy(dtype=np.int64) - 1 for column in (0, 1))
            cells, features = (first, second) if cells_first else (second, first)
            values = pd.to_numeric(table[2]).to_numpy()
            if values.dtype.kind not in "iuf":  # True is a word, not a count
                raise ValueError(f"values of type {values.dtype}; numbers expected")
            yield cells, features, values


def _check_entries(
    path: Path, shape: tuple[int, int], n_entries: int, *, cells_first: bool
) -> bool:
    """Whether the entries are sorted by cell, after a check that all are there and inside."""
    found = 0
    last = -1
    is_sorted = True
    n_obs, n_features = shape if cells_first else shape[::-1]
    for cells, features, _ in _iter_entries(path, 2**20, cells_first=cells_first):
        found += len(cells)
        if min(cells.min(), features.min()) < 0 or (
            cells.max() >= n_obs or features.max() >= n_features
        ):
            raise InputError(f"'{path}': an entry is outside its {shape[0]} x {shape[1]} matrix.")
        is_sorted &= bool(cells[0] >= last and (np.diff(cells) >= 0).all())
        last = int(cells[-1])
    if found != n_entries:
        raise InputError(
            f"'{path}' promises {n_entries} entries and holds {found}. Is the file complete?"
        )
    return is_sorted


def _cut_cells(
    entries: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]],
    n_obs: int,
    n_features: int,
    max_bytes: int,
) -> Iterator[sparse.csr_matrix]:
    """CSR blocks of whole cells; the last cell of a part may go on in the next part."""
    start = 0
    rest: list[tuple[np.ndarray, ...]] = []
    for part in entries:
        rest.append(part)
        stop = int(part[0].max())  # this cell may not be complete yet
        if stop > start:
            cells, features, values = (np.concatenate(arrays) for arrays in zip(*rest, strict=True))
            done = cells < stop
            yield from _blocks(
                cells[done], features[done], values[done], start, stop, n_features, max_bytes
            )
            rest = [(cells[~done], features[~done], values[~done])]
            start = stop
    empty = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))
    cells, features, values = (
        np.concatenate(arrays) for arrays in zip(*(rest or [empty]), strict=True)
    )
    yield from _blocks(cells, features, values, start, n_obs, n_features, max_bytes)


def _blocks(
    cells: np.ndarray,
    features: np.ndarray,
    values: np.ndarray,
    start: int,
    stop: int,
    n_features: int,
    max_bytes: int,
) -> Iterator[sparse.csr_matrix]:
    # An entry listed twice stays so: each is checked before they are added up, as the format asks.
    order = np.argsort(cells, kind="stable")
    pointers = np.searchsorted(cells, np.arange(start, stop + 1), sorter=order)
    block = sparse.csr_matrix(
        (values[order], features[order], pointers), shape=(stop - start, n_features)
    )
    rows = max(1, max_bytes // 8)  # bounds the row pointers of very many empty barcodes
    for first in range(0, block.shape[0], rows):
        yield block[first : first + rows]
