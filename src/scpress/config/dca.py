"""What DCA's own option names mean here, and what to use where one has no counterpart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scpress.config.fields import Options, option, refused
from scpress.config.foreign import Dialect, translate_names
from scpress.config.options import TrainOptions
from scpress.errors import InputError

_STEPS = "training is counted in steps, which follow from the cells and batch_size"


@dataclass(frozen=True)
class DcaOptions(Options):
    """Names of DCA (Eraslan et al. 2019), each for what `train` calls otherwise."""

    ae_type: str | None = option(
        None,
        "likelihood and dispersion",
        choices=("normal", "poisson", "nb", "nb-conddisp", "zinb", "zinb-conddisp"),
        instead="it is normal, poisson, nb, nb-conddisp, zinb or zinb-conddisp; the last of either "
        "kind is nearest to -fork and -shared, which have no counterpart.",
    )
    hidden_size: tuple[int, ...] | None = option(
        None, "hidden, n_latent and hidden again in reverse: 64 32 64", minimum=1
    )
    hidden_dropout: float | None = option(
        None,
        "dropout_rate, of the encoder alone",
        minimum=0,
        maximum=0.99,
        instead="it is one number for the hidden layers of the encoder; the decoder has none.",
    )
    batchnorm: bool | None = option(None, "norm: batch or none")
    normalize_per_cell: bool | None = option(
        None,
        "library: size_factor",
        choices=(True,),
        instead="the size of a cell is always in its mean; set library: observed for its total "
        "over the modelled genes.",
    )
    scale: bool | None = option(
        None,
        "input: zscore",
        choices=(True,),
        instead="set input: log1p, the logarithms of counts as they are, not centred or scaled.",
    )
    log1p: bool | None = option(
        None,
        "input: zscore",
        choices=(True,),
        instead="an encoder always sees logarithms; set input: log1p or zscore.",
    )
    epochs: int | None = option(None, f"max_steps; {_STEPS}", minimum=1)
    reduce_lr: int | None = option(None, "plateau, of as many epochs", minimum=1)
    early_stop: int | None = option(None, "patience, of as many epochs", minimum=1)
    optimizer: str | None = option(
        None,
        "adam, the only one",
        choices=("adam", "Adam"),
        instead="Adam is the only one; set learning_rate, epsilon and weight_decay.",
    )
    ridge: float | None = option(None, "pi_ridge", minimum=0)
    init: None = refused("weights always begin as torch begins them; remove it.")
    mode: None = refused(
        "nothing is overwritten; set dca_keys of assemble to latent or full for DCA's keys."
    )
    random_state: None = refused("set seeds of the configuration, or --seed of scpress train.")
    network_kwds: None = refused("give each entry by its own name.")
    training_kwds: None = refused("give each entry by its own name.")
    l2_coef: None = refused("set weight_decay, an L2 penalty of all weights.")
    l1_coef: None = refused("set weight_decay, an L2 penalty of all weights.")
    input_dropout: None = refused("set dropout_rate, of the hidden layers.")
    clip_grad: None = refused("set clip_norm, of the whole gradient.")
    verbose: None = refused("what there is to say is in the log; remove it.")
    return_model: None = refused("the model is always kept; remove it.")
    copy: None = refused("the input is never changed; remove it.")


# Which of our options each of them means; what is not here is refused.
MEANS: dict[str, tuple[str, ...]] = {
    "ae_type": ("likelihood", "dispersion"),
    "hidden_size": ("hidden", "n_latent"),
    "hidden_dropout": ("dropout_rate",),
    "batchnorm": ("norm",),
    "normalize_per_cell": ("library",),
    "scale": ("input",),
    "log1p": ("input",),
    "epochs": ("max_steps",),
    "reduce_lr": ("plateau",),
    "early_stop": ("patience",),
    "optimizer": (),
    "ridge": ("pi_ridge",),
}
_AE_TYPES = {
    "normal": ("gaussian", "gene"),
    "poisson": ("poisson", "gene"),
    "nb": ("nb", "gene"),
    "nb-conddisp": ("nb", "gene-cell"),
    "zinb": ("zinb", "gene"),
    "zinb-conddisp": ("zinb", "gene-cell"),
}


def translate_dca(options: TrainOptions, dca: DcaOptions, *, n_cells: int) -> TrainOptions:
    """Put what was said in DCA's names into the options of a training.

    Parameters
    ----------
    n_cells
        Cells of the data: an epoch is the training part of them in batches.

    Raises
    ------
    InputError
        Another preset than dca, a thing that is said in both names, or widths that are not
        mirrored.
    """
    given = {name: value for name, value in vars(dca).items() if value is not None}
    return translate_names(options, given, _DIALECT, n_cells=n_cells)


def _values_of(
    name: str, given: Mapping[str, Any], epoch: int, options: TrainOptions
) -> tuple[Any, ...]:
    """Values of our options that an option of DCA's means."""
    value = given[name]
    if name == "ae_type":
        return _AE_TYPES[value]
    if name == "hidden_size":
        return _widths(value)
    if name in ("epochs", "reduce_lr", "early_stop"):
        return (value * epoch,)
    return {
        "hidden_dropout": (value,),
        "batchnorm": ("batch" if value else "none",),
        "normalize_per_cell": ("size_factor",),
        "scale": ("zscore",),
        "log1p": ("zscore",),
        "optimizer": (),
        "ridge": (value,),
    }[name]


def _widths(widths: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    middle = len(widths) // 2
    if len(widths) % 2 == 0 or widths != widths[::-1]:
        raise InputError(
            f"hidden_size must be the same from both ends around the latent, as in 64 32 64; found "
            f"{' '.join(map(str, widths)) or 'nothing'}. The decoder mirrors the encoder."
        )
    return widths[:middle], widths[middle]


_DIALECT = Dialect("DCA", "DCA's", "dca", "docs/dca.md", MEANS, _values_of)
