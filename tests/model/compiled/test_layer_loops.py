"""Rows, products and hidden layers against scipy, numpy and torch."""

import numpy as np
import pytest
import torch
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


def test_the_hidden_loops_are_torchs_layers_under_a_given_dropout():
    torch.manual_seed(0)
    h, gradient = 2 + 3 * torch.randn(30, 16), torch.randn(30, 16)
    kept = (torch.rand(30, 16) < 0.7).float()
    norm = torch.nn.BatchNorm1d(16, eps=1e-3, momentum=0.01)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 16))
        norm.bias.copy_(torch.linspace(-1, 1, 16))
    gain, shift = (one.detach().clone().numpy() for one in (norm.weight, norm.bias))
    running = [np.zeros(16, np.float32), np.ones(16, np.float32)]
    out, by_h = np.empty((2, 30, 16), np.float32)
    mean, inverse, by_gain, by_shift = np.empty((4, 16), np.float32)
    scale = np.float32(1 / 0.7)
    layer_loops.hidden(
        h.numpy(),
        gain,
        shift,
        kept.numpy(),
        scale,
        np.float32(1e-3),
        np.float32(0.01),
        out,
        mean,
        inverse,
        *running,
    )
    layer_loops.hidden_gradient(
        gradient.numpy(), h.numpy(), out, gain, scale, mean, inverse, by_h, by_gain, by_shift
    )
    x = h.double().requires_grad_()
    norm = norm.double()
    expected = torch.relu(norm(x)) * kept / 0.7
    expected.backward(gradient.double())
    pairs = [
        (out, expected),
        (by_h, x.grad),
        (by_gain, norm.weight.grad),
        (by_shift, norm.bias.grad),
        (running[0], norm.running_mean),
        (running[1], norm.running_var),
        (mean, h.mean(dim=0)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_cells", [1, 5, 16, 130])
def test_products_are_scipys_for_more_and_fewer_cells_than_chunks(n_cells):
    rng = np.random.default_rng(n_cells)
    X = sparse.csr_matrix(rng.poisson(0.3, (n_cells, 50)).astype(np.float32))
    weight = rng.normal(size=(50, 9)).astype(np.float32)
    gradient = rng.normal(size=(n_cells, 9)).astype(np.float32)
    pointers = X.indptr.astype(np.int64)
    out = np.zeros((n_cells, 9), np.float32)
    layer_loops.sparse_product(pointers, X.indices, X.data, weight, out)
    np.testing.assert_allclose(out, X @ weight, rtol=1e-4, atol=1e-5)
    ordered = layer_loops.by_gene(pointers, X.indices, X.data, 50)
    columns = X.tocsc()
    for ours, theirs in zip(ordered, (columns.indptr, columns.indices, columns.data), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    to = np.empty((50, 9), np.float32)
    layer_loops.sparse_gradient(*ordered, gradient, to)
    np.testing.assert_allclose(to, X.T @ gradient, rtol=1e-4, atol=1e-5)
