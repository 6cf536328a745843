"""Between scpress and scvi-tools: the same network under two sets of names, trained by either."""

import logging
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import torch
from scipy import sparse

from scpress.config.options import TrainOptions
from scpress.errors import InputError
from scpress.model.axes import LATER_FIELDS, ModelConfig
from scpress.model.fitted import TrainedModel
from scpress.model.modelled import ModelledCounts
from scpress.model.network import CountAutoencoder
from scpress.training.loop import Fit

# Axes on which scvi-tools' SCVI has one choice only.
_SCVI_AXES = {
    "encoder": "variational",
    "decoder": "mlp",
    "prior": "kl",
    "input": "log1p",
    "library": "observed",
    "norm": "batch",
    "activation": "relu",
}
_LIKELIHOODS = ("zinb", "nb", "poisson")
_LAYER_PARTS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def require_scvi_axes(config: ModelConfig) -> None:
    """Check that SCVI can be this model.

    Raises
    ------
    InputError
        An axis has a value SCVI does not have.
    """
    for axis, value in (_SCVI_AXES | LATER_FIELDS).items():
        found = getattr(config, axis)
        if found != value:
            raise InputError(
                f"scvi-tools' SCVI has {axis} {value!r} only; found {found!r}. "
                "Use preset scvi, or engine scpress."
            )
    if config.likelihood not in _LIKELIHOODS:
        raise InputError(
            f"scvi-tools' SCVI takes the likelihoods {', '.join(_LIKELIHOODS)} here; "
            f"found {config.likelihood!r}."
        )
    if len(set(config.hidden)) != 1:
        raise InputError(
            f"scvi-tools' SCVI needs one or more hidden layers of one width; found {config.hidden}."
        )


def fit_scvi_tools(
    model: TrainedModel,
    training: ModelledCounts,
    validation: ModelledCounts,
    options: TrainOptions,
    *,
    seed: int,
) -> Fit:
    """Train scvi-tools' own SCVI on the same split and fill the model's network with its weights.

    Its own loop, optimizer and early stopping are used; our schedule in steps is translated to its
    epochs, and the weights of its best epoch are taken, as ours are.

    Raises
    ------
    InputError
        The model's axes are not SCVI's.
    """
    import scvi

    config = model.config
    require_scvi_axes(config)
    n_training, n_all = len(training), len(training) + len(validation)
    batch_size = min(options.batch_size, n_training)
    steps_per_epoch = math.ceil(n_training / batch_size)
    # A last batch of one cell stops its batch norm; the cells left over return in other epochs.
    drop_last = n_training % batch_size == 1
    epochs = max(1, math.ceil(options.max_steps / steps_per_epoch))
    rows = np.arange(n_all)
    with _Quiet(), torch.random.fork_rng():
        scvi.settings.seed = seed
        adata = _training_adata(model, training, validation)
        scvi_model = build_scvi(adata, config)
        keeper = _keep_best()
        scvi_model.train(
            max_epochs=epochs,
            accelerator="gpu" if model.network.input_mean.device.type == "cuda" else "cpu",
            devices=1,
            batch_size=batch_size,
            early_stopping=True,
            early_stopping_patience=max(1, math.ceil(options.patience / steps_per_epoch)),
            early_stopping_warmup_epochs=math.ceil(options.kl_warmup_steps / steps_per_epoch),
            callbacks=[keeper],
            check_val_every_n_epoch=1,
            datasplitter_kwargs={
                "external_indexing": [rows[:n_training], rows[n_training:], rows[:0]],
                "drop_last": drop_last,
            },
            plan_kwargs={
                "lr": options.first_rate,
                "weight_decay": options.weight_decay,
                "n_epochs_kl_warmup": None,
                "n_steps_kl_warmup": max(1, options.kl_warmup_steps),
            },
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=None,
        )
    scvi_model.module.load_state_dict(keeper.best)
    from_scvi_module(scvi_model.module, model.network)
    return _fit_of(scvi_model.history, steps_per_epoch, batch_size, options)


