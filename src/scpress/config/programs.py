"""The knobs of what a model's dimensions, and the ways between its clusters, mean in genes."""

from dataclasses import dataclass

from scpress.config.fields import Options, option


@dataclass(frozen=True)
class ProgramsOptions(Options):
    """Say which genes rise and fall along each latent dimension, and from cluster to cluster."""

    n_genes: int = option(
        0,
        "genes that are listed of each program, on either side; 0: the workflow looks for none",
        minimum=0,
    )
    low: float = option(
        5, "percentile of the cells at which a dimension starts", minimum=0, maximum=100
    )
    high: float = option(95, "percentile of the cells at which it ends", minimum=0, maximum=100)
    n_points: int = option(
        7, "places on the way at which genes are decoded, both ends among them", minimum=2
    )
    max_pairs: int = option(
        60, "most pairs of clusters between which there is a program, the nearest first", minimum=0
    )
    n_cells: int = option(
        200, "cells that are moved, drawn at random; genes change by their mean", minimum=1
    )
    min_log2_fold_change: float = option(
        0.25, "smallest change of a listed gene, log2 fold change", minimum=0
    )
    min_expected: float = option(
        0.5,
        "fewest molecules of 10,000 that are expected of a listed gene, at the end where there are "
        "more",
        minimum=0,
    )
