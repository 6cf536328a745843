"""The knobs of drawing cells from a trained model."""

from dataclasses import dataclass

from scpress.config.fields import Options, option


@dataclass(frozen=True)
class GenerateOptions(Options):
    """Draw cells from a model: latents, then counts; marked as simulated."""

    n_cells: int = option(1000, "cells that are drawn", minimum=1)
    source: str = option(
        "posterior",
        "posterior: latents of given cells, each with its deviation; prior: the standard normal",
        choices=("posterior", "prior"),
    )
    key: str | None = option(
        None, "obs column, of cell types or batches, by which the given cells are chosen"
    )
    groups: tuple[str, ...] = option((), "values of that column; the others are left out")
    batch: str | None = option(None, "training batch of all cells; each given cell's own without")
    library_size: int | None = option(
        None,
        "molecules over all genes that are expected of each; a given cell's own without",
        minimum=1,
    )
