"""AnnData files are written whole or not at all, in blocks of any size, and damage is one error."""

import errno

import anndata as ad
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
    import h5py

    monkeypatch.setattr(h5ad, "_INT32_MAX", adata.X.nnz - 1)
    path = tmp_path / "a.h5ad"
    write_h5ad_streamed(path, without_X(adata), {"X": [adata.X]}, dtypes={"X": np.int32})
    with h5py.File(path) as file:
        assert file["X/indptr"].dtype == np.int64
    np.testing.assert_array_equal(read_h5ad(path).X.toarray(), adata.X.toarray())


def test_no_cells(tmp_path):
    rest = ad.AnnData(obs=pd.DataFrame(index=[]), var=pd.DataFrame(index=["A", "B"]))
    write_h5ad_streamed(tmp_path / "a.h5ad", rest, {"X": []}, dtypes={"X": np.int32})
    assert read_h5ad(tmp_path / "a.h5ad").X.shape == (0, 2)


def test_too_few_rows_is_our_mistake_and_leaves_nothing(adata, tmp_path):
    with pytest.raises(ValueError, match="7 rows were written, 30 were promised"):
        write_h5ad_streamed(
            tmp_path / "a.h5ad", without_X(adata), {"X": [adata.X[:7]]}, dtypes={"X": np.int32}
        )
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
