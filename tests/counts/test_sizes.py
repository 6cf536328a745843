"""Library sizes, size factors and log-values against numpy."""

import numpy as np
import pytest
from scipy import sparse

from scpress import settings
from scpress.counts import sizes
from scpress.counts.sizes import library_sizes, log_normalize, size_factors
from scpress.errors import InputError


@pytest.mark.parametrize("chunk_bytes", [1, 100, 10**6])
def test_library_sizes_of_counts_stored_anyhow(monkeypatch, stored, dense, chunk_bytes):
    monkeypatch.setattr(settings, "chunk_bytes", chunk_bytes)
    np.testing.assert_array_equal(library_sizes(stored), dense.sum(axis=1))


def test_library_sizes_pass_int32():
    X = sparse.csr_matrix(np.full((2, 3), 2**31 - 1, dtype=np.int32))
    np.testing.assert_array_equal(library_sizes(X), [3 * (2**31 - 1)] * 2)


def test_size_factors_are_relative_to_the_median():
    np.testing.assert_allclose(size_factors(np.array([1, 2, 8])), [0.5, 1, 4])
    with pytest.raises(InputError, match="1 cells have no molecules"):
        size_factors(np.array([0, 2]))


def test_an_even_number_of_cells_has_its_median_between_two():
    np.testing.assert_allclose(size_factors(np.array([1, 2, 4, 100])), np.array([1, 2, 4, 100]) / 3)


@pytest.mark.parametrize("rows", [1, 7, 39, 40, 4096])
def test_log_normalize_against_numpy(monkeypatch, dense, rows):
    monkeypatch.setattr(sizes, "_LOG_ROWS", rows)
    factor = np.linspace(0.5, 2, len(dense))
    counts = sparse.csr_matrix(dense)
    logged = log_normalize(counts, factor)
    np.testing.assert_allclose(logged.toarray(), np.log1p(dense / factor[:, None]), rtol=1e-6)
    assert logged.dtype == np.float32
    assert logged.nnz == np.count_nonzero(dense)
    np.testing.assert_array_equal(counts.toarray(), dense)


def test_log_normalize_leaves_float32_counts_as_they_are(dense):
    counts = sparse.csr_matrix(dense.astype(np.float32))
    log_normalize(counts, np.full(len(dense), 2.0))
    np.testing.assert_array_equal(counts.toarray(), dense)
