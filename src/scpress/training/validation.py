"""The loss of the held-out cells."""

from dataclasses import dataclass

import numpy as np
import torch

from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts

_BLOCK_CELLS = 1024


@dataclass(frozen=True)
class HeldOutLoss:
    """Means over the validation cells, nats, at full KL weight."""

    total: float
    reconstruction: float
    kl: float
    penalty: float = 0.0


def validate(model: TrainedModel, validation: ModelledCounts, *, seed: int) -> HeldOutLoss:
    """The loss of held-out cells, with the same noise at every call."""
    generator = torch.Generator().manual_seed(seed)
    network = model.network.eval()
    sums = np.zeros(4)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        if network.config.prior not in ("none", "kl"):
            torch.manual_seed(seed)  # of the prior's draws
        for _, block in validation.blocks(n_cells=_BLOCK_CELLS):
            noise = torch.randn(len(block), network.config.n_latent, generator=generator)
            cells = block.cells_of(model)
            loss = network.loss(cells, kl_weight=1.0, noise=noise.to(network.input_mean.device))
            sums += len(block) * np.array([float(part) for part in loss])
    return HeldOutLoss(*(sums / len(validation)))
