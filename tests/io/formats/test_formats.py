"""Every format holds the same counts; every damaged file is one clear error."""

import contextlib
import gzip
import importlib.util
import shutil
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from builders import write_zarr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scipy import io as scipy_io
from scipy import sparse

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import open_raw, recognize_format

N_OBS, N_VARS = 23, 11


@pytest.fixture(scope="module")
def counts():
    values = np.random.default_rng(0).poisson(0.8, (N_OBS, N_VARS)).astype(np.int32)
    values[4] = 0
    values[:, 7] = 0
    values[0, 0] = 40_000
    return values


BARCODES = [f"CELL{i:02d}-1" for i in range(N_OBS)]
SYMBOLS = [f"Gene{i}" for i in range(N_VARS)]
IDS = [f"ENSG{i:011d}" for i in range(N_VARS)]


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


@pytest.fixture(scope="module")
def cases(tmp_path_factory, counts):
    return write_all(tmp_path_factory.mktemp("formats") / "all", counts)


CASES = (
    "h5ad_csr",
    "h5ad_csc",
    "h5ad_dense",
    "h5ad_int64",
    "h5ad_float32",
    "h5ad_uint16",
    "h5ad_float64_dense",
    "h5ad_layer",
    "h5ad_raw",
    "zarr_csr",
    "zarr_dense",
    "10x_v3",
    "10x_v2",
    "10x_v2_genome",
    "mtx_v2",
    "mtx_v3",
    "mtx_cells_first",
    "loom",
    "csv",
    "csv_genes",
    "tsv",
    "txt_r",
)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("max_bytes", [1, 300, 2**20])
def test_every_format_gives_the_same_counts_in_blocks_of_any_size(cases, counts, name, max_bytes):
    path, options = cases[name]
    raw = open_raw(path, IngestOptions(**options))
    blocks = list(raw.chunks(max_bytes))
    assert raw.shape == counts.shape
    assert list(raw.obs.index) == BARCODES
    assert all(sparse.issparse(block) and block.format == "csr" for block in blocks)
    np.testing.assert_array_equal(sparse.vstack(blocks).toarray(), counts)
    if max_bytes == 1 and name.startswith(("h5ad_csr", "10x", "zarr", "loom", "csv")):
        assert len(blocks) >= N_OBS or name == "csv_genes"


def test_cases_are_all_there(cases):
    assert set(cases) == set(CASES)


def test_antibodies_are_set_aside_with_a_message(cases):
    raw = open_raw(cases["10x_v3"][0], IngestOptions())
    assert list(raw.var["gene_id"]) == IDS
    assert raw.messages == [
        f"2 of type Antibody Capture set aside; {N_VARS} of type Gene Expression kept"
    ]


def test_loom_keeps_attributes(cases):
    raw = open_raw(cases["loom"][0], IngestOptions())
    assert list(raw.var["Accession"]) == IDS
    assert set(raw.obs["donor"]) == {"d"}
    assert raw.obsm["umap"].shape == (N_OBS, 2)


def test_genome_must_be_named_when_there_are_several(cases):
    path = cases["10x_v2_genome"][0]
    with pytest.raises(InputError, match="holds the genomes GRCh38, mm10"):
        open_raw(path, IngestOptions())
    with pytest.raises(InputError, match="no genes of genome 'mm10'; found GRCh38"):
        open_raw(cases["10x_v3"][0], IngestOptions(genome="mm10"))


def test_missing_layer_names_those_there_are(cases):
    with pytest.raises(InputError, match="no counts at 'count'; it holds X, layer 'counts', raw"):
        open_raw(cases["h5ad_layer"][0], IngestOptions(layer="count"))
    with pytest.raises(InputError, match="no layer 'spliced'; it holds X, halved"):
        open_raw(cases["loom"][0], IngestOptions(layer="spliced"))


def test_unsorted_mtx_is_sorted(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    path = tmp_path / "m" / "matrix.mtx"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:3] + lines[3:][::-1]) + "\n")
    raw = open_raw(tmp_path / "m", IngestOptions())
    np.testing.assert_array_equal(sparse.vstack(list(raw.chunks(64))).toarray(), counts)


