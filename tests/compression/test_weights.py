"""Weights in fewer bits: within half a step, small, and no scale for every gene."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scpress.compression.codes import bits_of, store_arrays
from scpress.compression.weights import pack_weights, unpack_weights

INTEGERS = ("int8", "int6", "int4")
matrices = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6),
    elements=st.floats(-1000, 1000, width=32),
)


@given(weights=matrices)
def test_float32_is_lossless(weights):
    read = unpack_weights(pack_weights({"w": weights}, "float32"))
    np.testing.assert_array_equal(read["w"], weights)


@pytest.mark.parametrize("precision", INTEGERS)
@given(weights=hnp.arrays(np.float32, (3, 5), elements=st.floats(-1000, 1000, width=32)))
def test_integers_are_within_half_a_step_of_the_largest_in_the_row(precision, weights):
    packed = pack_weights({"w": weights}, precision)
    assert packed["w"].dtype == np.int8
    most = 2 ** (bits_of(precision) - 1) - 1
    assert np.abs(packed["w"].astype(int)).max() <= most
    step = np.abs(weights).max(axis=1, keepdims=True) / most
    assert (np.abs(unpack_weights(packed)["w"] - weights) <= step * 0.501 + 1e-6).all()


@pytest.mark.parametrize("shape", [(2000, 3), (3, 2000)])
def test_there_is_a_scale_for_each_dimension_and_none_for_each_gene(shape):
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert pack_weights({"w": weights}, "int8")["w:scale"].size == 3


def test_vectors_are_float16_where_that_holds_them():
    vectors = {"bias": np.array([1.5, -2], np.float32), "large": np.array([1e6, 1], np.float32)}
    packed = pack_weights(vectors, "int4")
    assert (packed["bias"].dtype, packed["large"].dtype) == (np.float16, np.float32)
    read = unpack_weights(packed)
    np.testing.assert_array_equal(read["large"], vectors["large"])
    np.testing.assert_array_equal(read["bias"], vectors["bias"])
    assert read["bias"].dtype == np.float32


def test_fewer_bits_are_fewer_bytes_and_small_weights_become_zeros(tmp_path):
    weights = np.random.default_rng(0).laplace(size=(2000, 8)).astype(np.float32)
    packed = {p: pack_weights({"w": weights}, p) for p in ("float32", "float16", *INTEGERS)}
    sizes = [store_arrays(one, tmp_path / "w.npz").n_bytes for one in packed.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < sizes[0] / 3.5
    assert sizes[4] < sizes[2] / 2
    assert np.mean(packed["int4"]["w"] == 0) > 0.4


def test_weights_of_zeros_come_back():
    read = unpack_weights(pack_weights({"w": np.zeros((4, 2), np.float32)}, "int8"))
    np.testing.assert_array_equal(read["w"], np.zeros((4, 2)))
