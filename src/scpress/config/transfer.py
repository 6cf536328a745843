"""The knobs of new data through a saved model."""

from dataclasses import dataclass

from scpress.config.fields import MAX_SEED, Options, option


@dataclass(frozen=True)
class _NamingOptions(Options):
    """What naming cells by labelled ones has in both directions."""

    max_missing_fraction: float = option(
        0.05,
        "largest fraction of the model's genes that the other cells may lack; names are given "
        "without these genes on either side",
        minimum=0,
        maximum=1,
    )
    max_steps: int = option(
        200,
        "most steps in which the weights of the added batch are trained; 0: none. More take "
        "differences between types for those between batches",
        minimum=0,
    )
    unlike_rate: float = option(
        0.05,
        "share of labelled cells, held out, that may be called unlike all that have a label",
        minimum=0,
        maximum=0.5,
    )
    seed: int = option(0, "seed of thinning, folds and training", minimum=0, maximum=MAX_SEED)


@dataclass(frozen=True)
class ReferenceOptions(_NamingOptions):
    """Name the cells by labelled ones (annotate: reference), or by a CellTypist model."""

    labels_column: str = option("cell_type", "obs column of the labels of the labelled cells")
    max_missing_fraction: float = option(
        0.5,
        "largest fraction of the model's genes that the labelled cells may lack; names are given "
        "without these genes on either side",
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True)
class TransferOptions(_NamingOptions):
    """Take new cells through a saved model, and name them by the cells it was trained on."""

    query: str | None = option(
        None,
        "raw counts of the new cells, of any format of `ingest`; without, the workflow takes none",
    )
    batch: str = option("query", "name of the new cells' batch, which the model must not have")
    labels_column: str | None = option(
        None, "obs column of the labels of the model's cells; their cell_type when not given"
    )
    min_confidence: float = option(0.5, "lowest confidence of a name", minimum=0, maximum=1)
