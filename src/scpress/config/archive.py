"""The knobs of the archive: what its input is, and what is carried beside the counts."""

from dataclasses import dataclass

from scpress.config.fields import MAX_SEED, Options, option


@dataclass(frozen=True)
class InputOptions(Options):
    """Say what the file is that is packed, or compared with; most files say it themselves."""

    format: str | None = option(
        None,
        "format of the input; recognised from the path when not given",
        choices=("h5ad", "10x_h5", "10x_mtx", "loom", "csv", "tsv", "zarr"),
    )
    layer: str | None = option(
        None, "where the counts of the input are: 'X', a layer, or as for ingest"
    )
    orientation: str = option(
        "cells_by_genes",
        "what the rows of the input are, as for ingest",
        choices=("cells_by_genes", "genes_by_cells"),
    )
    genome: str | None = option(None, "which genome's genes to take, as for ingest")


@dataclass(frozen=True)
class PackOptions(Options):
    """Pack counts into an archive that gives them back exactly, with everything beside them."""

    layers: tuple[str, ...] = option(
        (), "other matrices of an h5ad or zarr to carry: names of layers, 'X', 'raw'"
    )
    seed: int = option(
        0, "seed of what is drawn while a model is chosen", minimum=0, maximum=MAX_SEED
    )
