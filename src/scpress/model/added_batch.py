"""A trained model with one more batch, whose weights alone can still move."""

import dataclasses

import torch
from torch import Tensor

from scpress.errors import InputError
from scpress.model.fitted import TrainedModel
from scpress.model.network import CountAutoencoder

# Names of column and batch in a model that told no batches apart.
_KEY, _FIRST = "batch", "reference"


def takes_batches(model: TrainedModel) -> bool:
    """Whether there is a hidden layer that a batch can enter, with weights of its own."""
    return bool(model.config.hidden) and not model.config.tied_weights


def with_batch(
    model: TrainedModel, batch: str, n_cells: int
) -> tuple[TrainedModel, dict[str, Tensor]]:
    """Widen the network by one batch (scArches' surgery, Lotfollahi et al. 2022).

    The batch enters encoder and decoder. An encoder that saw no batches gives those it was trained
    on weights of zero, so that the latent of their cells is what it was: at the same bits with one
    hidden layer, as all presets have, and else to rounding.

    Parameters
    ----------
    batch
        Its name, in obs[model.config.batch_key].
    n_cells
        Its size.

    Returns
    -------
    model, free
        A model of its own; parameter -> where it belongs to the new batch: 1, elsewhere 0.

    Raises
    ------
    InputError
        The model has a batch of that name.
    """
    config = model.config
    if batch in config.batches:
        raise InputError(
            f"the model has a batch {batch!r} already; it has {', '.join(config.batches)}. "
            "Give new cells another name of their batch."
        )
    wide = dataclasses.replace(
        config,
        batches=(*(config.batches or (_FIRST,)), batch),
        batch_key=config.batch_key or _KEY,
        encode_covariates=True,
    )
    network = CountAutoencoder(wide)
    free: dict[str, Tensor] = {}
    old = model.network.state_dict()
    with torch.no_grad():
        for name, values in network.state_dict().items():
            before = old[name]
            if before.shape == values.shape:
                values.copy_(before)
                continue
            # Batches are rows of a shared theta, and else the last columns.
            at = 0 if name == "log_theta" else 1
            entered = config.encode_covariates or not name.startswith("encoder.")
            n_batches = config.n_batches if entered else 0
            n_others = before.shape[at] - n_batches
            if name == "log_theta":
                n_others, n_batches = 0, before.shape[0]
            values.zero_()
            values.narrow(at, 0, n_others).copy_(before.narrow(at, 0, n_others))
            known = before.narrow(at, n_others, n_batches)
            first = values.shape[at] - wide.n_batches
            values.narrow(at, first, n_batches).copy_(known)
            if n_batches:
                values.narrow(at, -1, 1).copy_(known.mean(dim=at, keepdim=True))
            free[name] = torch.zeros_like(values)
            free[name].narrow(at, values.shape[at] - 1, 1).fill_(1)
    sizes = (*model.batch_sizes, n_cells) if model.batch_sizes else ()
    added = dataclasses.replace(model, network=network.eval(), batch_sizes=sizes)
    return added, free
