"""The knobs of the choice of genes by held-out molecules."""

from dataclasses import dataclass

from scpress.config.fields import Options, option

# Rankings that `flavor: auto` compares.
FLAVORS = ("seurat_v3", "pearson_residuals", "most_expressed", "deviance")


@dataclass(frozen=True)
class GenesOptions(Options):
    """Choose the number of genes, and their ranking, by molecules of all genes held out."""

    numbers: tuple[int, ...] = option(
        (1000, 2000, 4000, 8000),
        "numbers of genes that are compared for n_top_genes auto, and all genes",
        minimum=2,
    )
    max_genes: int = option(
        15_000,
        "most genes that a model is trained on here; larger numbers, all genes too, are left out",
        minimum=2,
    )
    max_cells: int = option(
        20_000, "cells above which a subsample of this size is compared on", minimum=100
    )
    folds: int = option(
        2, "folds of the molecules, each held out once from every choice", minimum=1, maximum=5
    )
    fraction: float = option(
        0.2, "expected part of a cell's molecules in one fold", minimum=0.01, maximum=0.5
    )
