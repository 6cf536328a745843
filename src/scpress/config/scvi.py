"""What scvi-tools' own option names mean here, and what to use where one has no counterpart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scpress.config.fields import Options, option, refused
from scpress.config.foreign import Dialect, translate_names
from scpress.config.options import TrainOptions

_EPOCHS = "an epoch is as many steps as the training cells make batches"


@dataclass(frozen=True)
class ScviOptions(Options):
    """Names of scvi-tools' SCVI, each for what `train` calls otherwise."""

    n_hidden: int | None = option(None, "width of the hidden layers, with n_layers", minimum=1)
    n_layers: int | None = option(None, "number of hidden layers, with n_hidden", minimum=1)
    gene_likelihood: str | None = option(
        None,
        "likelihood",
        choices=("zinb", "nb", "poisson"),
        instead="it is zinb, nb or poisson; set likelihood: gaussian, of log-normalized values.",
    )
    use_observed_lib_size: bool | None = option(
        None,
        "library: observed",
        choices=(True,),
        instead="a library size is observed, not a latent variable; set library: size_factor for "
        "the total over all genes.",
    )
    latent_distribution: str | None = option(
        None,
        "normal, the only one",
        choices=("normal",),
        instead="the latent is normal; no other distribution is there.",
    )
    use_batch_norm: str | None = option(
        None,
        "norm: batch or none",
        choices=("both", "none"),
        instead="encoder and decoder have one norm: both or none.",
    )
    max_epochs: int | None = option(None, f"max_steps; {_EPOCHS}", minimum=1)
    early_stopping: bool | None = option(None, "true: as always; false: patience of all steps")
    early_stopping_patience: int | None = option(None, "patience, of as many epochs", minimum=1)
    check_val_every_n_epoch: int | None = option(
        None, "validate_every, of as many epochs", minimum=1
    )
    lr: float | None = option(None, "learning_rate", minimum=1e-8, maximum=1)
    eps: float | None = option(None, "epsilon", minimum=1e-12, maximum=1)
    n_steps_kl_warmup: int | None = option(None, "kl_warmup_steps", minimum=0)
    n_epochs_kl_warmup: int | None = option(None, "kl_warmup_steps, of as many epochs", minimum=0)
    reduce_lr_on_plateau: bool | None = option(None, "true: as always; false: plateau of all steps")
    lr_patience: int | None = option(None, "plateau, of as many epochs", minimum=1)
    lr_factor: float | None = option(None, "plateau_factor", minimum=0.01, maximum=0.99)
    train_size: float | None = option(None, "1 - validation_fraction", minimum=0.5, maximum=0.99)
    validation_size: float | None = option(None, "validation_fraction", minimum=0.01, maximum=0.5)
    continuous_covariate_keys: tuple[str, ...] | None = option(None, "continuous_covariates")
    categorical_covariate_keys: None = refused("set batch_key to one column, or join columns.")
    labels_key: None = refused("no label is used; set label_key of ingest to be scored by one.")
    size_factor_key: None = refused("set library: size_factor, of the molecules of all genes.")
    layer: None = refused("set layer of ingest.")
    use_layer_norm: None = refused("set norm: layer.")
    deeply_inject_covariates: None = refused("covariates go into the first layer.")
    early_stopping_monitor: None = refused("the loss of held-out cells is looked at; remove it.")
    early_stopping_min_delta: None = refused("any better loss is one; remove it.")
    accelerator: None = refused("set device of the configuration, or --device of scpress train.")
    devices: None = refused("set device of the configuration, or --device of scpress train.")
    plan_kwargs: None = refused("give each entry by its own name.")
    trainer_kwargs: None = refused("give each entry by its own name.")
    datasplitter_kwargs: None = refused("give each entry by its own name.")


# Which of our options each of them means; what is not here is refused.
MEANS: dict[str, tuple[str, ...]] = {
    "n_hidden": ("hidden",),
    "n_layers": ("hidden",),
    "gene_likelihood": ("likelihood",),
    "use_observed_lib_size": ("library",),
    "latent_distribution": (),
    "use_batch_norm": ("norm",),
    "max_epochs": ("max_steps",),
    "early_stopping": ("patience",),
    "early_stopping_patience": ("patience",),
    "check_val_every_n_epoch": ("validate_every",),
    "lr": ("learning_rate",),
    "eps": ("epsilon",),
    "n_steps_kl_warmup": ("kl_warmup_steps",),
    "n_epochs_kl_warmup": ("kl_warmup_steps",),
    "reduce_lr_on_plateau": ("plateau",),
    "lr_patience": ("plateau",),
    "lr_factor": ("plateau_factor",),
    "train_size": ("validation_fraction",),
    "validation_size": ("validation_fraction",),
    "continuous_covariate_keys": ("continuous_covariates",),
}
# SCVI's own, where one of the two is given.
_N_HIDDEN, _N_LAYERS = 128, 1
_IN_EPOCHS = (
    "max_epochs",
    "early_stopping_patience",
    "check_val_every_n_epoch",
    "n_epochs_kl_warmup",
    "lr_patience",
)
_SWITCHES = ("early_stopping", "reduce_lr_on_plateau")
_DIVISION = ("train_size", "validation_size")


def translate_scvi(options: TrainOptions, scvi: ScviOptions, *, n_cells: int) -> TrainOptions:
    """Put what was said in scvi-tools' names into the options of a training.

    Raises
    ------
    InputError
        Another preset than scvi, a thing that is said in both names, or two names that disagree.
    """
    given = {name: value for name, value in vars(scvi).items() if value is not None}
    # How many cells are trained on says how many steps an epoch has, so that goes first.
    for first in (True, False):
        part = {name: value for name, value in given.items() if (name in _DIVISION) == first}
        options = translate_names(options, part, _DIALECT, n_cells=n_cells)
    return options


def _values_of(
    name: str, given: Mapping[str, Any], epoch: int, options: TrainOptions
) -> tuple[Any, ...]:
    """Values of our options that an option of scvi-tools' means."""
    value = given[name]
    if name in ("n_hidden", "n_layers"):
        return ((given.get("n_hidden", _N_HIDDEN),) * given.get("n_layers", _N_LAYERS),)
    if name in _IN_EPOCHS:
        return (value * epoch,)
    if name in _SWITCHES:
        if value:
            return ()
        most = given["max_epochs"] * epoch if "max_epochs" in given else options.max_steps
        return (most,)
    if name == "train_size":
        return (round(1 - value, 9),)
    return {
        "use_observed_lib_size": ("observed",),
        "use_batch_norm": ("batch" if value == "both" else "none",),
        "latent_distribution": (),
    }.get(name, (value,))


_DIALECT = Dialect("scvi-tools", "scvi-tools'", "scvi", "docs/dca.md", MEANS, _values_of)
