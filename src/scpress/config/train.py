"""The knobs of a training: the axes of the model, and how it is fitted."""

from dataclasses import dataclass

from scpress.config.fields import Options, option
from scpress.config.scores import AUTO, LIKELIHOODS

# What else the gradients written out by hand do not cover is told at `kernels`.
_AUTOGRAD = "by autograd"
PRESETS = ("scvi", "dca", "ldvae", "pca", "sparse", "contractive", "denoising", "wae", "aae")


@dataclass(frozen=True)
class TrainOptions(Options):
    """Train one model with one seed; the axes left at null come from the preset."""

    engine: str = option(
        "scpress", "which implementation trains the model", choices=("scpress", "scvi-tools")
    )
    preset: str = option("scvi", "named setting of all axes below", choices=PRESETS)
    likelihood: str | None = option(
        None,
        "distribution of counts (zinb, nb, poisson), of a cell's molecules over its genes "
        "(multinomial), of presence (bernoulli; by autograd) or of log-normalized values "
        "(gaussian, laplace: squared and absolute errors; by autograd); DCA's names such as "
        "zinb-conddisp are accepted; auto: by held-out molecules",
        choices=LIKELIHOODS,
    )
    dispersion: str | None = option(
        None,
        "what the inverse dispersion theta depends on",
        choices=("gene", "gene-batch", "gene-cell"),
    )
    encoder: str | None = option(
        None, "code or distribution", choices=("deterministic", "variational")
    )
    decoder: str | None = option(
        None, "network or one matrix of loadings per gene", choices=("mlp", "linear")
    )
    prior: str | None = option(
        None,
        "what draws the latent to a prior: kl of each cell's posterior; by autograd, mmd of all "
        "codes together, or a discriminator of them (adversarial)",
        choices=("none", "kl", "mmd", "adversarial"),
    )
    prior_shape: str | None = option(
        None,
        "with mmd and adversarial: normal, a mixture of two normals on each axis, or a uniform "
        "ball",
        choices=("normal", "mixture", "ball"),
    )
    prior_weight: float | None = option(
        None,
        "with mmd and adversarial: nats per unit of the squared mmd, or of the loss by the "
        "discriminator",
        minimum=0,
    )
    input: str | None = option(
        None,
        "what the encoder sees: log1p of counts, or size factor, log1p and z-score",
        choices=("log1p", "zscore"),
    )
    library: str | None = option(
        None,
        "what scales the mean: size factor over all genes, or total over the modelled genes",
        choices=("size_factor", "observed"),
    )
    n_latent: int | str | None = option(
        None, "dimensions of the latent; auto: by held-out molecules", minimum=1, words=(AUTO,)
    )
    hidden: tuple[int, ...] | None = option(
        None, "widths of the encoder's hidden layers; the decoder mirrors them", minimum=1
    )
    norm: str | None = option(
        None, "normalization of hidden layers", choices=("batch", "layer", "none")
    )
    activation: str | None = option(
        None, "activation of hidden layers", choices=("relu", "elu", "gelu", "linear")
    )
    dropout_rate: float | None = option(
        None, "network dropout of the encoder", minimum=0, maximum=0.99
    )
    gene_mask: float | None = option(
        None,
        "corruption in training: fraction of a cell's genes that are hidden from the encoder; the "
        "loss is on all of them",
        minimum=0,
        maximum=0.99,
    )
    molecule_thinning: float | None = option(
        None,
        "corruption in training: fraction of a cell's molecules that the encoder does not see",
        minimum=0,
        maximum=0.99,
    )
    input_noise: float | None = option(
        None,
        "corruption in training: deviation of normal noise on what the encoder reads, in units of "
        f"the input; {_AUTOGRAD}",
        minimum=0,
        maximum=100,
    )
    latent_l1: float | None = option(
        None,
        "penalty: nats per unit of the absolute value of each latent dimension, by cell; "
        f"{_AUTOGRAD}",
        minimum=0,
    )
    contractive: float | None = option(
        None,
        "penalty: nats per unit of the squared norm of the latent's derivatives by what the "
        f"encoder reads; needs norm none and dropout_rate 0; {_AUTOGRAD}",
        minimum=0,
    )
    pi_ridge: float | None = option(
        None,
        "penalty: nats times the squared probability of an extra zero, summed over genes (DCA's "
        f"ridge); {_AUTOGRAD}",
        minimum=0,
    )
    tied_weights: bool | None = option(
        None, f"decode with the encoder's weights, transposed; {_AUTOGRAD}"
    )
    residual: bool | None = option(
        None,
        f"add its input to a hidden layer that is as wide as the one before it; {_AUTOGRAD}",
    )
    batch_key: str | None = option("sample", "categorical covariate: an obs column, or null")
    continuous_covariates: tuple[str, ...] = option((), "continuous covariates: obs columns")
    encode_covariates: bool = option(False, "give the covariates to the encoder, too")
    batch_size: int = option(128, "cells per step", minimum=2)
    learning_rate: float | None = option(
        None,
        "Adam's rate at the start; null: the engine's own, 0.008 or scvi-tools' 0.001",
        minimum=1e-8,
        maximum=1,
    )
    epsilon: float = option(
        3e-2, "Adam's epsilon, nats per cell and unit of weight", minimum=1e-12, maximum=1
    )
    weight_decay: float = option(1e-6, "L2 penalty of the weights", minimum=0)
    averaged_steps: int = option(
        100,
        "time constant of the average of the weights that is validated and kept, steps; 0: none",
        minimum=0,
    )
    max_steps: int = option(20_000, "most steps of the optimizer", minimum=1)
    kl_warmup_steps: int = option(
        200, "steps over which the weight of the KL term rises from 0 to 1", minimum=0
    )
    validation_fraction: float = option(
        0.1,
        "fraction of the cells held out; at most 1,000 of them decide when to stop",
        minimum=0.01,
        maximum=0.5,
    )
    validate_every: int = option(50, "steps between two validations", minimum=1)
    patience: int = option(
        400, "steps without a better validation loss after which training stops", minimum=1
    )
    plateau: int = option(
        200, "steps without a better validation loss after which the rate is lowered", minimum=1
    )
    plateau_factor: float = option(
        0.5, "factor by which the rate is lowered", minimum=0.01, maximum=0.99
    )
    clip_norm: float = option(
        100.0, "largest norm of the gradient, nats per cell and unit of weight", minimum=0.001
    )
    kernels: str = option(
        "numba",
        "what computes on the CPU: compiled loops, or plain torch operations; on a GPU: a graph of "
        "torch's own differentiation, or with fused steps of few kernels, which are compared with "
        "it first and of which no speed was measured. Gradients are "
        "written out by hand for hidden layers with norm batch and activation relu and the "
        "likelihoods zinb, nb, poisson and multinomial; all else, and what says so, is by autograd "
        "and slower",
        choices=("numba", "torch", "fused"),
    )
    products: str = option(
        "float32",
        "what training multiplies the last layer's matrices in; the rest stays float32, of which "
        "a GPU's fused steps multiply matrices in TF32",
        choices=("float32", "bfloat16"),
    )
    memory_mb: int = option(
        1024, "modelled counts above this are kept in a temporary file, MB", minimum=0
    )
    checkpoint_minutes: float = option(
        5.0, "minutes between two saves of an unfinished training", minimum=0
    )
    allow_failed_fit: bool = option(
        False, "keep a fit that does not beat the gene means, marked as failed, instead of stopping"
    )

    @property
    def first_rate(self) -> float:
        """Adam's rate at the start: what was asked for, or the engine's own."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 1e-3 if self.engine == "scvi-tools" else 8e-3


# Options of training that no bit of the result depends on.
OPERATIONAL = ("memory_mb", "checkpoint_minutes", "allow_failed_fit")
