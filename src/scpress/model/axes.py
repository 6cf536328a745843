"""What a model is: its axes, the named presets of them, and DCA's names."""

import dataclasses
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from scpress.config.options import TrainOptions
from scpress.config.scores import AUTO
from scpress.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Axes:
    """What an autoencoder is; every combination that goes together is a model.

    Attributes
    ----------
    likelihood, dispersion
        Distribution of a count, and what its inverse dispersion depends on.
    encoder, prior
        A code or a distribution of it, and what the latent is drawn to.
    decoder
        A network, or one matrix of loadings per gene.
    input, library
        What the encoder reads, and what scales the mean.
    hidden
        Widths of the encoder's hidden layers; the decoder mirrors them.
    prior_shape, prior_weight
        What the latent of all cells is drawn to by mmd and adversarial, and how much, nats.
    gene_mask, molecule_thinning, input_noise
        Corruption of what the encoder reads while it is trained; the loss is on what was counted.
    latent_l1, contractive, pi_ridge
        Weights of penalties, nats.
    """

    likelihood: str
    dispersion: str
    encoder: str
    decoder: str
    prior: str
    input: str
    library: str
    n_latent: int
    hidden: tuple[int, ...]
    norm: str
    activation: str
    dropout_rate: float
    # What a model file of the first release does not say is at these.
    prior_shape: str = "normal"
    prior_weight: float = 0.0
    gene_mask: float = 0.0
    molecule_thinning: float = 0.0
    input_noise: float = 0.0
    latent_l1: float = 0.0
    contractive: float = 0.0
    pi_ridge: float = 0.0
    tied_weights: bool = False
    residual: bool = False


# Axes that a model has only where it says so, and what they are where it does not.
LATER_AXES = {
    item.name: item.default
    for item in dataclasses.fields(Axes)
    if item.default is not dataclasses.MISSING
}
# With what is of the counts and no option.
LATER_FIELDS = LATER_AXES | {"masked": False}

# Every preset gives every axis. Sources: scvi, Lopez 2018 and scvi-tools' defaults; dca, Eraslan
# 2019 (its code layer is linear here, so that the latent is not clipped at zero); ldvae, Svensson
# 2020; denoising, Vincent 2008; contractive, Rifai 2011 (its norm is exact without batch norm and
# dropout); wae, Tolstikhin 2018; aae, Makhzani 2016; sparse, the l1 norm of the code; pca is the
# closed form of a linear deterministic autoencoder with gaussian likelihood.
_SCVI = Axes(
    likelihood="zinb",
    dispersion="gene",
    encoder="variational",
    decoder="mlp",
    prior="kl",
    input="log1p",
    library="observed",
    n_latent=10,
    hidden=(128,),
    norm="batch",
    activation="relu",
    dropout_rate=0.1,
)
_PRIOR_WEIGHTS = {"mmd": 100.0, "adversarial": 3.0}
_PLAIN = dataclasses.replace(_SCVI, likelihood="nb", encoder="deterministic", prior="none")
PRESETS = {
    "scvi": _SCVI,
    "dca": Axes(
        likelihood="zinb",
        dispersion="gene-cell",
        encoder="deterministic",
        decoder="mlp",
        prior="none",
        input="zscore",
        library="size_factor",
        n_latent=32,
        hidden=(64,),
        norm="batch",
        activation="relu",
        dropout_rate=0.0,
    ),
    "ldvae": dataclasses.replace(_SCVI, likelihood="nb", decoder="linear"),
    "pca": Axes(
        likelihood="gaussian",
        dispersion="gene",
        encoder="deterministic",
        decoder="linear",
        prior="none",
        input="zscore",
        library="size_factor",
        n_latent=30,
        hidden=(),
        norm="none",
        activation="linear",
        dropout_rate=0.0,
    ),
    "sparse": dataclasses.replace(_PLAIN, n_latent=32, latent_l1=1.0),
    "contractive": dataclasses.replace(_PLAIN, norm="none", dropout_rate=0.0, contractive=1.0),
    "denoising": dataclasses.replace(_PLAIN, gene_mask=0.3),
    "wae": dataclasses.replace(_PLAIN, prior="mmd", prior_weight=_PRIOR_WEIGHTS["mmd"]),
    "aae": dataclasses.replace(
        _PLAIN, prior="adversarial", prior_weight=_PRIOR_WEIGHTS["adversarial"]
    ),
}

