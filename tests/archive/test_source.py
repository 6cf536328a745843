"""What is packed: of each format the counts, and of an AnnData everything."""

import anndata as ad
import h5py
import numpy as np
import pytest
from anndata.io import write_elem
from anndata.tests.helpers import assert_equal
from archive.conftest import few_cells
from builders import write_zarr
from scipy import sparse

from scpress.archive.source import open_source, source_of, to_counts
from scpress.config.archive import InputOptions
from scpress.errors import InputError


def counts_of(source):
    return sparse.vstack(list(source.read_counts()), format="csr")


def with_layers():
    adata = few_cells()
    adata.layers["counts"] = adata.X.astype(np.float32).tocsc()
    adata.layers["other"] = np.ones(adata.shape)
    adata.raw = adata
    adata.X = np.log1p(adata.X.toarray())
    return adata


@pytest.fixture
def layered(tmp_path):
    path = tmp_path / "layered.h5ad"
    with_layers().write_h5ad(path)
    return path


@pytest.mark.parametrize("zarr_format", [None, 2, 3])
def test_an_anndata_is_carried_as_it_is(tmp_path, cells, zarr_format):
    path = tmp_path / ("a.zarr" if zarr_format else "a.h5ad")
    if zarr_format:
        write_zarr(cells, path, zarr_format)
    else:
        cells.write_h5ad(path)
    source = open_source(path, InputOptions())
    assert source.place == "X"
    assert (source.storage, source.dtype) == ("csr", "int32")
    assert (counts_of(source) != cells.X).nnz == 0
    rest = cells.copy()
    rest.X = None
    assert_equal(rest, source.rest)
    assert source.messages == []
    assert source.name == path.name


def test_a_layer_is_packed_and_others_are_carried_when_asked_for(layered):
    source = open_source(layered, InputOptions(layer="counts"))
    assert (source.place, source.storage, source.dtype) == ("layers/counts", "csc", "float32")
    assert (counts_of(source) != few_cells().X).nnz == 0
    assert source.rest.X is None
    assert source.messages == ["not carried: X, other, raw; name them with `layers`"]
    source = open_source(layered, InputOptions(layer="counts"), ["X", "raw", "other"])
    wanted = with_layers()
    del wanted.layers["counts"]
    assert_equal(wanted, source.rest)
    assert source.messages == []


@pytest.mark.parametrize("name", ["counts", "none", "raw/X", ""])
def test_a_layer_that_is_not_there_or_packed_is_not_carried(layered, name):
    with pytest.raises(InputError, match="to carry in `layers`; it has X, other, raw"):
        open_source(layered, InputOptions(layer="counts"), [name])


def test_raw_and_sums_of_layers_are_packed_as_ingest_takes_them(tmp_path, layered):
    source = open_source(layered, InputOptions(layer="raw"))
    assert source.place == "X"
    assert (counts_of(source) != few_cells().X).nnz == 0
    adata = with_layers()
    adata.layers["second"] = adata.layers["counts"].copy()
    adata.write_h5ad(tmp_path / "two.h5ad")
    source = open_source(tmp_path / "two.h5ad", InputOptions(layer="counts+second"))
    assert (counts_of(source) != few_cells().X * 2).nnz == 0
    with pytest.raises(InputError, match="counts alone are packed"):
        open_source(layered, InputOptions(layer="raw"), ["X"])


def test_another_format_is_read_as_ingest_reads_it(tmp_path, cells):
    table = cells.to_df().T
    table.to_csv(tmp_path / "a.csv")
    source = open_source(tmp_path / "a.csv", InputOptions(orientation="genes_by_cells"))
    assert (counts_of(source) != cells.X).nnz == 0
    assert list(source.rest.obs_names) == list(cells.obs_names)
    assert (source.storage, source.dtype) == ("csr", "int32")


@pytest.mark.parametrize(
    ("X", "storage", "dtype", "indices"),
    [
        (sparse.csr_matrix(np.eye(3, dtype=np.int64)), "csr", "int64", "int32"),
        (sparse.csc_matrix(np.eye(3, dtype=np.float64)), "csc", "float64", "int32"),
        (sparse.csr_array(np.eye(3, dtype=np.uint8)), "csr", "uint8", "int32"),
        (np.eye(3, dtype=np.float16), "dense", "float16", None),
        (np.eye(3, dtype=bool), "dense", "bool", None),
    ],
    ids=lambda value: getattr(value, "format", value),
)
def test_layout_and_types_are_told(tmp_path, X, storage, dtype, indices):
    adata = ad.AnnData(X)
    adata.write_h5ad(tmp_path / "a.h5ad")
    for source in (source_of(adata), open_source(tmp_path / "a.h5ad", InputOptions())):
        told = source.storage, source.dtype, source.indices, source.indptr
        assert told == (storage, dtype, indices, indices)
        assert (counts_of(source).toarray() == np.eye(3)).all()


