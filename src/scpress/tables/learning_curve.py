"""How a model's losses on held-out molecules fall with the number of cells."""

from dataclasses import dataclass
from typing import Any, Self

from scpress.tables.records import NotNegative, Record


@dataclass(frozen=True, kw_only=True)
class CurvePoint(Record):
    """The trainings on one number of cells.

    Attributes
    ----------
    loss
        Poisson loss of the held-out molecules, nats per cell, mean over trainings.
    difference, error
        Of the loss from that of all cells, and its standard error; 0 for all cells.
    """

    n_cells: int
    loss: float
    difference: float
    error: NotNegative


@dataclass(frozen=True, kw_only=True)
class Outlook(Record):
    """What twice the cells would bring, by the law loss = a + b (n^-c - 1) / c.

    Attributes
    ----------
    gain, low, high
        Fall of the loss, nats per cell: by the law, and 90 % of what it may be.
    exponent
        c, from 0, which is a + b log n, to 1, which is the rate of a mean.
    over_gene_means
        By how much the model of all cells is better than gene means, nats per cell.
    """

    gain: float
    low: float
    high: float
    exponent: NotNegative
    over_gene_means: float


@dataclass(frozen=True, kw_only=True)
class LearningCurve(Record):
    """What `learning_curve` found for one model.

    Attributes
    ----------
    seed
        Of the first repeat; the others have the next ones.
    n_scored
        Cells that are scored after each training.
    points
        From the least cells to all; empty where there are too few cells for a curve.
    outlook
        None where there is no curve.
    """

    made_by = "`scpress learning_curve`"

    model: str
    seed: int
    n_cells: int
    n_folds: int
    repeats: int
    n_scored: int
    points: tuple[CurvePoint, ...]
    outlook: Outlook | None = None

    @classmethod
    def from_plain(cls, values: Any, where: str) -> Self:
        """Read as a record, and check that the points are in their order and end with all cells."""
        found = super().from_plain(values, where)
        sizes = [point.n_cells for point in found.points]
        if sizes and (sizes != sorted(set(sizes)) or sizes[-1] != found.n_cells):
            raise cls.refusal(f"{where} has points at {sizes} of {found.n_cells} cells")
        if bool(sizes) != (found.outlook is not None):
            raise cls.refusal(f"{where} has {len(sizes)} points and not the outlook that they give")
        return found
