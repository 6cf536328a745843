"""AnnData files are written whole or not at all, in blocks of any size, and damage is one error."""

import errno

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from scpress.counts.matrix import iter_chunks
from scpress.errors import InputError
from scpress.io import h5ad
from scpress.io.h5ad import read_h5ad, write_h5ad, write_h5ad_streamed


@pytest.fixture
def adata():
    X = sparse.random(30, 8, density=0.4, format="csr", rng=np.random.default_rng(0))
    X.data = np.ceil(X.data * 5).astype(np.int32)
    obs = pd.DataFrame(
        {"kind": pd.Categorical(["a", None, "b"] * 10), "n": range(30), "ok": [True, False] * 15},
        index=[f"c{i}" for i in range(30)],
    )
    made = ad.AnnData(X.astype(np.int32), obs=obs, obsm={"X_p": np.ones((30, 2))})
    made.uns["scpress"] = {"messages": np.array([], dtype=str), "n": 1, "text": "x", "nested": {}}
    return made


def without_X(adata):
    rest = adata.copy()
    del rest.X
    return rest


def blocks(X, size):
    return (X[i : i + size] for i in range(0, X.shape[0], size))


@pytest.mark.parametrize("size", [1, 7, 30])
def test_streamed_file_equals_the_one_written_at_once(adata, tmp_path, size):
    write_h5ad(adata, tmp_path / "whole.h5ad")
    path = tmp_path / "streamed.h5ad"
    write_h5ad_streamed(
        path,
        without_X(adata),
        {"X": blocks(adata.X, size), "layers/dense": blocks(adata.X.toarray(), size)},
        dtypes={"X": np.int32, "layers/dense": np.float32},
    )
    whole, streamed = read_h5ad(tmp_path / "whole.h5ad"), read_h5ad(path)
    pd.testing.assert_frame_equal(streamed.obs, whole.obs)
    assert streamed.X.format == "csr"
    assert streamed.X.dtype == np.int32
    np.testing.assert_array_equal(streamed.X.toarray(), whole.X.toarray())
    np.testing.assert_array_equal(streamed.layers["dense"], whole.X.toarray())
    np.testing.assert_array_equal(streamed.obsm["X_p"], whole.obsm["X_p"])
    assert streamed.uns["scpress"]["n"] == 1
    backed = read_h5ad(path, backed=True)
    np.testing.assert_array_equal(backed.X[3:9].toarray(), whole.X[3:9].toarray())


def test_row_pointers_are_int64_past_the_limit(adata, tmp_path, monkeypatch):
    monkeypatch.setattr(h5ad, "_INT32_MAX", adata.X.nnz - 1)
    path = tmp_path / "a.h5ad"
    write_h5ad_streamed(path, without_X(adata), {"X": [adata.X]}, dtypes={"X": np.int32})
    with h5py.File(path) as file:
        assert file["X/indptr"].dtype == np.int64
    np.testing.assert_array_equal(read_h5ad(path).X.toarray(), adata.X.toarray())


@pytest.mark.parametrize("first_wide", [1, 4, 5])
def test_columns_are_widened_in_the_block_that_passes_the_limit(
    adata, tmp_path, monkeypatch, first_wide
):
    """Blocks of five rows: those before the limit are on disk already."""
    monkeypatch.setattr(h5ad, "_INT32_MAX", int(adata.X.indptr[5 * first_wide]))
    monkeypatch.setattr(h5ad, "_HDF5_CHUNK", 1)  # columns are moved 64 at a time
    path = tmp_path / "a.h5ad"
    parts = {"X": blocks(adata.X, 5), "layers/b": blocks(adata.X, 30)}
    kinds = {"X": np.int32, "layers/b": np.int32}
    write_h5ad_streamed(path, without_X(adata), parts, dtypes=kinds)
    with h5py.File(path) as file:
        for name in parts:
            assert file[name]["indices"].dtype == file[name]["indptr"].dtype == np.int64
            assert file[name]["data"].dtype == np.int32
    read = read_h5ad(path)
    np.testing.assert_array_equal(read.X.toarray(), adata.X.toarray())
    np.testing.assert_array_equal(read.layers["b"].toarray(), adata.X.toarray())
    backed = read_h5ad(path, backed=True)
    np.testing.assert_array_equal(backed.X[3:29].toarray(), adata.X[3:29].toarray())


