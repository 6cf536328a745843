"""Chunks of cells: all come back, each by itself, and what is none is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from scpress.archive.codec import CountsCodec

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=60)
COUNTS = hnp.arrays(
    np.int32, SHAPES, elements=st.one_of(st.just(0), st.integers(0, 2), st.integers(0, 2**31 - 1))
)


def fitted(X):
    return CountsCodec.fit(lambda: iter([sparse.csr_matrix(X)]), X.shape)


def cells_of(codec, n_obs):
    return [min(codec.cells_per_chunk, n_obs - i) for i in range(0, n_obs, codec.cells_per_chunk)]


@given(COUNTS)
def test_any_counts_come_back_through_bytes(X):
    codec = fitted(X)
    chunks = codec.encode(sparse.csr_matrix(X))
    cells = cells_of(codec, X.shape[0])
    assert len(chunks) == len(cells)
    again = CountsCodec.from_bytes(codec.to_bytes(), X.shape[1])
    found = again.decode(chunks, cells)
    assert found.dtype == found.indices.dtype == np.int32
    assert found.has_canonical_format
    assert found.nnz == (X > 0).sum()
    assert (found.toarray() == X).all()
    assert again.to_bytes() == codec.to_bytes()


def test_each_chunk_is_decoded_by_itself():
    X = np.random.default_rng(0).poisson(0.4, (100, 7)).astype(np.int32)
    codec = fitted(X)
    chunks, cells = codec.encode(sparse.csr_matrix(X)), cells_of(fitted(X), 100)
    found = codec.decode([chunks[3], chunks[1]], [cells[3], cells[1]])
    n = codec.cells_per_chunk
    wanted = np.vstack([X[3 * n : 4 * n], X[n : 2 * n]])
    assert (found.toarray() == wanted).all()


def test_a_model_of_other_genes_is_refused():
    codec = fitted(np.ones((3, 4), dtype=np.int32))
    with pytest.raises(ValueError, match=r"."):
        CountsCodec.from_bytes(codec.to_bytes(), 5)


def test_what_it_tells_of_itself_is_json_that_names_the_model():
    import json

    told = fitted(np.ones((3, 4), dtype=np.int32)).describe()
    assert json.loads(json.dumps(told)) == told
    assert told["chosen"]


def test_a_damaged_chunk_is_refused_or_of_the_same_shape():
    X = np.random.default_rng(0).poisson(0.4, (24, 7)).astype(np.int32)
    codec = fitted(X)
    (chunk,) = codec.encode(sparse.csr_matrix(X))
    for at in range(len(chunk)):
        changed = bytearray(chunk)
        changed[at] ^= 0x55
        try:
            found = codec.decode([bytes(changed)], [24])
        except ValueError:
            continue
        assert found.shape == (24, 7)
        assert not found.nnz or found.indices.max() < 7
