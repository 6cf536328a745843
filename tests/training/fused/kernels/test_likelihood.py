"""Likelihood, softmax, theta and loss of the kernels, against the plain ones."""

import pytest
import torch

from scpress.training.fused import plain
from scpress.training.fused.plain import MOST_PARTS, Output


def _output(kind, theta, *, softmax=True, dtype=torch.float32, n_cells=5, n_genes=40):
    torch.manual_seed(0)
    heads = {"poisson": 1, "nb": 1, "zinb": 2}[kind] + (theta == "gene-cell")
    rows = {"gene": 1, "gene-batch": 3}.get(theta, 0)
    products = 3 * torch.randn(n_cells, heads * n_genes)
    # Beyond every bound, where no gradient is left.
    products[0, ::n_genes] = 60.0
    products[1, 1::n_genes] = -60.0
    counts = torch.poisson(torch.rand(n_cells, n_genes) * 2)
    counts[0, 3], counts[2, 4] = 20_000.0, 300.0
    return Output(
        kind=kind,
        products=products.to(dtype),
        gradient=torch.zeros_like(products, dtype=dtype),
        bias=torch.randn(heads * n_genes),
        by_bias=torch.zeros(heads * n_genes),
        theta=3 * torch.randn(rows, n_genes).clamp(-2, 3),
        by_theta=torch.zeros(rows, n_genes),
        theta_row=torch.arange(n_cells) % max(1, rows),
        softmax=softmax,
        library=counts.sum(dim=1) if softmax else torch.rand(n_cells) + 0.5,
        counts=counts,
        log_norm=torch.zeros(n_cells),
        by_theta_of_cell=torch.zeros(n_cells if rows else 0, n_genes),
        sums=torch.zeros(2, n_cells, MOST_PARTS),
    )


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize(
    ("kind", "theta"),
    [
        ("poisson", "none"),
        ("nb", "gene"),
        ("nb", "gene-cell"),
        ("zinb", "gene"),
        ("zinb", "gene-batch"),
        ("zinb", "gene-cell"),
    ],
)
def test_the_likelihood_and_its_gradient_are_the_same(both, kind, theta, softmax):
    output = _output(kind, theta, softmax=softmax)
    # The sums are of other parts.
    (ours,) = both("likelihood", output, skip={11}, rtol=2e-5, atol=2e-4)
    plain.likelihood(output)
    sums = ours.sums.cpu().sum(dim=2)
    torch.testing.assert_close(sums, output.sums.sum(dim=2), rtol=1e-5, atol=1e-3)


def test_bfloat16_products_are_the_same_but_for_their_rounding(both):
    both(
        "likelihood", _output("zinb", "gene", dtype=torch.bfloat16), skip={11}, rtol=1e-2, atol=2e-3
    )


def test_what_is_not_a_number_passes_the_likelihood(kernels):
    for name in ("products", "bias", "theta", "library"):
        output = _output("zinb", "gene")
        getattr(output, name).view(-1)[7 if name != "library" else 2] = float("nan")
        kernels.likelihood(output)
        assert not torch.isfinite(output.sums[0]).all(), name


def test_the_loss_is_the_same(both):
    sums, kl = torch.randn(70, MOST_PARTS), torch.rand(70)
    both("loss", sums, kl, torch.tensor(0.3), torch.zeros(()))
