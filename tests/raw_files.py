"""The same counts as every format holds them, written without the code that reads them."""

import gzip

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from builders import write_zarr
from scipy import sparse

from scpress.counts.raw import RawCounts

N_OBS, N_VARS = 23, 11
BARCODES = [f"CELL{i:02d}-1" for i in range(N_OBS)]
SYMBOLS = [f"Gene{i}" for i in range(N_VARS)]
IDS = [f"ENSG{i:011d}" for i in range(N_VARS)]


def raw_of(names, **columns):
    """Two cells of these genes; the second has a molecule more of each."""
    values = sparse.csr_matrix(np.add.outer([0, 1], np.arange(len(names))))
    return RawCounts(
        pd.DataFrame(index=["c1", "c2"]),
        pd.DataFrame(columns, index=names),
        lambda max_bytes: iter([values[:1], values[1:]]),
    )


def annotated(X, **kwargs):
    obs = pd.DataFrame({"donor": ["a", "b"] * 11 + ["a"]}, index=BARCODES)
    return ad.AnnData(X, obs=obs, var=pd.DataFrame(index=SYMBOLS), **kwargs)


def write_10x_v3(path, counts):
    """Genes first and last, two antibodies between them, as one matrix of features x barcodes."""
    with_antibodies = np.insert(counts, [3, 3], 9, axis=1)
    matrix = sparse.csr_matrix(with_antibodies)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["shape"] = [N_VARS + 2, N_OBS]
        group["barcodes"] = np.array(BARCODES, dtype="S")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        for name, values, extra in (
            ("id", IDS, "AB"),
            ("name", SYMBOLS, "CD3"),
            ("feature_type", ["Gene Expression"] * N_VARS, "Antibody Capture"),
            ("genome", ["GRCh38"] * N_VARS, ""),
        ):
            column = [*values[:3], extra, extra, *values[3:]]
            group[f"features/{name}"] = np.array(column, dtype="S")


def write_10x_v2(path, counts, genomes=("GRCh38",)):
    matrix = sparse.csr_matrix(counts)
    with h5py.File(path, "w") as file:
        for genome in genomes:
            group = file.create_group(genome)
            group["shape"] = [N_VARS, N_OBS]
            group["barcodes"] = np.array(BARCODES, dtype="S")
            group["genes"] = np.array(IDS, dtype="S")
            group["gene_names"] = np.array(SYMBOLS, dtype="S")
            for name in ("data", "indices", "indptr"):
                group[name] = getattr(matrix, name)


def write_mtx(folder, counts, *, version, prefix="", transposed=False):
    folder.mkdir()
    matrix = sparse.coo_matrix(counts if transposed else counts.T)
    tables = {"barcodes.tsv": "\n".join(BARCODES) + "\n"}
    names = [f"{i}\t{s}" for i, s in zip(IDS, SYMBOLS, strict=True)]
    if version == 2:
        tables["genes.tsv"] = "\n".join(names) + "\n"
    else:
        tables["features.tsv"] = "".join(f"{name}\tGene Expression\n" for name in names)
    order = np.lexsort((matrix.row, matrix.col))
    lines = [f"{matrix.row[i] + 1} {matrix.col[i] + 1} {matrix.data[i]}" for i in order]
    head = "%%MatrixMarket matrix coordinate integer general\n%made\n"
    head += f"{matrix.shape[0]} {matrix.shape[1]} {matrix.nnz}\n"
    tables["matrix.mtx"] = head + "\n".join(lines) + "\n"
    for name, text in tables.items():
        if version == 2:
            (folder / (prefix + name)).write_text(text)
        else:
            with gzip.open(folder / f"{prefix}{name}.gz", "wt") as file:
                file.write(text)


def write_loom(path, counts):
    with h5py.File(path, "w") as file:
        file.create_dataset("matrix", data=counts.T.astype(np.float32), chunks=(4, 5))
        file["layers/halved"] = counts.T / 2
        file["row_attrs/Gene"] = np.array(SYMBOLS, dtype="S")
        file["row_attrs/Accession"] = np.array(IDS, dtype="S")
        file["col_attrs/CellID"] = np.array(BARCODES, dtype="S")
        file["col_attrs/umap"] = np.arange(2.0 * N_OBS).reshape(N_OBS, 2)
        file["col_attrs/donor"] = np.array(["d"] * N_OBS, dtype="S")


def write_all(folder, counts):
    """Format -> (path, options): the same counts in all of them."""
    folder.mkdir(exist_ok=True)
    table = pd.DataFrame(counts, index=BARCODES, columns=SYMBOLS)
    cases = {}
    for name, X in {
        "csr": sparse.csr_matrix(counts),
        "csc": sparse.csc_matrix(counts),
        "dense": counts.copy(),
        "int64": sparse.csr_matrix(counts.astype(np.int64)),
        "float32": sparse.csr_matrix(counts.astype(np.float32)),
        "uint16": sparse.csr_matrix(counts.astype(np.uint16)),
        "float64_dense": counts.astype(np.float64),
    }.items():
        path = folder / f"{name}.h5ad"
        annotated(X).write_h5ad(path)
        cases[f"h5ad_{name}"] = (path, {})
    other = annotated(
        sparse.csr_matrix(np.log1p(counts)), layers={"counts": sparse.csc_matrix(counts)}
    )
    other.raw = annotated(sparse.csr_matrix(counts))
    other.write_h5ad(folder / "other.h5ad")
    cases["h5ad_layer"] = (folder / "other.h5ad", {"layer": "counts"})
    cases["h5ad_raw"] = (folder / "other.h5ad", {"layer": "raw"})
    write_zarr(annotated(sparse.csr_matrix(counts)), folder / "sparse.zarr", 2)
    cases["zarr_csr"] = (folder / "sparse.zarr", {})
    write_zarr(annotated(counts.copy()), folder / "dense.zarr", 3)
    cases["zarr_dense"] = (folder / "dense.zarr", {})
    write_10x_v3(folder / "v3.h5", counts)
    cases["10x_v3"] = (folder / "v3.h5", {})
    write_10x_v2(folder / "v2.h5", counts)
    cases["10x_v2"] = (folder / "v2.h5", {})
    write_10x_v2(folder / "v2two.h5", counts, genomes=("GRCh38", "mm10"))
    cases["10x_v2_genome"] = (folder / "v2two.h5", {"genome": "mm10"})
    write_mtx(folder / "mtx2", counts, version=2)
    cases["mtx_v2"] = (folder / "mtx2", {})
    write_mtx(folder / "mtx3", counts, version=3, prefix="GSM1_")
    cases["mtx_v3"] = (folder / "mtx3", {})
    write_mtx(folder / "mtx_cells", counts, version=2, transposed=True)
    cases["mtx_cells_first"] = (folder / "mtx_cells", {})
    write_loom(folder / "a.loom", counts)
    cases["loom"] = (folder / "a.loom", {})
    table.to_csv(folder / "a.csv")
    cases["csv"] = (folder / "a.csv", {})
    table.T.to_csv(folder / "t.csv.gz")
    cases["csv_genes"] = (folder / "t.csv.gz", {"orientation": "genes_by_cells"})
    table.to_csv(folder / "a.tsv.gz", sep="\t")
    cases["tsv"] = (folder / "a.tsv.gz", {})
    # As R's write.table does: no field above the row names.
    text = table.to_csv(sep="\t")
    (folder / "r.txt").write_text(text[1:])
    cases["txt_r"] = (folder / "r.txt", {})
    return cases
