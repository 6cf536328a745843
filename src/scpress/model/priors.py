"""What the latent of all cells together is drawn to: shapes, their distance, a discriminator."""

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import one_hot, softplus

# Deviation of each part of the mixture; their centers leave the rest of the variance of 1.
_PART_SD = 0.5
# Widths of the inverse multiquadric kernel, in units of the mean squared distance of two draws
# (Tolstikhin et al. 2018, with the scales of its authors).
_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_WIDTH = 64


def draw_prior(shape: str, noise: Tensor) -> Tensor:
    """[cells, n_latent] Draws of a prior, from standard normal ones; mean 0 and covariance 1.

    normal; mixture, of two normals on each axis, on both sides of 0; ball, uniform.
    """
    n_cells, n_latent = noise.shape
    if shape == "ball":
        square = noise.square().sum(dim=1, keepdim=True)
        half = torch.full_like(square, n_latent / 2)
        # The distribution function of chi squared makes the radius of a normal a uniform number.
        uniform = torch.special.gammainc(half, square / 2)
        return noise / square.sqrt() * math.sqrt(n_latent + 2) * uniform ** (1 / n_latent)
    if shape == "mixture":
        part = torch.randint(2 * n_latent, (n_cells,), device=noise.device)
        side = (1 - 2 * (part % 2))[:, None] * math.sqrt((1 - _PART_SD**2) * n_latent)
        return side * one_hot(part // 2, n_latent).to(noise.dtype) + _PART_SD * noise
    return noise


def squared_mmd(one: Tensor, other: Tensor) -> Tensor:
    """[] Maximum mean discrepancy of as many draws of each, without bias; 0 to about 1.

    The mean of inverse multiquadric kernels c / (c + d^2) of several c (Gretton et al. 2012,
    equation 3; the kernel of the Wasserstein autoencoder).
    """
    n_cells, n_latent = one.shape
    if n_cells < 2:
        return one.new_zeros(())
    both = torch.cat([one, other])
    square = both.square().sum(dim=1)
    distance = (square[:, None] + square - 2 * both @ both.t()).clamp(min=0)
    kernel = torch.zeros_like(distance)
    for scale in _SCALES:
        c = 2 * n_latent * scale
        kernel = kernel + c / (c + distance) / len(_SCALES)
    within = sum(
        kernel[rows, rows].sum() - kernel[rows, rows].diagonal().sum()
        for rows in (slice(n_cells), slice(n_cells, None))
    )
    return within / (n_cells * (n_cells - 1)) - 2 * kernel[:n_cells, n_cells:].mean()


class Discriminator(nn.Module):
    """Tells draws of the prior from codes (Makhzani et al. 2016); its output is log-odds."""

    def __init__(self, n_latent: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_latent, _WIDTH),
            nn.ELU(),
            nn.Linear(_WIDTH, _WIDTH),
            nn.ELU(),
            nn.Linear(_WIDTH, 1),
        )

    def forward(self, z: Tensor) -> Tensor:
        """[cells] Log-odds that a latent [cells, n_latent] is of the prior."""
        return self.layers(z)[:, 0]

    def losses(self, z: Tensor, prior: Tensor) -> tuple[Tensor, Tensor]:
        """([] the discriminator's own loss, [] the encoder's), nats.

        The gradient of the first is of the discriminator alone, that of the second of z alone, so
        that one step moves both.
        """
        own = softplus(-self(prior)).mean() + softplus(self(z.detach())).mean()
        frozen = {name: value.detach() for name, value in self.layers.named_parameters()}
        fooled = functional_call(self.layers, frozen, (z,))[:, 0]
        return own, softplus(-fooled).mean()
