"""The words of a chunk are pinned: archives that exist must be read for ever."""

import hashlib

import numpy as np
from archive.test_numpy_reader import NO_MORE, parameters
from scipy import sparse

from scpress.archive.codec import CountsCodec
from scpress.archive.encoding import encode_lane
from scpress.archive.fit import Fitted
from scpress.archive.numbers import frequencies
from scpress.archive.numpy_reader import CountsReader, rare_level_of

COUNTS = sparse.csr_matrix(
    [[0, 0, 3, 1, 2_000_000_000], [1, 0, 0, 0, 40], [0, 0, 0, 0, 0], [2, 0, 70, 0, 1]]
)


def codec_of(packed):
    codec = CountsCodec(packed, 5)
    codec._fitted = Fitted(packed, None, {})
    return codec


def test_the_words_are_the_same_for_ever():
    levels = np.array([0, 80, 100, 494]), frequencies(np.ones(4))
    packed = parameters(tables=[levels, NO_MORE])
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


def encode(codec, X, places):
    """A chunk of cells with these levels, whatever their library sizes are."""
    heads = np.stack([places, np.zeros(len(places), int)], axis=1)
    level = codec.parameters.tables[0][0][heads[:, 0]]
    levels = np.stack([level, rare_level_of(level, 0)], axis=1)
    words, lanes = np.empty(1000, np.uint32), []
    for lane in range(2):
        n = encode_lane(
            lane, X.indptr.astype(np.int64), X.indices, X.data, heads, levels,
            np.zeros((len(places), 1), np.int64), codec._head_starts, codec._rank, codec._direct,
            codec._rare, codec._model, words,
        )  # fmt: skip
        lanes.append(words[len(words) - n :].copy())
    return np.concatenate([lanes[0], lanes[1][::-1]]).tobytes()


PARAMETERS = "68872157c46be3fa"
WORDS = "68488b73091a99e5"
