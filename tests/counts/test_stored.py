"""Compressed matrices on disk: what is damaged is refused before compiled code reads it."""

import anndata
import h5py
import numpy as np
import pytest
import zarr
from anndata.io import sparse_dataset, write_elem
from scipy import sparse

from scpress.counts.matrix import iter_chunks
from scpress.counts.stored import StoredRows, damage_named, stored_rows
from scpress.errors import InputError


@pytest.fixture(params=["hdf5", "zarr"])
def store(request, tmp_path):
    if request.param == "zarr":
        yield zarr.open_group(tmp_path / "x.zarr", mode="w")
        return
    with h5py.File(tmp_path / "x.h5", "w") as file:
        yield file


def put(store, X, **changes):
    """The matrix as anndata writes it, some of its arrays changed."""
    with anndata.settings.override(auto_shard_zarr_v3=False):
        write_elem(store, "X", X)
    for name, change in changes.items():
        values = change(store["X"][name][:])
        del store["X"][name]
        if isinstance(store, h5py.File):
            store["X"][name] = values
        else:
            store["X"].create_array(name, data=values)
    return sparse_dataset(store["X"])


def read(X):
    return sparse.vstack([block for _, _, block in iter_chunks(X, max_bytes=80)]).toarray()


def with_value(at, value):
    def change(values):
        values[at] = value
        return values

    return change


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.int64, np.uint64])
@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_whole_numbers_of_any_type_are_indices(store, dense, layout, kind):
    X = sparse.csr_matrix(dense) if layout == "csr" else sparse.csc_matrix(dense)
    found = put(store, X, indices=lambda x: x.astype(kind), indptr=lambda x: x.astype(np.uint64))
    np.testing.assert_array_equal(read(found), dense)


@pytest.mark.parametrize("layout", ["csr", "csc"])
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"indices": with_value(7, 500)}, "has the index 500, outside of its axis of (9|40)"),
        ({"indices": with_value(7, -1)}, "has the index -1, outside"),
        ({"indices": lambda x: x.astype(np.float32)}, "indices must be whole.* type float32"),
        ({"indices": lambda x: x[:-1]}, r"has \d+ values and \d+ indices"),
        ({"indices": lambda x: x[:, None]}, "indices has 2 axes"),
        ({"indptr": lambda x: x.astype(np.float64)}, "indptr must be whole.* type float64"),
        ({"indptr": lambda x: x[:-1]}, r"has \d+ row pointers; \d+ are needed"),
        ({"indptr": with_value(0, 1)}, "they go from 1 to"),
        ({"indptr": with_value(-1, 3)}, r"to 3, and must go from 0 to \d+"),
        ({"indptr": with_value(3, 0)}, r"they fall from \d+ to 0 in row 2"),
        ({"data": lambda x: x[:-1]}, r"has \d+ values and \d+ indices"),
    ],
)
def test_damage_is_one_line_that_names_the_value(store, dense, layout, changes, match):
    X = sparse.csr_matrix(dense) if layout == "csr" else sparse.csc_matrix(dense)
    found = put(store, X, **changes)
    with pytest.raises(InputError, match=match) as caught:
        read(found)
    assert "x.h5': X" in str(caught.value) or "x.zarr': X" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_index_at_the_edge_is_inside_and_one_beyond_is_not(store):
    X = sparse.csr_matrix(np.array([[0, 0, 5], [1, 0, 0]]))
    np.testing.assert_array_equal(read(put(store, X)), X.toarray())
    with pytest.raises(InputError, match="has the index 3, outside of its axis of 3"):
        read(put(store, X, indices=with_value(0, 3)))


@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_a_matrix_of_the_other_layout_is_not_read_transposed(store, dense, layout):
    put(store, sparse.csr_matrix(dense) if layout == "csr" else sparse.csc_matrix(dense))
    other = "csc" if layout == "csr" else "csr"
    store["X"].attrs["encoding-type"] = f"{other}_matrix"
    with pytest.raises(InputError, match=f"calls itself {other}_matrix .* those of a {layout}_m"):
        read(sparse_dataset(store["X"]))


@pytest.mark.parametrize("name", ["data", "indices", "indptr"])
def test_a_missing_array_is_named(store, dense, name):
    put(store, sparse.csr_matrix(dense))
    del store["X"][name]
    with pytest.raises(InputError, match=f"has no array '{name}'"):
        StoredRows(store["X"], *dense.shape)


@pytest.mark.parametrize("shape", [(3,), (-1, 9), (2, 2, 2)])
def test_a_shape_is_two_sizes(store, dense, shape):
    put(store, sparse.csr_matrix(dense))
    with pytest.raises(InputError, match="says that its shape is"):
        stored_rows(store["X"], shape, "csr")


def test_what_cannot_be_unpacked_is_the_users_and_a_broken_disk_is_not():
    with pytest.raises(InputError, match=r"^X cannot be read \(no filter\)"), damage_named("X"):
        raise OSError("no filter\nmore")
    with pytest.raises(OSError, match="Input/output"), damage_named("X"):
        raise OSError(5, "Input/output error")