def _keep_best() -> Any:
    """A lightning callback that keeps the weights of the epoch with the best validation ELBO."""
    from lightning.pytorch.callbacks import Callback

    class KeepBest(Callback):
        best: Mapping[str, torch.Tensor]
        loss = math.inf

        def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            loss = float(trainer.callback_metrics.get("elbo_validation", math.inf))
            if loss < self.loss:
                self.loss, state = loss, pl_module.module.state_dict()
                self.best = {name: value.detach().clone() for name, value in state.items()}

    return KeepBest()


def _training_adata(
    model: TrainedModel, training: ModelledCounts, validation: ModelledCounts
) -> ad.AnnData:
    X = sparse.vstack([training.X, validation.X], format="csr").astype(np.float32)
    parts = [
        None if training.batch is None else np.concatenate([training.batch, validation.batch]),  # type: ignore[list-item]
        None
        if training.continuous is None
        else np.concatenate([training.continuous, validation.continuous]),  # type: ignore[list-item]
    ]
    return scvi_adata(model, X, parts[0], parts[1])


def scvi_adata(
    model: TrainedModel,
    X: sparse.csr_matrix,
    batch: np.ndarray | None,
    continuous: np.ndarray | None,
) -> ad.AnnData:
    """[cells, n_genes] AnnData set up for SCVI: batch codes become the model's batch names."""
    import scvi

    config = model.config
    adata = ad.AnnData(X, var=pd.DataFrame(index=model.genes))
    adata.obs_names = [str(i) for i in range(len(adata))]
    keys: dict[str, Any] = {}
    if config.n_batches and batch is not None:
        key = config.batch_key or "batch"
        adata.obs[key] = pd.Categorical(
            [config.batches[code] for code in batch], categories=list(config.batches)
        )
        keys["batch_key"] = key
    if continuous is not None:
        network = model.network
        shift, scale = (
            t.cpu().numpy() for t in (network.continuous_mean, network.continuous_scale)
        )
        for i, name in enumerate(config.continuous_covariates):
            adata.obs[name] = (continuous[:, i] - shift[i]) / scale[i]
        keys["continuous_covariate_keys"] = list(config.continuous_covariates)
    scvi.model.SCVI.setup_anndata(adata, **keys)
    return adata


def build_scvi(adata: ad.AnnData, config: ModelConfig) -> Any:
    """An untrained SCVI of the config's shape on an AnnData set up for it."""
    import scvi

    return scvi.model.SCVI(
        adata,
        n_hidden=config.hidden[0],
        n_layers=len(config.hidden),
        n_latent=config.n_latent,
        dropout_rate=config.dropout_rate,
        dispersion=config.dispersion,
        gene_likelihood=config.likelihood,
        encode_covariates=config.encode_covariates,
        deeply_inject_covariates=True,
    )


def save_as_scvi(model: TrainedModel, data: ModelledCounts, directory: Path) -> None:
    """Write a directory that `scvi.model.SCVI.load` accepts, by SCVI's own `save`.

    Raises
    ------
    InputError
        The model's axes are not SCVI's.
    """
    require_scvi_axes(model.config)
    with _Quiet():
        # Every batch must be among the cells for SCVI to know its number; the data have them all.
        adata = scvi_adata(model, data.X.astype(np.float32), data.batch, data.continuous)
        scvi_model = build_scvi(adata, model.config)
        to_scvi_module(model.network, scvi_model.module)
        scvi_model.is_trained_ = True
        scvi_model.train_indices = np.setdiff1d(np.arange(len(data)), model.validation_cells)
        scvi_model.validation_indices = model.validation_cells
        scvi_model.test_indices = np.zeros(0, dtype=np.int64)
        scvi_model.save(str(directory), save_anndata=True, overwrite=False)


def to_scvi_module(network: CountAutoencoder, module: Any) -> None:
    """Fill a scvi-tools VAE module with our weights; what it never uses becomes zero."""
    state = {name: torch.zeros_like(value) for name, value in module.state_dict().items()}
    ours = network.state_dict()
    for name, theirs in _names(network.config):
        state[theirs] = ours[name].cpu().clone()
    if "px_r" in state and isinstance(network.log_theta, torch.nn.Parameter):
        log_theta = ours["log_theta"].cpu()
        per_gene = network.config.dispersion == "gene" or log_theta.shape[0] == 1
        # SCVI has one column per batch even where there is a single batch.
        state["px_r"] = log_theta[0].reshape(state["px_r"].shape) if per_gene else log_theta.T
    module.load_state_dict(state)
    module.eval()