def test_wide_indices_are_told(tmp_path, cells):
    X = cells.X.copy()
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    path = tmp_path / "a.h5ad"
    ad.AnnData(X).write_h5ad(path)
    assert open_source(path, InputOptions()).indices == "int64"


def test_counts_are_sorted_once_each_and_no_zero():
    block = sparse.csr_matrix(
        (np.array([1.0, 2, 0, 3]), np.array([2, 0, 1, 2]), np.array([0, 4, 4])), shape=(2, 3)
    )
    found = to_counts(block, ["a", "b", "c"], "it")
    assert (list(found.indices), list(found.data)) == ([0, 2], [2, 4])
    assert found.dtype == np.int32
    assert list(block.data) == [1, 2, 0, 3]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([0.5, 1], "found 0.5 in gene 'a'"),
        ([-1, 1], "found -1 in gene 'a'"),
        ([np.nan, 1], "found nan"),
        ([1, 2.0**31], "A count cannot be above 2147483647"),
        ([2.0**30, 2.0**30], "A count cannot be above"),
    ],
)
def test_what_is_no_count_is_refused(values, says):
    columns = np.array([0, 0 if values[0] == 2.0**30 else 1])
    block = sparse.csr_matrix((np.array(values), columns, np.array([0, 2])), shape=(1, 2))
    with pytest.raises(InputError, match=says):
        to_counts(block, ["a", "b"], "it")


@pytest.mark.parametrize(
    ("values", "dtype"), [([200, 100], "uint8"), ([2**24, 1], "float32"), ([1, 1], "bool")]
)
def test_sums_that_their_type_does_not_hold_are_refused(values, dtype):
    block = sparse.csr_matrix(
        (np.array(values, dtype=dtype), np.array([1, 1]), np.array([0, 2])), shape=(1, 2)
    )
    with pytest.raises(InputError, match=f"as {dtype}, and entries of one place add up to"):
        to_counts(block, ["a", "b"], "it")


def test_a_matrix_that_is_no_numbers_is_refused(tmp_path):
    adata = ad.AnnData(np.array([["a"], ["b"]], dtype=object))
    with pytest.raises(InputError, match="of type object"):
        source_of(adata)


def test_links_and_foreign_data_are_refused_wherever_they_are(tmp_path, cells):
    path = tmp_path / "a.h5ad"
    cells.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        file["uns/link"] = h5py.SoftLink("/obs")
    with pytest.raises(InputError, match=r"uns/link is a link"):
        open_source(path, InputOptions())


def test_data_in_other_files_are_refused_in_what_ingest_does_not_read(tmp_path, cells):
    path = tmp_path / "a.h5ad"
    cells.copy().write_h5ad(path)
    (tmp_path / "far").write_bytes(bytes(16))
    with h5py.File(path, "r+") as file:
        file["uns"].create_dataset("far", (4,), "i4", external=[(str(tmp_path / "far"), 0, 16)])
    with pytest.raises(InputError, match="uns/far has its data in other files"):
        open_source(path, InputOptions())


def test_damage_is_one_line(tmp_path, cells):
    path = tmp_path / "a.h5ad"
    cells.write_h5ad(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cannot be read as h5ad"):
        open_source(path, InputOptions())
    cells.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        file["X/indices"][0] = 999
    source = open_source(path, InputOptions())
    with pytest.raises(InputError, match="999"):
        list(source.read_counts())


def test_of_several_modalities_the_genes_are_packed(tmp_path, cells):
    path = tmp_path / "a.h5mu"
    with h5py.File(path, "w") as file:
        write_elem(file.create_group("mod"), "rna", cells.copy())
        write_elem(file, "obs", cells.obs)
        write_elem(file, "var", cells.var)
    source = open_source(path, InputOptions())
    assert (counts_of(source) != cells.X).nnz == 0
    assert source.messages == ["the modality rna is read"]


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_source(tmp_path / "a.h5ad", InputOptions())
