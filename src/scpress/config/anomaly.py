"""The knobs of the search for cells, and genes in them, that are unlike a reference."""

from dataclasses import dataclass

from scpress.config.fields import Options, option


@dataclass(frozen=True)
class AnomalyOptions(Options):
    """Look for cells unlike a reference, and for the genes that make them so."""

    folds: int = option(
        0,
        "parts of the reference, each scored by models trained without it; 0: the workflow looks "
        "for none",
        minimum=0,
        maximum=10,
    )
    reference_key: str | None = option(
        None,
        "obs column that says which cells are normal; without one all are ranked, and none called",
    )
    reference_values: tuple[str, ...] = option((), "values of that column that normal cells have")
    max_fdr: float = option(
        0.1,
        "largest part of the called cells, or of a cell's outlier genes, that is false",
        minimum=0,
        maximum=0.5,
    )
    n_like: int = option(
        50, "normal cells of like depth and detected genes that a cell is compared with", minimum=10
    )
    draws: int = option(50, "draws from the posterior for the likelihood of a cell", minimum=1)
