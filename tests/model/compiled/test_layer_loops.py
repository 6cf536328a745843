"""Rows, products and hidden layers against scipy, numpy and torch."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from scpress.model.compiled import layer_loops


@settings(deadline=None)  # the first example compiles
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=7, max_size=7), min_size=1, max_size=6),
    st.data(),
)
def test_rows_and_products_of_any_small_matrix(values, draw):
    X = sparse.csr_matrix(np.array(values, dtype=np.int32))
    if X.nnz:  # a stored zero is left out
        X.data[0] = 0
    rows = np.array(
        draw.draw(st.lists(st.integers(0, len(values) - 1), max_size=5)), dtype=np.int64
    )
    pointers, indices, counts, totals = layer_loops.gather_rows(rows, X.indptr, X.indices, X.data)
    dense = X.toarray()[rows]
    found = sparse.csr_matrix((counts, indices, pointers), shape=(len(rows), 7))
    np.testing.assert_array_equal(found.toarray(), dense)
    np.testing.assert_array_equal(totals, dense.sum(axis=1))
    assert (counts != 0).all()

    weight = np.arange(7 * 5, dtype=np.float32).reshape(7, 5)
    out = np.ones((len(rows), 5), np.float32)
    layer_loops.sparse_product(pointers, indices, counts, weight, out)
    np.testing.assert_array_equal(out, dense @ weight + 1)
    by_gene = layer_loops.by_gene(pointers, indices, counts, 7)
    gradient = np.arange(len(rows) * 5, dtype=np.float32).reshape(-1, 5)
    to = np.full((7, 5), np.nan, np.float32)
    layer_loops.sparse_gradient(*by_gene, gradient, to)
    np.testing.assert_array_equal(to, dense.T @ gradient)
