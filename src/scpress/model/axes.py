"""What a model is: its axes, the named presets of them, and DCA's names."""

import dataclasses
from dataclasses import dataclass

from scpress.config.options import TrainOptions
from scpress.config.scores import AUTO
from scpress.errors import InputError


@dataclass(frozen=True)
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


# Every preset gives every axis. Sources: scvi, Lopez 2018 and scvi-tools' defaults; dca, Eraslan
# 2019 (its code layer is linear here, so that the latent is not clipped at zero); ldvae, Svensson
# 2020; pca is the closed form of a linear deterministic autoencoder with gaussian likelihood.
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
}

# DCA's --type values.
_DCA_NAMES = {
    "zinb-conddisp": ("zinb", "gene-cell"),
    "nb-conddisp": ("nb", "gene-cell"),
    "normal": ("gaussian", "gene"),
}


@dataclass(frozen=True)
class ModelConfig(Axes):
    """All that is needed to build a network; stored in the header of the model file."""

    n_genes: int
    batch_key: str | None = None
    batches: tuple[str, ...] = ()
    continuous_covariates: tuple[str, ...] = ()
    encode_covariates: bool = False

    @property
    def n_batches(self) -> int:
        """Length of the one-hot batch vector; 0 where there is nothing to tell apart."""
        return len(self.batches) if len(self.batches) > 1 else 0

    @property
    def is_variational(self) -> bool:
        """Whether the encoder gives a distribution."""
        return self.encoder == "variational"


def resolve_config(
    options: TrainOptions, *, n_genes: int, batches: tuple[str, ...] = ()
) -> ModelConfig:
    """The preset's axes with the user's over them.

    Raises
    ------
    InputError
        Axes that do not go together, or more latent dimensions than genes.
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
    if axes.likelihood == "gaussian":
        if options.library == "observed":
            raise InputError(
                "likelihood gaussian is of log-normalized values and takes library size_factor; "
                "found library observed. Remove it."
            )
        # The mean of a log-normalized value has no library to be scaled by.
        axes = dataclasses.replace(axes, library="size_factor")
    if options.encoder is not None and options.prior is None:
        prior = "kl" if options.encoder == "variational" else "none"
        axes = dataclasses.replace(axes, prior=prior)
    if axes.prior == "kl" and axes.encoder != "variational":
        raise InputError(
            "prior kl needs encoder variational; found encoder deterministic. "
            "Set prior: none or encoder: variational."
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
