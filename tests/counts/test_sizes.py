"""Library sizes, size factors and log-values against numpy."""

import numpy as np
import pytest
from scipy import sparse

from scpress.counts.sizes import library_sizes, size_factors
from scpress.errors import InputError


def test_library_sizes_pass_int32():
    X = sparse.csr_matrix(np.full((2, 3), 2**31 - 1, dtype=np.int32))
    np.testing.assert_array_equal(library_sizes(X), [3 * (2**31 - 1)] * 2)


def test_size_factors_are_relative_to_the_median():
    np.testing.assert_allclose(size_factors(np.array([1, 2, 8])), [0.5, 1, 4])
    with pytest.raises(InputError, match="1 cells have no molecules"):
        size_factors(np.array([0, 2]))