# Without a softmax over the genes the means of the first would not sum to the total, and that of a
# gene which is in every cell would have no upper end.
_SHARED_OUT = ("multinomial", "bernoulli")
_OF_LOG_VALUES = ("gaussian", "laplace")

# DCA's --type values.
_DCA_NAMES = {
    "zinb-conddisp": ("zinb", "gene-cell"),
    "nb-conddisp": ("nb", "gene-cell"),
    "normal": ("gaussian", "gene"),
}


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Axes):
    """All that is needed to build a network; stored in the header of the model file.

    Attributes
    ----------
    masked
        Whether some genes were not measured in some of the cells that it is trained on.
    """

    n_genes: int
    batch_key: str | None = None
    batches: tuple[str, ...] = ()
    continuous_covariates: tuple[str, ...] = ()
    encode_covariates: bool = False
    masked: bool = False

    @property
    def n_batches(self) -> int:
        """Length of the one-hot batch vector; 0 where there is nothing to tell apart."""
        return len(self.batches) if len(self.batches) > 1 else 0

    @property
    def is_variational(self) -> bool:
        """Whether the encoder gives a distribution."""
        return self.encoder == "variational"

    @property
    def is_penalized(self) -> bool:
        """Whether the loss has terms beside the likelihood and the KL."""
        of_prior = self.prior in _PRIOR_WEIGHTS
        return of_prior or any((self.latent_l1, self.contractive, self.pi_ridge))

    def as_plain(self) -> dict[str, Any]:
        """Fields as a model file has them: a later axis only where it is used."""
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name not in LATER_FIELDS or value != LATER_FIELDS[name]
        }


def resolve_config(
    options: TrainOptions, *, n_genes: int, batches: tuple[str, ...] = (), masked: bool = False
) -> ModelConfig:
    """The preset's axes with the user's over them.

    Parameters
    ----------
    masked
        Whether some genes were not measured in some of the cells.

    Raises
    ------
    InputError
        Axes that do not go together, more latent dimensions than genes, or what needs genes that
        were measured in all cells.
    """
    if options.likelihood == AUTO:
        raise InputError(
            "likelihood auto is chosen by `scpress likelihood`; give its file to `train` as "
            "--likelihoods, or name a likelihood."
        )
    if options.n_latent == AUTO:
        raise InputError(
            "n_latent auto is chosen by `scpress search`, `trial` and `rank`; give the last file "
            "to `train` as --search, or a number."
        )
    names = [item.name for item in dataclasses.fields(Axes)]
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if given.get("likelihood") in _DCA_NAMES:
        given["likelihood"], dispersion = _DCA_NAMES[given["likelihood"]]
        given.setdefault("dispersion", dispersion)
    axes = dataclasses.replace(PRESETS[options.preset], **given)
    if options.preset == "pca":
        _require_closed_form(options, axes)
    if axes.likelihood in _SHARED_OUT:
        if options.library == "size_factor":
            raise InputError(
                f"likelihood {axes.likelihood} says nothing of a cell's size, and a size factor "
                "has nothing to scale; found library size_factor. Set library: observed, or "
                "remove it."
            )
        axes = dataclasses.replace(axes, library="observed")
    if axes.likelihood in _OF_LOG_VALUES:
        if options.library == "observed":
            raise InputError(
                f"likelihood {axes.likelihood} is of log-normalized values and takes library "
                "size_factor; found library observed. Remove it."
            )
        # The mean of a log-normalized value has no library to be scaled by.
        axes = dataclasses.replace(axes, library="size_factor")
    if options.encoder is not None and options.prior is None and axes.prior in ("none", "kl"):
        prior = "kl" if options.encoder == "variational" else "none"
        axes = dataclasses.replace(axes, prior=prior)
    if axes.prior == "kl" and axes.encoder != "variational":
        raise InputError(
            "prior kl needs encoder variational; found encoder deterministic. "
            "Set prior: none or encoder: variational."
        )
    axes = _with_prior(axes, options)
    _require_exact(axes)
    if masked:
        _require_maskable(options, axes)
    n_batches = len(batches) if len(batches) > 1 else 0
    if axes.tied_weights and (n_batches or options.continuous_covariates):
        covariate = options.continuous_covariates[0] if not n_batches else options.batch_key
        raise InputError(
            "tied_weights leave no room for covariates in the decoder; found "
            f"{covariate!r}. Remove tied_weights, or the covariates (batch_key: null)."
        )
    if axes.n_latent > n_genes:
        raise InputError(
            f"n_latent must be at most the number of modelled genes; found n_latent "
            f"{axes.n_latent} and {n_genes} genes. Lower n_latent or raise n_top_genes."
        )
    return ModelConfig(
        **dataclasses.asdict(axes),
        n_genes=n_genes,
        batch_key=options.batch_key if batches else None,
        batches=batches,
        continuous_covariates=options.continuous_covariates,
        encode_covariates=options.encode_covariates,
        masked=masked,
    )


