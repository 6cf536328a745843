"""Paths that are no files, data that are elsewhere, and parts that are not there."""

import gzip
import os
import socket

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from builders import write_zarr
from raw_files import N_OBS, N_VARS, annotated, write_mtx
from scipy import sparse
from zarr.registry import get_numcodec

from scpress.config.options import IngestOptions
from scpress.errors import InputError
from scpress.io.formats import open_raw
from scpress.io.formats.plain import open_text
from scpress.io.guards import require_own_storage, require_plain


@pytest.fixture(scope="module")
def counts():
    return np.random.default_rng(0).poisson(0.8, (N_OBS, N_VARS)).astype(np.int32)


@pytest.mark.parametrize("inside", [False, True])
def test_a_pipe_a_socket_and_a_device_are_refused_at_once(tmp_path, inside):
    folder = tmp_path / "a.zarr"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    with pytest.raises(InputError, match="pipe' is a named pipe, not a file"):
        require_plain(folder if inside else folder / "pipe")
    (folder / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(folder)  # the name of a socket is short
        one.bind("socket")
        os.chdir(here)
        with pytest.raises(InputError, match="socket' is a socket"):
            require_plain(folder if inside else folder / "socket")
    (folder / "socket").unlink()
    (folder / "null").symlink_to("/dev/null")
    with pytest.raises(InputError, match="null' is a device"):
        require_plain(folder if inside else folder / "null")


def test_links_that_lead_back_or_nowhere_do_not_matter(tmp_path):
    folder = tmp_path / "a.zarr"
    folder.mkdir()
    (folder / "file").touch()
    (folder / "back").symlink_to(folder)
    (folder / "nowhere").symlink_to(folder / "none")
    require_plain(folder)


def test_a_pipe_among_the_files_of_10x_is_refused(tmp_path, counts):
    write_mtx(tmp_path / "m", counts, version=2)
    (tmp_path / "m" / "genes.tsv").unlink()
    os.mkfifo(tmp_path / "m" / "genes.tsv")
    with pytest.raises(InputError, match=r"genes\.tsv' is a named pipe"):
        open_raw(tmp_path / "m", IngestOptions())


@pytest.mark.parametrize("kind", ["soft", "external"])
def test_links_in_hdf5_are_not_followed(tmp_path, counts, kind):
    for name in ("a.h5ad", "b.h5ad"):
        annotated(sparse.csr_matrix(counts)).write_h5ad(tmp_path / name)
    with h5py.File(tmp_path / "a.h5ad", "a") as file:
        file.move("X/data", "X/other")
        link = h5py.SoftLink("/X/other")
        if kind == "external":
            link = h5py.ExternalLink(str(tmp_path / "b.h5ad"), "/X/data")
        file["X/data"] = link
    with pytest.raises(InputError, match=r"a\.h5ad': X/data is a link to .* not followed"):
        open_raw(tmp_path / "a.h5ad", IngestOptions())


def test_data_in_other_files_are_not_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (3,), "i4", external=[(str(tmp_path / "raw"), 0, 12)])
    with pytest.raises(InputError, match="x has its data in other files"):
        require_own_storage(tmp_path / "a.h5")
    layout = h5py.VirtualLayout((3,), "i4")
    layout[:] = h5py.VirtualSource(tmp_path / "none.h5", "y", (3,))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_virtual_dataset("x", layout)
    with pytest.raises(InputError, match="x has its data in other files"):
        require_own_storage(tmp_path / "b.h5")


