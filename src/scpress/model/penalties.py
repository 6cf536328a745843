"""What a model is held back by beside its likelihood: sparse codes, and codes that move little."""

import math

import torch
from torch import Tensor


def slope(activation: str, h: Tensor) -> Tensor:
    """[...] Derivative of an activation at what enters it."""
    if activation == "relu":
        return (h > 0).to(h.dtype)
    if activation == "elu":
        return torch.exp(torch.clamp(h, max=0))
    if activation == "gelu":
        density = torch.exp(-0.5 * h * h) / math.sqrt(2 * math.pi)
        return torch.special.ndtr(h) + h * density
    return torch.ones_like(h)


def squared_jacobian(
    entering: list[Tensor], weights: list[Tensor], activation: str, skips: list[bool]
) -> Tensor:
    """[cells] Squared Frobenius norm of dz/dx (Rifai et al. 2011), exact for any depth.

    dz/dx = W_z D_L W_L ... D_1 W_1 with D the slopes of a layer, W_l + 1 where a layer is skipped
    by its input. What is left of W_1 is cells x n_latent x width, and the norm with W_1 is one of
    its products with W_1 W_1^T: no array is of cells and genes.

    Parameters
    ----------
    entering
        [cells, width] What enters the activation of each hidden layer, the first one first.
    weights
        [width, width before] Of the hidden layers, by what the encoder reads of genes alone, and
        of the latent.
    skips
        Of each hidden layer, whether its input is added to what comes out of it.
    """
    *of_hidden, of_latent = weights
    if not of_hidden:
        return of_latent.square().sum()[None]
    left = of_latent[None]  # [cells or 1, n_latent, width]
    for h, weight, is_skipped in list(zip(entering, of_hidden, skips, strict=True))[:0:-1]:
        passed = (left * slope(activation, h)[:, None, :]) @ weight
        left = passed + left if is_skipped else passed
    left = left * slope(activation, entering[0])[:, None, :]
    first = of_hidden[0]
    return ((left @ (first @ first.t())) * left).sum(dim=(1, 2))


def pi_ridge(pi_logits: Tensor) -> Tensor:
    """[cells] Squared probability of an extra zero, summed over genes (`ridge` of Eraslan 2019)."""
    return torch.sigmoid(pi_logits).square().sum(dim=1)
