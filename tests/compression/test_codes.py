"""Latents, decoders and counts as files: what is written is read, and costs what the file costs."""

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from scpress.compression import codes

latents = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(-1000, 1000, width=32),
)


@given(z=latents)
def test_float32_is_lossless(z):
    np.testing.assert_array_equal(codes.unpack_latent(codes.pack_latent(z, "float32")), z)


@given(z=latents)
def test_float16_is_close(z):
    np.testing.assert_allclose(
        codes.unpack_latent(codes.pack_latent(z, "float16")), z, rtol=1e-3, atol=1e-4
    )


@given(z=latents)
def test_int8_is_within_half_a_step(z):
    packed = codes.pack_latent(z, "int8")
    assert packed["z"].dtype == np.uint8
    error = np.abs(codes.unpack_latent(packed) - z)
    assert (error <= packed["step"] * 0.501 + 1e-3).all()


def test_float16_does_not_overflow():
    z = np.array([[1e6, -1e6]], dtype=np.float32)
    assert np.isfinite(codes.unpack_latent(codes.pack_latent(z, "float16"))).all()


def test_stored_arrays_come_back_and_cost_what_the_file_costs(tmp_path):
    arrays = {"a": np.arange(1000, dtype=np.float32), "b": np.zeros(5000, dtype=np.int8)}
    stored = codes.store_arrays(arrays, tmp_path / "code.npz")
    assert stored.n_bytes == (tmp_path / "code.npz").stat().st_size
    assert stored.n_bytes < sum(a.nbytes for a in arrays.values())
    for name, values in arrays.items():
        np.testing.assert_array_equal(stored.arrays[name], values)
    # Each by its name: what does not repeat costs more than what does.
    assert list(stored.tensors) == ["a", "b"]
    assert stored.tensors["b"] < 200 < stored.tensors["a"] < arrays["a"].nbytes
    assert sum(stored.tensors.values()) < stored.n_bytes


def test_stored_counts_are_the_counts(tmp_path, simulated):
    X = simulated.X
    path = tmp_path / "counts.h5"
    size = codes.store_counts([X[:70], X[70:]], path)
    assert size == path.stat().st_size
    with h5py.File(path) as file:
        assert {file[name].compression for name in file} == {"gzip"}
        assert {str(file[name].dtype) for name in ("data", "indices")} == {"int32"}
        read = sparse.csr_matrix((file["data"][:], file["indices"][:], file["indptr"][:]), X.shape)
    assert (read != X).nnz == 0


@pytest.mark.parametrize(
    ("fixed", "cell", "stored", "expected"),
    [(1000, 10, 110, 10), (1001, 10, 110, 11), (0, 10, 110, 0), (5, 110, 110, None)],
)
def test_break_even(fixed, cell, stored, expected):
    assert codes.break_even_cells(fixed, cell, stored) == expected
