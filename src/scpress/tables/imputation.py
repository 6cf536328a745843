"""How well hidden counts were predicted, by a model and by its rivals."""

from dataclasses import dataclass
from typing import ClassVar

from scpress.tables.records import MayLack, Record


@dataclass(frozen=True, kw_only=True)
class ImputationRecord(Record):
    """Scores on entries of held-out cells that were measured and hidden on purpose.

    Attributes
    ----------
    n_cells, n_genes
        Cells of which something was hidden, counted once for each set of genes that was kept, and
        hidden genes.
    k
        Of recall at k.
    predictors
        The model, gene means, and neighbours.
    explained
        Part of the gene means' Poisson deviance that each predictor explains, over all genes.
    recall
        Mean over cells of the share of the expressed hidden genes among the k that a predictor
        ranks first; NaN where no cell expresses one.
    """

    columns: ClassVar[tuple[tuple[str, ...], ...]] = (("predictors", "explained", "recall"),)
    made_by: ClassVar[str] = "`scpress recommend`"

    n_cells: int
    n_genes: int
    k: int
    predictors: tuple[str, ...]
    explained: tuple[float, ...]
    recall: tuple[MayLack, ...]
