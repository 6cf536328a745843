"""Raw files read by h5py, zarr and text alone, one entry after the other; what is odd is refused.

Nothing of the package is used: this is the judge of what it gives. Each reader returns the names of
the cells, the lists of names that the genes have, and [cells, genes] the counts.
"""

import csv
import gzip
import math

import h5py
import numpy as np
import zarr

MOST = 10**6


class Refused(Exception):
    """The file is not one that anybody could read."""


def require(holds, what):
    if not holds:
        raise Refused(what)


def texts(values):
    return [v.decode() if isinstance(v, bytes) else str(v) for v in np.asarray(values).ravel()]


def text_column(table, name):
    """Text as an array, or beside a mask of what is missing."""
    stored = table[name]
    if hasattr(stored, "dtype"):
        return texts(stored[:])
    require(not stored["mask"][:].any(), "missing text")
    return texts(stored["values"][:])


def filled(shape, entries):
    """[cells, genes] Entries of one place added, each a count, and their sum one too."""
    require(len(shape) == 2 and min(shape) >= 0 and math.prod(shape) <= MOST, "shape")
    table = [[0] * shape[1] for _ in range(shape[0])]
    for cell, gene, value in entries:
        require(0 <= cell < shape[0] and 0 <= gene < shape[1], "place")
        require(math.isfinite(value) and value == int(value) and 0 <= value < 2**31, "value")
        table[cell][gene] += int(value)
    require(all(value < 2**31 for row in table for value in row), "sum")
    return np.array(table, dtype=np.int64).reshape(shape)


def compressed(group, n_rows, n_columns):
    """Entries of rows that are stored compressed."""
    data, indices, pointers = (group[name] for name in ("data", "indices", "indptr"))
    require(indices.dtype.kind in "iu" and pointers.dtype.kind in "iu", "type")
    require(data.dtype.kind in "biuf", "type")
    require(data.shape == indices.shape and pointers.shape == (n_rows + 1,), "length")
    require(data.ndim == 1 and data.shape[0] <= MOST and n_rows <= MOST, "length")
    data, indices, pointers = (part[:].tolist() for part in (data, indices, pointers))
    require(pointers[0] == 0 and pointers[-1] == len(data), "ends")
    for row in range(n_rows):
        require(pointers[row] <= pointers[row + 1], "fall")
        for at in range(pointers[row], pointers[row + 1]):
            yield row, indices[at], data[at]


def dense_entries(matrix):
    require(matrix.dtype.kind in "biuf" and matrix.ndim == 2, "type")
    require(math.prod(matrix.shape) <= MOST, "shape")
    for cell, row in enumerate(matrix[...].tolist()):
        for gene, value in enumerate(row):
            yield cell, gene, value


def annotated(store):
    tables = (store["obs"], store["var"])
    names, genes = (text_column(table, table.attrs["_index"]) for table in tables)
    X = store["X"]
    if hasattr(X, "dtype"):
        require(X.shape == (len(names), len(genes)), "tables")
        return names, [genes], filled(X.shape, dense_entries(X))
    kind = X.attrs["encoding-type"]
    shape = tuple(int(size) for size in X.attrs["shape"])
    require(kind in ("csr_matrix", "csc_matrix"), "kind")
    require(shape == (len(names), len(genes)), "tables")
    if kind == "csr_matrix":
        return names, [genes], filled(shape, compressed(X, *shape))
    turned = compressed(X, *shape[::-1])
    return names, [genes], filled(shape, ((cell, gene, value) for gene, cell, value in turned))


def read_h5ad(path):
    with h5py.File(path) as file:
        return annotated(file)


def read_zarr(path):
    # A chunk that is not there would be zeros.
    for array in ("X/data", "X/indices", "X/indptr", "X", "obs/_index", "var/_index"):
        folder = path / array
        marks = [folder / name for name in ("zarr.json", ".zarray")]
        if any(m.exists() and b"chunk" in m.read_bytes() for m in marks):
            files = [f for f in folder.rglob("*") if f.is_file() and f not in marks]
            require([f for f in files if f.name != ".zattrs"], "chunk")
    return annotated(zarr.open_group(str(path), mode="r"))


