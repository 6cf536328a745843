"""Who trains: scpress's own loop, the closed form of PCA, or scvi-tools."""

import logging

import numpy as np
import torch

from scpress.config.options import TrainOptions
from scpress.model.baselines import fit_pca
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts
from scpress.model.scoring import log_moments
from scpress.training.checkpoints import Checkpoint
from scpress.training.loop import Fit, fit
from scpress.training.validation import validate

log = logging.getLogger("scpress")


def fit_model(
    model: TrainedModel,
    training: ModelledCounts,
    validation: ModelledCounts,
    options: TrainOptions,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> Fit:
    """Fill the model's network with fitted weights, by the engine the options name."""
    if options.preset == "pca":
        log.info("pca is a closed form: the options of the schedule do not apply")
        return fit_closed_form(model, training, validation, seed=seed)
    if options.engine == "scvi-tools":
        from scpress.training.scvi_tools import fit_scvi_tools

        log.info(
            "scvi-tools validates every epoch and keeps its rate; of the schedule, max_steps, "
            "patience, kl_warmup_steps, learning_rate and weight_decay apply"
        )
        return fit_scvi_tools(model, training, validation, options, seed=seed)
    return fit(model, training, validation, options, seed=seed, checkpoint=checkpoint)


def fit_closed_form(
    model: TrainedModel, training: ModelledCounts, validation: ModelledCounts, *, seed: int
) -> Fit:
    """PCA of log1p(counts / size_factor) as the weights of a linear gaussian autoencoder.

    The encoder is the components, the decoder their transpose; each gene's variance is what the
    components leave over.
    """
    network = model.network
    pca = fit_pca(training.X, training.size_factor, model.n_latent)
    components = torch.from_numpy(pca.components.astype(np.float32))
    mean = torch.from_numpy(pca.mean.astype(np.float32))
    _, variance = log_moments(training)
    explained = (pca.components.astype(np.float64) ** 2 * pca.variance[:, None]).sum(axis=0)
    residual = np.maximum(variance - explained, 1e-6)
    with torch.no_grad():
        network.input_mean.copy_(mean)
        network.input_scale.fill_(1.0)
        network.z_mean.weight.copy_(components)
        network.z_mean.bias.zero_()
        network.eta.weight.zero_()
        # The columns beyond the latent belong to the batch, which PCA does not model.
        network.eta.weight[:, : model.n_latent].copy_(components.T)
        network.eta.bias.copy_(mean)
        assert isinstance(network.log_theta, torch.nn.Parameter)
        network.log_theta.copy_(-torch.log(torch.from_numpy(residual)))
    network.clamp_theta()
    losses = [validate(model, data, seed=seed) for data in (training, validation)]
    row = {
        "step": 0,
        "cells_seen": len(training),
        "train_loss": losses[0].total,
        "validation_loss": losses[1].total,
        "validation_reconstruction": losses[1].reconstruction,
        "validation_kl": 0.0,
        "kl_weight": 0.0,
        "learning_rate": 0.0,
    }
    return Fit([row], 0, losses[1].total, "closed form")
