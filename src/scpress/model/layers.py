"""The layers that networks are made of: hidden ones, and those that are others backwards."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from scpress.model.axes import ModelConfig

# scvi-tools' batch norm, so that its weights and ours are interchangeable.
_NORM_EPSILON, _NORM_MOMENTUM = 1e-3, 0.01

_ACTIVATIONS = {"relu": nn.ReLU, "elu": nn.ELU, "gelu": nn.GELU, "linear": nn.Identity}


class Layers(nn.Module):
    """Linear, norm, activation, dropout; the batch's one-hot vector enters every linear layer."""

    def __init__(self, config: ModelConfig, widths: list[int], n_batches: int, dropout_rate: float):
        super().__init__()
        self.n_batches = n_batches
        self.linear = nn.ModuleList()
        self.norm = nn.ModuleList()
        for n_in, n_out in pairwise(widths):
            self.linear.append(nn.Linear(n_in + n_batches, n_out))
            norms: dict[str, nn.Module] = {
                "batch": nn.BatchNorm1d(n_out, eps=_NORM_EPSILON, momentum=_NORM_MOMENTUM),
                "layer": nn.LayerNorm(n_out, elementwise_affine=False),
                "none": nn.Identity(),
            }
            self.norm.append(norms[config.norm])
        self.activation = _ACTIVATIONS[config.activation]()
        self.dropout_rate = dropout_rate
        self.dropout = nn.Dropout(dropout_rate) if dropout_rate > 0 else nn.Identity()
        # He et al. 2016; not of a first layer, which other things enter, too.
        of_one_width = [i > 0 and one == other for i, (one, other) in enumerate(pairwise(widths))]
        self.skips = [config.residual and one for one in of_one_width]

    def forward(
        self,
        h: Tensor,
        one_hot: Tensor | None,
        *,
        n_applied: int = 0,
        entering: list[Tensor] | None = None,
    ) -> Tensor:
        """Apply all layers; the first `n_applied` linear ones have been already.

        What enters each activation is appended to `entering`.
        """
        for i, (linear, norm) in enumerate(zip(self.linear, self.norm, strict=True)):
            before = h
            if i >= n_applied:
                if self.n_batches and one_hot is not None:
                    h = torch.cat([h, one_hot], dim=-1)
                h = linear(h)
            h = norm(h)
            if entering is not None:
                entering.append(h)
            h = self.dropout(self.activation(h))
            if self.skips[i]:
                h = h + before
        return h


class Tied(nn.Module):
    """A linear layer that is another one backwards: its weight transposed, and a bias of its own.

    Parameters
    ----------
    source
        The layer; it stays a part of the encoder alone.
    n_out
        Inputs of the source that this gives, the first of them.
    """

    def __init__(self, source: nn.Linear, n_out: int):
        super().__init__()
        self._source = (source,)  # in a tuple, it is no submodule and is stored once
        self.out_features, self.in_features = n_out, source.out_features
        self.bias = nn.Parameter(torch.zeros(n_out))

    @property
    def weight(self) -> Tensor:
        """[outputs, inputs] As `torch.nn.Linear` has it."""
        return self._source[0].weight[:, : self.out_features].t()

    def forward(self, h: Tensor) -> Tensor:
        """[cells, outputs] of [cells, inputs]."""
        return functional.linear(h, self.weight, self.bias)
