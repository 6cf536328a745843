"""Whether what a latent is drawn to, and who draws it, still do their work at the end."""

import logging

import numpy as np
import torch

from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts
from scpress.model.priors import draw_prior, squared_mmd

log = logging.getLogger("scpress")

# A dimension is used if its posterior mean varies between cells by more (Burda et al. 2016).
_ACTIVE_VARIANCE = 0.01
# Shares of draws and codes that a discriminator tells apart: it has won, or says nothing.
_WON, _BLIND = 0.95, 0.55
# Two samples of one distribution are at 0 with a deviation of a few thousandths.
_FAR = 0.05
_BLOCK_CELLS = 512


def find_problems(model: TrainedModel, held_out: ModelledCounts, *, seed: int) -> tuple[str, ...]:
    """Name what is out of balance, on held-out cells; nothing where all is well.

    A posterior that depends on no cell; a discriminator that tells all codes from the prior, or one
    that tells none though they are far apart; codes that are far from their prior.
    """
    config = model.config
    has_shape = config.prior not in ("none", "kl")
    if not (has_shape or config.is_variational):
        return ()
    blocks = held_out.blocks(n_cells=_BLOCK_CELLS)
    codes = np.concatenate([model.encode(block.cells_of(model))[0] for _, block in blocks])
    problems = []
    if not (codes.var(axis=0) > _ACTIVE_VARIANCE).any():
        problems.append("the posterior collapsed: no dimension of the latent depends on the cell")
    if has_shape and len(codes) > 1:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            z = torch.from_numpy(codes).to(model.network.input_mean.device)
            prior = draw_prior(config.prior_shape, torch.randn(z.shape).to(z.device))
            distance = float(squared_mmd(z.double(), prior.double()))
            told = None
            if config.prior == "adversarial":
                discriminator = model.network.discriminator
                told = [float((discriminator(x) > 0).float().mean()) for x in (prior, z)]
        problems += _of_distance(distance, None if told is None else (1 + told[0] - told[1]) / 2)
    for problem in problems:
        log.warning("%s", problem)
    return tuple(problems)


def _of_distance(distance: float, accuracy: float | None) -> list[str]:
    """What a distance to the prior means beside a discriminator that is so often right."""
    if accuracy is not None and accuracy > _WON:
        return [
            f"the discriminator won: it tells {accuracy:.0%} of codes and draws of the prior apart "
            f"(squared mmd {distance:.3f}); raise prior_weight or lower learning_rate"
        ]
    if accuracy is not None and accuracy < _BLIND and distance > _FAR:
        return [
            f"the discriminator collapsed: it is right for {accuracy:.0%} of codes and draws of "
            f"the prior, which are far apart (squared mmd {distance:.3f}); lower prior_weight"
        ]
    if distance > _FAR:
        return [
            f"the latent is far from its prior (squared mmd {distance:.3f}); raise prior_weight"
        ]
    return []
