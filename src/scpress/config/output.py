"""Knobs of what a run hands over: denoised values, and everything in one file."""

from dataclasses import dataclass

from scpress.config.fields import Options, option


@dataclass(frozen=True)
class DenoiseOptions(Options):
    """Compute denoised expression of named genes, or of all, in chunks."""

    genes: tuple[str, ...] = option((), "gene ids or symbols; empty for every modelled gene")
    reference_batch: str | None = option(
        None, "training batch to decode in; the largest when not given"
    )
    max_missing_fraction: float = option(
        0.05, "largest fraction of the model's genes that the cells may lack", minimum=0, maximum=1
    )
    impute: bool = option(
        False,
        "of samples that measured different genes, predict those that a cell was not measured for, "
        "too (without it NaN), with their held-out scores in var",
    )
    dca_keys: bool = option(
        False,
        "add what DCA gives under its names: X_dca, and dispersion and dropout of every cell and "
        "gene, dense as the denoised values are",
    )


@dataclass(frozen=True)
class AssembleOptions(Options):
    """Join everything into one AnnData file."""

    denoised_layer: bool = option(
        False, "add layers['denoised'] of the primary model (dense on disk, written in chunks)"
    )
    dca_keys: bool = option(
        False,
        "add obsm['X_dca'], var['X_dca_dispersion'] and var['X_dca_dropout'] of the model of "
        "preset dca; of several the primary one, or else the first",
    )
    scvi_keys: bool = option(False, "add obsm['X_scVI'] of the model of preset scvi, chosen alike")