def from_scvi_module(module: Any, network: CountAutoencoder) -> None:
    """Fill our network with the weights of a scvi-tools VAE module."""
    theirs = module.state_dict()
    state = dict(network.state_dict())
    for name, their_name in _names(network.config):
        state[name] = theirs[their_name]
    if isinstance(network.log_theta, torch.nn.Parameter):
        px_r = theirs["px_r"]
        state["log_theta"] = px_r.T if px_r.ndim == 2 else px_r[None, :]
    network.load_state_dict(state)
    network.clamp_theta()
    network.eval()


def _names(config: ModelConfig) -> list[tuple[str, str]]:
    """Pairs of (our name, scvi-tools' name) of every tensor both have."""
    names = []
    for side, theirs in (("encoder", "z_encoder.encoder"), ("decoder", "decoder.px_decoder")):
        for i in range(len(config.hidden)):
            for j, part in ((0, "linear"), (1, "norm")):
                for leaf in _LAYER_PARTS[: 2 if j == 0 else 5]:
                    names.append(
                        (f"{side}.{part}.{i}.{leaf}", f"{theirs}.fc_layers.Layer {i}.{j}.{leaf}")
                    )
    heads = {
        "z_mean": "z_encoder.mean_encoder",
        "z_log_variance": "z_encoder.var_encoder",
        "eta": "decoder.px_scale_decoder.0",
    }
    if config.likelihood == "zinb":
        heads["pi_logits"] = "decoder.px_dropout_decoder"
    if config.dispersion == "gene-cell" and config.likelihood != "poisson":
        heads["log_theta"] = "decoder.px_r_decoder"
    for ours, head in heads.items():
        names += [(f"{ours}.{leaf}", f"{head}.{leaf}") for leaf in ("weight", "bias")]
    return names


def _fit_of(
    history: dict[str, pd.DataFrame], steps_per_epoch: int, batch_size: int, options: TrainOptions
) -> Fit:
    def column(name: str) -> np.ndarray:
        return history[name].iloc[:, 0].to_numpy(dtype=np.float64)

    loss, elbo = column("elbo_train"), column("elbo_validation")
    reconstruction, kl = column("reconstruction_loss_validation"), column("kl_local_validation")
    n_rows = min(len(loss), len(elbo))
    steps = steps_per_epoch * np.arange(1, n_rows + 1)
    rows = [
        {
            "step": int(steps[i]),
            "cells_seen": int(steps[i]) * batch_size,
            "train_loss": float(loss[i]),
            "validation_loss": float(elbo[i]),
            "validation_reconstruction": float(reconstruction[i]),
            "validation_kl": float(kl[i]),
            "kl_weight": float(min(1.0, steps[i] / max(1, options.kl_warmup_steps))),
            "learning_rate": options.first_rate,
        }
        for i in range(n_rows)
    ]
    best = int(np.argmin(elbo[:n_rows]))
    stopped = "max_steps" if steps[-1] >= options.max_steps else "patience"
    return Fit(rows, int(steps[best]), float(elbo[best]), stopped)


class _Quiet:
    """Silence scvi-tools' and lightning's notices; errors still pass."""

    def __enter__(self) -> None:
        self.warnings = warnings.catch_warnings()
        self.warnings.__enter__()
        warnings.simplefilter("ignore")
        self.levels = {}
        for name in ("lightning", "lightning.pytorch", "scvi", "lightning.fabric"):
            logger = logging.getLogger(name)
            self.levels[name] = logger.level
            logger.setLevel(logging.ERROR)

    def __exit__(self, *error: Any) -> None:
        for name, level in self.levels.items():
            logging.getLogger(name).setLevel(level)
        self.warnings.__exit__(*error)
