"""Hidden layers with and without a way around them, and layers that are others backwards."""

import torch

from scpress.config.options import TrainOptions
from scpress.model.axes import resolve_config
from scpress.model.layers import Layers, Tied


def test_a_residual_layer_adds_what_enters_it():
    same = {"hidden": (16, 16, 12), "norm": "none"}
    made = []
    for residual in (True, False):
        config = resolve_config(TrainOptions(residual=residual, **same), n_genes=16)
        torch.manual_seed(0)
        made.append(Layers(config, [16, 16, 16, 12], 0, 0.0))
    layers, plain = made
    h = torch.randn(8, 16)
    first, second, third = layers.linear
    # What is as wide as the genes is no layer's input: the first one is not skipped.
    one = torch.relu(first(h))
    two = torch.relu(second(one)) + one
    torch.testing.assert_close(layers(h, None), torch.relu(third(two)))
    assert not torch.allclose(layers(h, None), plain(h, None))


def test_a_tied_layer_is_the_other_one_backwards():
    source = torch.nn.Linear(7, 3)
    tied = Tied(source, 5)
    assert dict(tied.named_parameters()).keys() == {"bias"}
    h = torch.randn(4, 3)
    torch.testing.assert_close(tied(h), h @ source.weight[:, :5])
    tied(h).sum().backward()
    assert source.weight.grad[:, :5].any()
    assert not source.weight.grad[:, 5:].any()
