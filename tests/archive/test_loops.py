"""The compiled loops refuse what no count can be, as numpy's do."""

import numpy as np
import pytest
from archive.test_encoding import codec_of, encode
from archive.test_numpy_reader import NO_MORE, parameters
from scipy import sparse

from scpress.archive.numbers import frequencies
from scpress.archive.numpy_reader import CountsReader


def test_a_count_of_zero_or_too_large_a_one_is_none():
    levels = np.array([80]), frequencies(np.ones(1))
    codec = codec_of(parameters(tables=[levels, NO_MORE]))
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