def test_what_was_never_written_to_hdf5_is_not_zeros(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["empty"], file["one"] = np.zeros(0), 5
        file["again"] = file["one"]  # a second name of the same
        whole = file.create_dataset("whole", (10,), "i4", chunks=(4,))
        whole[:] = 0
    require_own_storage(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.create_dataset("x", (10,), "i4", chunks=(4,))[:8] = 1
    with pytest.raises(InputError, match="x: 1 of its 3 chunks are missing"):
        require_own_storage(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["x"]
        file.create_dataset("x", (10,), "i4")
    with pytest.raises(InputError, match="x: 1 of its 1 chunks are missing"):
        require_own_storage(tmp_path / "a.h5")


@pytest.fixture
def folder(tmp_path, request):
    X = sparse.random(50, 20, 0.3, "csr", np.int32, np.random.default_rng(0))
    X.data[:] = 1
    obs = pd.DataFrame(
        {"same": pd.Categorical(["a"] * 50), "zero": 0}, index=[f"c{i}" for i in range(50)]
    )
    adata = ad.AnnData(X, obs=obs, layers={"dense": X.toarray()})
    write_zarr(adata, tmp_path / "a.zarr", request.param)
    return tmp_path / "a.zarr"


def chunks_of(folder, name):
    skipped = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
    return [p for p in (folder / name).rglob("*") if p.is_file() and p.name not in skipped]


@pytest.mark.parametrize("folder", [2, 3], indirect=True)
@pytest.mark.parametrize(
    "name", ["X/data", "X/indices", "X/indptr", "layers/dense", "obs/_index", "var/_index"]
)
def test_a_missing_chunk_of_zarr_is_not_zeros(folder, name):
    options = IngestOptions(layer="dense" if name == "layers/dense" else None)
    # Columns of nothing but zeros have no chunk, and that is right.
    assert not chunks_of(folder, "obs/zero")
    assert not chunks_of(folder, "obs/same/codes")
    open_raw(folder, options)
    chunks_of(folder, name)[0].unlink()
    with pytest.raises(
        InputError, match=rf"a\.zarr': {name}(/values)?: 1 of its 1 chunks are missing"
    ):
        open_raw(folder, options)


def test_shards_of_zarr_are_counted_as_they_are_stored(tmp_path, counts):
    write_zarr(ad.AnnData(counts.copy()), tmp_path / "a.zarr", 3)
    store = zarr.open_group(tmp_path / "a.zarr", mode="a")
    attributes = dict(store["X"].attrs)
    del store["X"]
    array = store.create_array("X", shape=counts.shape, dtype="i4", chunks=(2, 11), shards=(4, 11))
    array[:] = counts + 1
    array.attrs.update(attributes)
    found = list(open_raw(tmp_path / "a.zarr", IngestOptions()).chunks())
    np.testing.assert_array_equal(sparse.vstack(found).toarray(), counts + 1)
    chunks_of(tmp_path / "a.zarr", "X")[0].unlink()
    with pytest.raises(InputError, match="X: 1 of its 6 chunks are missing"):
        open_raw(tmp_path / "a.zarr", IngestOptions())


@pytest.mark.parametrize(("version", "chunk"), [(2, "0"), (3, "c/0")])
@pytest.mark.parametrize("table", ["obs", "var"])
def test_a_chunk_of_texts_says_how_many_it_holds(tmp_path, counts, version, chunk, table):
    folder = tmp_path / "a.zarr"
    write_zarr(annotated(sparse.csr_matrix(counts)), folder, version)
    names = zarr.open_group(folder, mode="r")[table]["_index"]
    names = names if hasattr(names, "dtype") else names["values"]  # of anndata 0.13
    assert open_raw(folder, IngestOptions()).shape == (N_OBS, N_VARS)
    place = folder / names.path / chunk
    packer = get_numcodec({"id": "blosc"} if version == 2 else {"id": "zstd"})
    whole = bytes(packer.decode(place.read_bytes()))
    assert int.from_bytes(whole[:4], "little") == names.size
    place.write_bytes(packer.encode((names.size + 1).to_bytes(4, "little") + whole[4:]))
    said = f"{names.path}: chunk 0 says that it holds {names.size + 1} texts, and its shape "
    with pytest.raises(InputError, match=f"{said}{names.size}"):
        open_raw(folder, IngestOptions())


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_nul_byte_is_no_text(tmp_path, name):
    opener = gzip.open if name.endswith(".gz") else open
    for text, is_text in (("a\n1 2\n", True), ("a\n1 \x002\n", False)):
        with opener(tmp_path / name, "wt") as file:
            file.write(text)
        for read in (lambda f: f.read(), lambda f: [f.readline(), f.readline()], list):
            with open_text(tmp_path / name) as file:
                if is_text:
                    assert "".join(read(file)) == text
                else:
                    with pytest.raises(InputError, match="holds a NUL byte"):
                        read(file)