def test_pointers_are_as_narrow_as_they_may_be(adata, tmp_path, monkeypatch):
    monkeypatch.setattr(h5ad, "_INT32_MAX", adata.X.nnz)
    path = tmp_path / "a.h5ad"
    write_h5ad_streamed(path, without_X(adata), {"X": blocks(adata.X, 4)}, dtypes={"X": np.int32})
    with h5py.File(path) as file:
        assert file["X/indices"].dtype == file["X/indptr"].dtype == np.int32


def test_columns_of_a_row_are_stored_in_order(tmp_path):
    mixed = sparse.csr_matrix((np.array([1, 2, 3]), np.array([2, 0, 1]), np.array([0, 2, 3])))
    rest = ad.AnnData(obs=pd.DataFrame(index=["a", "b"]), var=pd.DataFrame(index=["A", "B", "C"]))
    write_h5ad_streamed(tmp_path / "a.h5ad", rest, {"X": [mixed]}, dtypes={"X": np.int32})
    with h5py.File(tmp_path / "a.h5ad") as file:
        assert file["X/indices"][:].tolist() == [0, 2, 1]
        assert file["X/data"][:].tolist() == [2, 1, 3]


def test_no_cells(tmp_path):
    rest = ad.AnnData(obs=pd.DataFrame(index=[]), var=pd.DataFrame(index=["A", "B"]))
    write_h5ad_streamed(tmp_path / "a.h5ad", rest, {"X": []}, dtypes={"X": np.int32})
    assert read_h5ad(tmp_path / "a.h5ad").X.shape == (0, 2)


@pytest.mark.parametrize("kind", ["sparse", "dense"])
@pytest.mark.parametrize("n_rows", [7, 29, 31])
def test_other_rows_than_promised_are_our_mistake_and_leave_nothing(adata, tmp_path, kind, n_rows):
    X = sparse.vstack([adata.X, adata.X], format="csr")[:n_rows]
    if kind == "dense":
        if n_rows > 30:
            return  # HDF5 has no place for them
        X = X.toarray()
    with pytest.raises(ValueError, match=f"{n_rows} rows were written, 30 were promised"):
        write_h5ad_streamed(
            tmp_path / "a.h5ad", without_X(adata), {"X": blocks(X, 7)}, dtypes={"X": np.int32}
        )
    assert list(tmp_path.iterdir()) == []


def test_writing_stops_where_the_disk_is_full(adata, tmp_path, monkeypatch):
    """HDF5 is not told of it, so the blocks that are still to come are not made in vain."""
    asked = []

    def many():
        for number in range(1000):
            asked.append(number)
            yield adata.X[:1]
            if number == 2:
                disks[0]._error = OSError(errno.ENOSPC, "No space left on device")

    disks = []

    class Watched(h5ad.Disk):
        def __init__(self, path):
            super().__init__(path)
            disks.append(self)

    monkeypatch.setattr("scpress.io.hdf5.Disk", Watched)
    with pytest.raises(InputError, match="No space left on device"):
        write_h5ad_streamed(
            tmp_path / "a.h5ad", without_X(adata), {"X": many()}, dtypes={"X": np.int32}
        )
    assert len(asked) <= 4
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file(adata, tmp_path):
    path = tmp_path / "a.h5ad"
    path.write_text("old")

    def fill_disk():
        yield adata.X[:7]
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match=r"cannot write '.*a\.h5ad': No space left on device"):
        write_h5ad_streamed(path, without_X(adata), {"X": fill_disk()}, dtypes={"X": np.int32})
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.h5ad"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(fraction=st.floats(0, 0.999), backed=st.booleans())
def test_truncated_file(adata, tmp_path, fraction, backed):
    write_h5ad(adata, tmp_path / "whole.h5ad")
    data = (tmp_path / "whole.h5ad").read_bytes()
    (tmp_path / "cut.h5ad").write_bytes(data[: int(len(data) * fraction)])
    with pytest.raises(InputError, match="cannot be read as h5ad"):
        read_h5ad(tmp_path / "cut.h5ad", backed=backed)


