"""The first and the last layer against torch's own, values and gradients."""

import itertools

import numpy as np
import pytest
import torch
from builders import modelled
from scipy import sparse

from scpress.config.options import TrainOptions
from scpress.model import likelihoods as lk
from scpress.model.axes import resolve_config
from scpress.model.batches import Cells, sparse_batch
from scpress.model.compiled import layers
from scpress.model.fitted import TrainedModel
from scpress.model.network import CountAutoencoder


def test_a_dense_batch_takes_the_other_way_to_the_same_first_layer(pbmc):
    data = modelled(pbmc, n_genes=100)
    model = TrainedModel(CountAutoencoder(resolve_config(TrainOptions(), n_genes=100)), [], [], 1.0)
    x = data.cells_of(model).counts
    weight = torch.randn(100, 16).t().requires_grad_()
    bias = torch.randn(16, requires_grad=True)
    density = len(x.values) / (x.shape[0] * x.shape[1])
    results = []
    for threshold in (0.0, 1.0):
        fused_from, layers.DENSE_FROM = layers.DENSE_FROM, threshold
        try:
            h = layers.sparse_linear(x, weight, bias)
        finally:
            layers.DENSE_FROM = fused_from
        results.append((h, *torch.autograd.grad(h.square().sum(), (weight, bias))))
    assert 0 < density < 1
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-3 * float(two.detach().abs().max()))


@pytest.mark.parametrize("density", [0.05, 0.29, 0.31, 0.9])
def test_a_sparse_linear_layer_is_a_linear_one(density):
    rng = np.random.default_rng(0)
    counts = np.zeros((20, 50))
    counts.flat[rng.permutation(1000)[: int(1000 * density)]] = rng.integers(1, 9)
    x = sparse_batch(sparse.csr_matrix(counts))
    assert layers.is_dense(x) == (density > 0.3)
    weight, bias = torch.randn(50, 6).t().requires_grad_(), torch.randn(6, requires_grad=True)
    h = layers.sparse_linear(x, weight, bias)
    expected = torch.nn.functional.linear(x.dense(), weight, bias)
    torch.testing.assert_close(h, expected, rtol=1e-5, atol=1e-4)
    factors = torch.randn(20, 6)
    for ours, theirs in zip(
        torch.autograd.grad((h * factors).sum(), (weight, bias)),
        torch.autograd.grad((expected * factors).sum(), (weight, bias)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


CASES = [
    (name, theta, softmax, masked)
    for name, theta, softmax, masked in itertools.product(
        # A multinomial's loops are those of poisson.
        sorted(layers.KINDS.keys() - {"multinomial"}),
        ("gene", "batch", "cell"),
        (True, False),
        (False, True),
    )
    if (name != "poisson" or theta == "gene") and not (masked and theta == "batch")
]


@pytest.mark.parametrize(("name", "theta", "softmax", "masked"), CASES)
def test_the_output_layer_is_the_likelihood_of_what_its_heads_decode(name, theta, softmax, masked):
    # More genes than the loops take at a time, more cells than there are chunks.
    n_cells, n_genes, n_inputs = 18, 1100, 5
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.2, (n_cells, n_genes))
    # Sets of genes of which one is whole and one has a gap longer than what is taken at a time.
    measured = rng.random((3, n_genes)) < 0.6 if masked else np.ones((3, n_genes), dtype=bool)
    measured[0], measured[1, :1030] = True, measured[1, 0]
    gene_set = rng.permutation(np.arange(n_cells) % 3)
    mask = torch.from_numpy(measured[gene_set])
    x = sparse_batch(sparse.csr_matrix(counts * mask.numpy()))
    torch.manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64)  # noqa: E731
    h, library = draw(n_cells, n_inputs), x.sum_rows(x.values).double() * (1 if softmax else 0.003)
    rows = torch.arange(n_cells) % 2 if theta == "batch" else torch.zeros(n_cells, dtype=int)
    leaves = [draw(n_genes, n_inputs), draw(n_genes)]
    leaves += [draw(n_genes, n_inputs), draw(n_genes)] if name == "zinb" else [None] * 2
    if name == "poisson":
        leaves += [None] * 2
    elif theta == "cell":
        leaves += [draw(n_genes, n_inputs), draw(n_genes)]
    else:
        leaves += [2 * draw(2 if theta == "batch" else 1, n_genes), None]
    if name != "poisson":
        # Some beyond the ends of the range, from which no gradient comes back.
        (leaves[4] if theta != "cell" else leaves[5][None])[:, ::50] = 40.0
    if name == "zinb":
        leaves[3][::60] = 90.0
    leaves = [None if one is None else one.requires_grad_() for one in [h, *leaves]]

    def likelihood_of(h, *heads):
        eta, eta_bias, pi, pi_bias, of_theta, theta_bias = heads
        mu = h @ eta.t() + eta_bias
        share = mu - torch.logsumexp(torch.where(mask, mu, -torch.inf), 1, keepdim=True)
        mu = torch.log(library)[:, None] + (share if softmax else mu)
        logits = log_theta = None
        if pi is not None:
            logits = (h @ pi.t() + pi_bias).clamp(-lk.PI_LOGITS_MAX, lk.PI_LOGITS_MAX)
        if of_theta is not None:
            log_theta = of_theta[rows] if theta_bias is None else h @ of_theta.t() + theta_bias
            log_theta = log_theta.clamp(lk.LOG_THETA_MIN, lk.LOG_THETA_MAX)
        parameters = lk.Parameters(mu.clamp(lk.LOG_MU_MIN, lk.LOG_MU_MAX), log_theta, logits)
        dense = lk.LIKELIHOODS[name].dense(x.dense().double(), parameters)
        return torch.where(mask, dense, 0.0).sum(dim=1)

    expected = likelihood_of(*leaves)
    (0.5 * expected.sum()).backward()
    ours = [None if one is None else one.detach().float().requires_grad_() for one in leaves]
    layer = layers.OutputLayer(
        name,
        layers.Heads(*ours[1:]),
        n_cells,
        softmax=softmax,
        products="float32",
        with_gradient=True,
    )
    theta_row = torch.zeros(0, dtype=torch.int64) if theta == "cell" else rows
    sets = (torch.from_numpy(measured), torch.from_numpy(gene_set)) if masked else (None, None)
    cells = Cells(x, library.float(), library.float(), None, None, *sets)
    total, parts = layers.output_log_likelihood(
        layer, layers.Heads(*ours[1:]), ours[0], theta_row, library.float(), cells
    )
    np.testing.assert_allclose(parts, expected.detach(), rtol=1e-5, atol=1e-2)
    (0.5 * total).backward()
    for one, other in zip(ours, leaves, strict=True):
        if other is not None:
            error = float((one.grad.double() - other.grad).abs().max())
            assert error <= 2e-5 * float(other.grad.abs().max())
