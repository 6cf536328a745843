"""The words of a chunk are pinned: archives that exist must be read for ever."""

import hashlib

import numpy as np
import pytest
from archive.test_numpy_reader import parameters
from scipy import sparse

from scpress.archive import loops
from scpress.archive.codec import CountsCodec
from scpress.archive.fit import Fitted
from scpress.archive.numbers import frequencies
from scpress.archive.numpy_reader import CountsReader

COUNTS = sparse.csr_matrix(
    [[0, 0, 3, 1, 2_000_000_000], [1, 0, 0, 0, 40], [0, 0, 0, 0, 0], [2, 0, 70, 0, 1]]
)


def codec_of(packed):
    codec = CountsCodec(packed, 5)
    codec._fitted = Fitted(packed, None, {})
    return codec


def test_the_words_are_the_same_for_ever():
    levels = np.array([0, 80, 100, 494]), frequencies(np.ones(4))
    packed = parameters(tables=[levels])
    assert hashlib.sha256(packed).hexdigest()[:16] == PARAMETERS
    X = COUNTS.copy()
    codec = codec_of(packed)
    chunk = encode(codec, X, [3, 2, 0, 1])
    assert hashlib.sha256(chunk).hexdigest()[:16] == WORDS
    back = codec.decode([chunk], [4], [X.nnz])
    np.testing.assert_array_equal(back.toarray(), X.toarray())
    indptr, indices, data = CountsReader(packed, 5).decode([chunk], [4])
    theirs = sparse.csr_matrix((data, indices, indptr), shape=X.shape)
    np.testing.assert_array_equal(theirs.toarray(), X.toarray())


def test_a_count_of_zero_or_too_large_a_one_is_none():
    levels = np.array([80]), frequencies(np.ones(1))
    codec = codec_of(parameters(tables=[levels]))
    for value, is_right in ((0, False), (1, True), (2**31 - 1, True), (2**31, False)):
        # The first gene is a rare one, whose value is told wherever it stands.
        X = sparse.csr_matrix((np.array([value]), np.array([0]), np.array([0, 1])), shape=(1, 5))
        chunk = encode(codec, X, [0])
        readers = (
            lambda chunk=chunk: codec.decode([chunk], [1], [1]).data,
            lambda chunk=chunk: CountsReader(codec.to_bytes(), 5).decode([chunk], [1])[2],
        )
        for read in readers:
            if is_right:
                assert read().tolist() == [value]
            else:
                with pytest.raises(ValueError, match="a count that is none"):
                    read()


def encode(codec, X, places):
    """A chunk of cells with these levels, whatever their library sizes are."""
    heads = np.array(places)[:, None]
    words = np.empty(1000, np.uint32)
    n = loops.encode_chunk(
        X.indptr.astype(np.int64), X.indices, X.data, heads,
        codec.parameters.tables[0][0][heads[:, 0]], np.zeros((len(places), 1), np.int64),
        codec._head_starts, codec._rank, codec._direct, codec._rare, codec._model, words,
    )  # fmt: skip
    return words[len(words) - n :].tobytes()


PARAMETERS = "17bcae06869d4ccb"
WORDS = "f54ffe1708877895"
