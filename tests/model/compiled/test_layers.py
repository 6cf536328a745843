"""The first and the last layer against torch's own, values and gradients."""

import torch
from builders import modelled

from scpress.config.options import TrainOptions
from scpress.model.axes import resolve_config
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