def test_other_files_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_h5ad(tmp_path / "a.h5ad")
    (tmp_path / "a.h5ad").write_text("not hdf5")
    with pytest.raises(InputError, match="cannot be read as h5ad"):
        read_h5ad(tmp_path / "a.h5ad")


def test_hdf5_of_another_kind_and_a_file_that_may_not_be_read_are_told_apart(tmp_path, monkeypatch):
    path = tmp_path / "a.h5ad"
    with h5py.File(path, "w") as file:
        file["matrix"] = [1]
    with pytest.raises(InputError, match="is not an AnnData file: it has no obs"):
        read_h5ad(path)

    def refuse(*words):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(h5py, "File", refuse)
    with pytest.raises(InputError, match=r"cannot read '.*': Permission denied"):
        read_h5ad(path)


def test_staged_counts_are_read_from_a_copy_that_leaves_nothing(simulated, tmp_path, monkeypatch):
    write_h5ad(simulated.copy(), tmp_path / "a.h5ad")
    (tmp_path / "local").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "local"))
    monkeypatch.setenv("SCPRESS_STAGE_INPUTS", "1")
    staged = read_h5ad(tmp_path / "a.h5ad", backed=True)
    # Not the original, which may go away; and a killed process would leave no copy behind.
    (tmp_path / "a.h5ad").unlink()
    assert not list((tmp_path / "local").iterdir())
    blocks = [block for _, _, block in iter_chunks(staged.X, max_bytes=10_000)]
    assert len(blocks) > 1
    assert (sparse.vstack(blocks) != simulated.X).nnz == 0


@pytest.mark.parametrize("backed", [False, True])
@pytest.mark.parametrize(
    ("name", "at", "value", "match"),
    [
        ("indices", 0, 77, "X has the index 77, outside of its axis of 3"),
        ("indptr", 1, 9, r"X: the row pointers do not fit the stored values: they fall from 9"),
    ],
)
def test_a_damaged_matrix_between_two_steps_is_one_line(tmp_path, name, at, value, match, backed):
    from scpress.counts.matrix import gene_totals

    X = sparse.csr_matrix(np.array([[1, 0, 2], [0, 3, 0]], dtype=np.int32))
    write_h5ad(ad.AnnData(X), tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "a") as file:
        file[f"X/{name}"][at] = value
    with pytest.raises(InputError, match=match):
        gene_totals(read_h5ad(tmp_path / "a.h5ad", backed=backed).X)


def test_indices_of_a_graph_are_checked_too(tmp_path):
    adata = ad.AnnData(np.ones((4, 2)))
    adata.obsp["distances"] = sparse.csr_matrix(np.eye(4))
    write_h5ad(adata, tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "a") as file:
        file["obsp/distances/indices"][0] = 4
    with pytest.raises(InputError, match="obsp/distances has the index 4"):
        read_h5ad(tmp_path / "a.h5ad", backed=True)


def test_a_backed_matrix_fits_its_tables(tmp_path):
    adata = ad.AnnData(sparse.csr_matrix(np.ones((4, 2))))
    write_h5ad(adata, tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "a") as file:
        file["X"].attrs["shape"] = [4, 3]
    with pytest.raises(InputError, match="4 x 3"):
        read_h5ad(tmp_path / "a.h5ad", backed=True)


@pytest.mark.parametrize("table", ["obs", "var"])
def test_a_column_that_does_not_say_what_it_is_is_not_missing_values(tmp_path, table):
    made = ad.AnnData(np.zeros((2, 2)))
    getattr(made, table)["score"] = [1.0, 2.0]
    made.write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "a") as file:
        del file[table]["score"]
        file[table].create_group("score")
    with pytest.raises(InputError, match=rf"a\.h5ad': {table}/score does not say how"):
        read_h5ad(tmp_path / "a.h5ad")
