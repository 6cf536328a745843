"""Library sizes, size factors and log-values against numpy."""

import numpy as np
import pytest
from scipy import sparse

from scpress.counts.sizes import library_sizes, log_normalize, size_factors
from scpress.errors import InputError


def test_library_sizes_of_counts_stored_anyhow(stored, dense):
    np.testing.assert_array_equal(library_sizes(stored), dense.sum(axis=1))


def test_library_sizes_pass_int32():
    X = sparse.csr_matrix(np.full((2, 3), 2**31 - 1, dtype=np.int32))
    np.testing.assert_array_equal(library_sizes(X), [3 * (2**31 - 1)] * 2)


def test_size_factors_are_relative_to_the_median():
    np.testing.assert_allclose(size_factors(np.array([1, 2, 8])), [0.5, 1, 4])
    with pytest.raises(InputError, match="1 cells have no molecules"):
        size_factors(np.array([0, 2]))


def test_log_normalize_against_numpy(dense):
    factor = np.linspace(0.5, 2, len(dense))
    logged = log_normalize(sparse.csr_matrix(dense), factor)
    np.testing.assert_allclose(logged.toarray(), np.log1p(dense / factor[:, None]), rtol=1e-6)
    assert logged.dtype == np.float32
    assert logged.nnz == np.count_nonzero(dense)