def read_10x(path):
    with h5py.File(path) as file:
        group = file["matrix"] if "matrix" in file else file["GRCh38"]
        n_features, n_obs = (int(size) for size in group["shape"][:])
        names = texts(group["barcodes"][:])
        kept = range(n_features)
        in_v3 = ("features/id", "features/name")
        columns = in_v3 if "features" in group else ("genes", "gene_names")
        genes = [texts(group[name][:]) for name in columns if name in group]
        require(genes and all(len(column) == n_features for column in genes), "tables")
        if "features/feature_type" in group:
            kinds = texts(group["features/feature_type"][:])
            require(len(kinds) == n_features, "tables")
            # Without any type of 10x, the column is no column of types.
            kept = [i for i, kind in enumerate(kinds) if kind == "Gene Expression"] or kept
        require(len(names) == n_obs, "tables")
        new = {old: i for i, old in enumerate(kept)}
        inside = []
        for cell, gene, value in compressed(group, n_obs, n_features):
            require(0 <= gene < n_features, "place")
            if gene in new:
                inside.append((cell, new[gene], value))
        genes = [[column[i] for i in kept] for column in genes]
        return names, genes, filled((n_obs, len(kept)), inside)


def text_of(path):
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    require("\0" not in text, "NUL")
    return text


def read_mtx(folder):
    text = {name: text_of(next(folder.glob(f"*{name}*"))) for name in ("barcodes", "matrix")}
    genes = next(p for p in folder.iterdir() if "features" in p.name or "genes" in p.name)
    names = [line for line in text["barcodes"].splitlines() if line]
    rows = [line.split("\t") for line in text_of(genes).splitlines()]
    # A symbol may be missing; a type may not, because it says what is counted.
    require(max(map(len, rows)) < 3 or min(map(len, rows)) > 2, "fields")
    kept = [i for i, row in enumerate(rows) if len(row) < 3 or row[2] == "Gene Expression"]
    new = {old: i for i, old in enumerate(kept)}
    lines = text["matrix"].splitlines()
    head = lines[0].lower().split()
    require(head[:3] == ["%%matrixmarket", "matrix", "coordinate"], "head")
    require(head[3:5] in (["integer", "general"], ["real", "general"]), "head")
    lines = [line.split() for line in lines[1:] if not line.startswith("%")]
    n_rows, n_columns, n_entries = (int(word) for word in lines[0])
    lines = [words for words in lines[1:] if words]
    require((n_rows, n_columns) == (len(rows), len(names)), "tables")
    require(len(lines) == n_entries and all(len(words) == 3 for words in lines), "lines")
    entries = []
    for gene, cell, value in lines:
        require("_" not in gene + cell + value, "number")
        require(float(cell) == int(float(cell)) and float(gene) == int(float(gene)), "number")
        place = int(float(cell)) - 1, int(float(gene)) - 1, float(value)
        require(0 <= place[1] < n_rows, "place")
        if place[1] in new:
            entries.append((place[0], new[place[1]], place[2]))
    names = [name.split("\t")[0] for name in names]
    return names, [[rows[i][0] for i in kept]], filled((len(names), len(kept)), entries)


def read_loom(path):
    with h5py.File(path) as file:
        names = texts(file["col_attrs/CellID"][:])
        matrix = file["matrix"]
        require(matrix.shape[1:] == (len(names),), "tables")
        turned = dense_entries(matrix)
        entries = ((cell, gene, value) for gene, cell, value in turned)
        rows = file["row_attrs"]
        require(all(len(rows[name]) == len(matrix) for name in rows), "tables")
        names_of_genes = [name for name in ("Gene", "Accession") if name in rows]
        genes = [texts(rows[name][:]) for name in names_of_genes if rows[name].ndim == 1]
        return names, genes, filled(matrix.shape[::-1], entries)


def read_text(path, separator=","):
    rows = list(csv.reader(text_of(path).splitlines(), delimiter=separator, strict=True))
    header, rows = rows[0], [row for row in rows[1:] if row]
    require(all(len(row) == len(rows[0]) for row in rows), "fields")
    require(len(header) in (len(rows[0]), len(rows[0]) - 1), "fields")
    entries = (
        (cell, gene, float(value))
        for cell, row in enumerate(rows)
        for gene, value in enumerate(row[1:])
    )
    genes = header[1:] if len(header) == len(rows[0]) else header
    return [row[0] for row in rows], [genes], filled((len(rows), len(rows[0]) - 1), entries)


READERS = {
    "h5ad": read_h5ad,
    "zarr": read_zarr,
    "10x": read_10x,
    "mtx": read_mtx,
    "loom": read_loom,
    "csv": read_text,
    "tsv": lambda path: read_text(path, "\t"),
}
