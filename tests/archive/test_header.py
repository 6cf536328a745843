"""What an archive says of itself: it comes back, and nothing absurd is believed."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scpress.archive.header import Header, Index, cells_of_chunks

HEADER = Header(
    60, 9, 200, 300, "X", "csr", "int32", "int32", "int64", 24, "0.1.0", 1, 2, {"chosen": "?"}
)


def read(**changes):
    plain = dataclasses.asdict(HEADER) | changes
    return Header.from_bytes(json.dumps(plain).encode(), file_bytes=1000)


def test_a_header_comes_back():
    assert Header.from_bytes(HEADER.to_bytes(), file_bytes=1000) == HEADER
    assert read() == HEADER
    assert HEADER.shape == (60, 9)
    assert HEADER.n_chunks == 3
    assert list(cells_of_chunks(HEADER)) == [24, 24, 12]


@pytest.mark.parametrize(
    "changes",
    [
        {"n_obs": -1},
        {"n_obs": 2**63},
        {"n_obs": 60.0},
        {"n_obs": True},
        {"n_obs": 2**14 * 1000 + 1},
        {"n_vars": 2**40},
        {"nnz": 60 * 9 + 1},
        {"nnz": 301},
        {"sum": 199},
        {"sum": 200 * 2**31 + 1},
        {"place": "layers/"},
        {"place": "obs"},
        {"place": "X\n"},
        {"place": None},
        {"storage": "coo"},
        {"storage": "dense"},
        {"dtype": "object"},
        {"dtype": "int128"},
        {"dtype": ["int32"]},
        {"indices": "int16"},
        {"indptr": None},
        {"cells_per_chunk": 0},
        {"cells_per_chunk": 2**16 + 1},
        {"scpress": 1},
        {"codec": []},
        {"model_crc32": "1"},
        {"more": 1},
    ],
)
def test_a_value_that_cannot_be_is_refused(changes):
    with pytest.raises(ValueError, match=r"is |must name|cannot be"):
        read(**changes)


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_header_is_refused(payload):
    with pytest.raises(ValueError, match=r"Expecting|must name|nested|decode"):
        Header.from_bytes(payload, file_bytes=1000)


def test_a_dense_matrix_has_no_indices():
    assert read(storage="dense", indices=None, indptr=None, dtype="float64").indices is None


def index_of(n_bytes, nonzeros):
    n = len(n_bytes)
    crc = np.arange(n) * 1_000_003 % 2**32
    return Index(np.array(n_bytes), np.array(nonzeros), crc, crc[::-1].copy())


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 9)), min_size=3, max_size=3))
def test_an_index_comes_back(chunks):
    n_bytes, nonzeros = zip(*chunks, strict=True)
    header = dataclasses.replace(HEADER, nnz=sum(nonzeros))
    index = index_of(n_bytes, nonzeros)
    payload = index.to_bytes(b"header")
    found = Index.from_bytes(payload, header, b"header")
    for name in ("n_bytes", "nonzeros", "coded_crc32", "counts_crc32"):
        assert list(getattr(found, name)) == list(getattr(index, name))


def test_an_index_of_nothing_comes_back():
    header = dataclasses.replace(HEADER, n_obs=0, nnz=0, sum=0)
    payload = index_of([], []).to_bytes(b"")
    assert len(Index.from_bytes(payload, header, b"").n_bytes) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p: p[:-1], "too short for 3"),
        (lambda p: p + b"\0", "1 bytes are left over"),
        (lambda p: b"\0" + p[1:], "another header"),
        (lambda p: p[:4] + b"\x09" + p[5:], "too short for 3"),
        (lambda p: p[:4], "too short for 3"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(change, says):
    payload = index_of([10, 20, 30], [100, 50, 50]).to_bytes(b"h")
    Index.from_bytes(payload, HEADER, b"h")
    with pytest.raises(ValueError, match=says):
        Index.from_bytes(change(payload), HEADER, b"h")


@pytest.mark.parametrize(
    ("nonzeros", "says"),
    [
        ([100, 50, 51], "not the 200 nonzeros"),
        ([24 * 9 + 1, 0, 0], "chunk 0 says that 10 bytes hold 217"),
        ([0, 0, 12 * 9 + 1], "chunk 2 says"),
    ],
)
def test_an_index_of_more_than_there_can_be_is_refused(nonzeros, says):
    payload = index_of([10, 20, 30], nonzeros).to_bytes(b"h")
    with pytest.raises(ValueError, match=says):
        Index.from_bytes(payload, HEADER, b"h")


def test_nonzeros_are_held_against_the_bytes_of_their_chunk():
    header = dataclasses.replace(HEADER, n_vars=2**22, nnz=24 * 2**22, sum=24 * 2**22)
    payload = index_of([1, 1, 1], [24 * 2**22, 0, 0]).to_bytes(b"h")
    with pytest.raises(ValueError, match="chunk 0 says that 1 bytes hold 100663296"):
        Index.from_bytes(payload, header, b"h")


def test_chunks_that_the_index_has_no_bytes_for_are_not_made_room_for():
    """Columns of no width would let four bytes stand for any number of chunks."""
    header = dataclasses.replace(HEADER, n_obs=2**50, nnz=0, sum=0)
    payload = index_of([], []).to_bytes(b"h")
    with pytest.raises(ValueError, match="too short"):
        Index.from_bytes(payload, header, b"h")
