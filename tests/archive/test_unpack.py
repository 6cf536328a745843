"""Files that others read: equal to what was packed, or marked as a part of it."""

import gzip

import anndata as ad
import numpy as np
import pytest
from anndata.tests.helpers import assert_equal
from archive.conftest import few_cells
from scipy import sparse

from scpress import settings
from scpress.archive.reader import Archive
from scpress.archive.source import open_source, source_of
from scpress.archive.unpack import PartialArchiveError, unpack
from scpress.archive.writer import write_archive
from scpress.config.archive import InputOptions
from scpress.errors import InputError

READ = {".h5ad": ad.read_h5ad, ".zarr": ad.read_zarr}


def unpacked(adata, folder, suffix, place="X"):
    write_archive(folder / "a.scp", source_of(adata, place))
    with Archive(folder / "a.scp") as archive:
        unpack(archive, folder / f"out{suffix}")
    return READ[suffix](folder / f"out{suffix}")


@pytest.mark.parametrize("suffix", READ)
@pytest.mark.parametrize("storage", ["csr", "csc", "dense"])
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
@pytest.mark.parametrize("chunk_bytes", [200, 2**26])
def test_the_file_is_equal_to_what_was_packed(
    tmp_path, cells, monkeypatch, suffix, storage, dtype, chunk_bytes
):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    adata = cells.copy()
    X = adata.X.astype(dtype)
    adata.X = X.toarray() if storage == "dense" else X.asformat(storage)
    found = unpacked(adata, tmp_path, suffix)
    assert_equal(adata, found)
    assert found.X.dtype == dtype
    assert getattr(found.X, "format", "dense") == storage


@pytest.mark.parametrize("suffix", READ)
def test_layers_raw_and_wide_indices_are_as_they_were(tmp_path, cells, suffix):
    adata = cells.copy()
    X = adata.X.copy()
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    adata.layers["counts"] = X
    adata.raw = adata
    adata = adata[:, :7].copy()
    adata.layers["counts"] = X[:, :7].astype(np.float32)
    found = unpacked(adata, tmp_path, suffix, "layers/counts")
    assert_equal(adata, found)
    assert found.raw.shape == (60, 9)


@pytest.mark.parametrize("suffix", READ)
@pytest.mark.parametrize("storage", ["csr", "csc", "dense"])
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (3, 2)])
def test_a_matrix_of_nothing_is_one(tmp_path, suffix, storage, shape):
    X = np.zeros(shape, dtype=np.int32)
    adata = ad.AnnData(X if storage == "dense" else sparse.csr_matrix(X).asformat(storage))
    found = unpacked(adata, tmp_path, suffix)
    assert found.shape == shape
    assert found.X.shape == shape
    assert getattr(found.X, "format", "dense") == storage


def test_a_folder_is_as_cell_ranger_writes_it(tmp_path, packed, cells):
    with Archive(packed) as archive:
        unpack(archive, tmp_path / "mtx")
        unpack(archive, tmp_path / "again")
    lines = gzip.decompress((tmp_path / "mtx/features.tsv.gz").read_bytes()).decode().splitlines()
    assert lines[0] == "G0x\tG0x\tGene Expression"
    source = open_source(tmp_path / "mtx", InputOptions())
    found = sparse.vstack(list(source.read_counts()))
    assert (found != cells.X).nnz == 0
    assert list(source.rest.obs_names) == list(cells.obs_names)
    assert list(source.rest.var_names) == list(cells.var_names)
    for path in (tmp_path / "mtx").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb"])
def test_names_that_a_table_cannot_hold_are_refused(tmp_path, name):
    adata = few_cells()
    adata.obs_names = [name, *adata.obs_names[1:]]
    write_archive(tmp_path / "a.scp", source_of(adata))
    with Archive(tmp_path / "a.scp") as archive:
        with pytest.raises(InputError, match=r"cannot stand in barcodes\.tsv\.gz; write an h5ad"):
            unpack(archive, tmp_path / "mtx")
        unpack(archive, tmp_path / "a.h5ad")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5ad", "a.scp"]


def test_a_name_of_no_format_is_refused(tmp_path, packed):
    with Archive(packed) as archive, pytest.raises(InputError, match=r"found '.*a\.loom'"):
        unpack(archive, tmp_path / "a.loom")


@pytest.mark.parametrize("name", ["mtx", "a.zarr"])
def test_a_folder_that_exists_is_not_overwritten(tmp_path, packed, name):
    (tmp_path / name).mkdir()
    with Archive(packed) as archive, pytest.raises(InputError, match="exists; name a new folder"):
        unpack(archive, tmp_path / name)


@pytest.fixture
def damaged(packed, tmp_path):
    """The archive with the second of its three chunks damaged."""
    with Archive(packed) as archive:
        at = int(archive._places[1]) + 2
    data = bytearray(packed.read_bytes())
    data[at] ^= 0x10
    path = tmp_path / "damaged.scp"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["a.h5ad", "a.zarr", "mtx"])
def test_nothing_is_written_of_a_damaged_archive_by_itself(damaged, tmp_path, name):
    with Archive(damaged) as archive, pytest.raises(InputError, match=r"cells 24 to 47"):
        unpack(archive, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.scp"]


@pytest.mark.parametrize("storage", ["csr", "csc", "dense"])
@pytest.mark.parametrize("name", ["a.h5ad", "a.zarr", "mtx"])
def test_the_cells_that_are_whole_are_written_on_request(tmp_path, name, storage):
    cells = few_cells()
    cells.X = cells.X.toarray() if storage == "dense" else cells.X.asformat(storage)
    cells.obsp["near"] = sparse.csr_matrix(np.ones((60, 60)))
    path = tmp_path / "a.scp"
    write_archive(path, source_of(cells))
    with Archive(path) as archive:
        at = int(archive._places[1]) + 2
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)
    with Archive(path) as archive, pytest.raises(PartialArchiveError) as caught:
        unpack(archive, tmp_path / name, skip_damaged=True)
    assert caught.value.exit_code == 4
    assert "is not the whole: it lacks 24 of the 60 cells" in str(caught.value)
    assert "(cells 24 to 47, counted from 0)" in str(caught.value)
    source = open_source(tmp_path / name, InputOptions())
    kept = cells[np.r_[0:24, 48:60]].copy()
    found = sparse.vstack(list(source.read_counts())).toarray()
    assert (found == sparse.csr_matrix(kept.X).toarray()).all()
    assert list(source.rest.obs_names) == list(kept.obs_names)
    if name != "mtx":
        assert_equal(kept.obs, source.rest.obs)
        assert source.storage == storage


def test_a_whole_archive_is_whole_with_the_request_too(packed, tmp_path, cells):
    with Archive(packed) as archive:
        unpack(archive, tmp_path / "a.h5ad", skip_damaged=True)
    assert_equal(cells, ad.read_h5ad(tmp_path / "a.h5ad"))