def test_scipy_reads_our_mtx_fixture_alike(cases, counts):
    matrix = scipy_io.mmread(cases["mtx_v2"][0] / "matrix.mtx")
    np.testing.assert_array_equal(matrix.toarray().T, counts)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.replace(" 23 ", " 24 ", 1), "Do the three files belong together"),
        (lambda t: "\n".join(t.splitlines()[:-1]), r"promises \d+ entries and holds"),
        (lambda t: t.replace("\n1 1 40000\n", "\n99 1 40000\n"), "outside its"),
        (lambda t: t.replace("coordinate", "array"), "not a sparse matrix of counts"),
        (lambda t: t.replace("40000", "many"), "Unable to parse string"),
    ],
)
def test_damaged_mtx(tmp_path, counts, change, match):
    write_mtx(tmp_path / "m", counts, version=2)
    path = tmp_path / "m" / "matrix.mtx"
    path.write_text(change(path.read_text()))
    with pytest.raises(InputError, match=match):
        open_raw(tmp_path / "m", IngestOptions())


def test_files_of_old_anndata_versions_are_read():
    folder = Path(importlib.util.find_spec("scanpy").origin).parent / "datasets"
    path = folder / "10x_pbmc68k_reduced.h5ad"
    raw = open_raw(path, IngestOptions(layer="raw"))
    assert raw.shape == (700, 765)
    assert raw.places == ("X",)
    values = sparse.vstack(list(raw.chunks()))
    assert values.shape == raw.shape
    assert values.min() == 0


def test_formats_are_recognized(cases, tmp_path):
    for name, (path, _) in cases.items():
        kind = recognize_format(path)
        assert name.startswith(kind.split("_")[0]) or (kind, name) in (
            ("10x_mtx", "mtx_v2"), ("10x_mtx", "mtx_v3"), ("10x_mtx", "mtx_cells_first"),
            ("tsv", "txt_r"),
        )  # fmt: skip
    shutil.copy(cases["h5ad_csr"][0], tmp_path / "renamed.h5")
    assert recognize_format(tmp_path / "renamed.h5") == "h5ad"
    with pytest.raises(InputError, match="not known from its name"):
        recognize_format(tmp_path / "counts.rds")
    with pytest.raises(InputError, match=r"it holds renamed\.h5"):
        recognize_format(tmp_path)


def test_wrong_path_and_empty_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_raw(tmp_path / "none.h5ad", IngestOptions())
    (tmp_path / "empty.h5ad").touch()
    with pytest.raises(InputError, match="is empty"):
        open_raw(tmp_path / "empty.h5ad", IngestOptions())


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (",A,B\n", "no rows"),
        (",A,B\nc1,1\n", "Are the fields separated by commas"),
        (";A;B\nc1;1;2\n", "Are the fields separated by commas"),
        (",A,B\nc1,1,2\nc2,1,x\n", "could not convert string to float"),
        (",A,B\nc1,1,2\nc2,1,2,3,4\n", "cannot be read as csv"),
    ],
)
def test_malformed_csv(tmp_path, text, match):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=match):
        list(open_raw(path, IngestOptions()).chunks())


def test_repeated_names_in_csv_stay_as_they_are(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("cell,A,NA,A\nNA,1,2,3\nc2,0,0,1\n")
    raw = open_raw(path, IngestOptions())
    assert list(raw.var.index) == ["A", "NA", "A"]
    assert list(raw.obs.index) == ["NA", "c2"]


TRUNCATED = ("h5ad_csr", "h5ad_dense", "10x_v3", "loom", "csv_genes", "tsv", "mtx_v3")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(TRUNCATED), fraction=st.floats(0, 0.999))
def test_truncated_files_give_one_line(cases, tmp_path, name, fraction):
    path, options = cases[name]
    copy = tmp_path / path.name
    if path.is_dir():
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(path, copy)
        cut = next(copy.glob("*matrix.mtx.gz"))
    else:
        shutil.copy(path, copy)
        cut = copy
    data = cut.read_bytes()
    cut.write_bytes(data[: int(len(data) * fraction)])
    with pytest.raises(InputError) as caught:
        list(open_raw(copy, IngestOptions(**options)).chunks())
    assert "\n" not in str(caught.value)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(("h5ad_csr", "10x_v3", "10x_v2", "loom")),
    place=st.floats(0, 0.999),
    value=st.integers(0, 255),
)
@example(name="10x_v2", place=0.0216447, value=0)
def test_a_changed_byte_never_gives_a_traceback(cases, tmp_path, name, place, value):
    path, options = cases[name]
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] = value
    copy = tmp_path / path.name
    copy.write_bytes(data)
    with contextlib.suppress(InputError):  # anything else fails the test
        list(open_raw(copy, IngestOptions(**options)).chunks())