def _require_maskable(options: TrainOptions, axes: Axes) -> None:
    """Check that a model can be trained where some genes were not measured in some cells."""
    given = {
        "preset pca": options.preset == "pca",
        "engine scvi-tools": options.engine != "scpress",
        "contractive": axes.contractive > 0,
    }
    for name, is_given in given.items():
        if is_given:
            raise InputError(
                f"{name} needs every gene measured in every cell; found genes that some samples "
                f"did not measure. Remove {name}, or set `genes` of merge to intersection."
            )


def _with_prior(axes: Axes, options: TrainOptions) -> Axes:
    """The axes with what their prior takes, and nothing that it does not."""
    prior = axes.prior
    if prior in _PRIOR_WEIGHTS:
        if options.kl_warmup_steps != TrainOptions.kl_warmup_steps:
            raise InputError(
                f"kl_warmup_steps is of prior kl; found prior {prior}, whose weight is "
                f"prior_weight from the first step. Remove kl_warmup_steps: "
                f"{options.kl_warmup_steps}, or set prior: kl."
            )
        if axes.prior_shape != "normal" and axes.encoder == "variational":
            raise InputError(
                "the held-out evidence of encoder variational is with a normal prior; found "
                f"prior_shape {axes.prior_shape}. Set encoder: deterministic or remove prior_shape."
            )
        given = options.prior_weight
        weight = _PRIOR_WEIGHTS[prior] if given is None else given
        return dataclasses.replace(axes, prior_weight=weight)
    for name in ("prior_shape", "prior_weight"):
        if (value := getattr(options, name)) is not None:
            raise InputError(
                f"{name} is of priors mmd and adversarial; found {name} {value} and prior {prior}. "
                f"Remove {name}, or set one of these priors."
            )
    return dataclasses.replace(axes, prior_shape="normal", prior_weight=0.0)


def _require_exact(axes: Axes) -> None:
    """Check that penalties and ties are what their names say, of this network."""
    if axes.contractive and (axes.norm != "none" or axes.dropout_rate):
        raise InputError(
            "contractive is the norm of a cell's own derivatives, which norm and dropout mix with "
            f"others'; found norm {axes.norm} and dropout_rate {axes.dropout_rate:g}. "
            "Set norm: none and dropout_rate: 0, or remove contractive."
        )
    if axes.tied_weights and axes.decoder != "mlp":
        raise InputError(
            "tied_weights mirror the encoder's layers; found decoder linear, which has none. "
            "Set decoder: mlp or remove tied_weights."
        )
    if axes.residual and not any(one == next_ for one, next_ in pairwise(axes.hidden)):
        raise InputError(
            "residual needs neighbouring hidden layers of one width; found hidden "
            f"{' '.join(map(str, axes.hidden)) or 'none'}. Set hidden: [128, 128], or remove it."
        )
    if axes.pi_ridge and axes.likelihood != "zinb":
        raise InputError(
            "pi_ridge is on the extra zeros of likelihood zinb; found likelihood "
            f"{axes.likelihood}. Remove pi_ridge."
        )


def _require_closed_form(options: TrainOptions, axes: Axes) -> None:
    for name, value in dataclasses.asdict(PRESETS["pca"]).items():
        if name != "n_latent" and getattr(axes, name) != value:
            raise InputError(
                f"preset pca fixes {name} at {value!r}; found {getattr(axes, name)!r}. "
                "Remove it, or train a linear gaussian autoencoder with another preset."
            )
    if options.continuous_covariates or options.engine != "scpress":
        raise InputError(
            "preset pca takes neither continuous_covariates nor another engine; remove them."
        )
