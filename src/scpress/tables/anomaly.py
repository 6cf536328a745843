"""What `anomaly` says of the cells it called and of the strangest ones."""

from dataclasses import dataclass
from typing import ClassVar

from scpress.tables.records import Record, Share


@dataclass(frozen=True, kw_only=True)
class AnomalyRecord(Record):
    """Models, reference, number of calls, and the strangest of the cells that were tested.

    Attributes
    ----------
    cells, genes
        Names of the strangest cells, the first one most, and the symbols of the genes of each that
        are the least expected, joined by spaces.
    """

    columns: ClassVar[tuple[tuple[str, ...], ...]] = (("cells", "genes"),)
    made_by: ClassVar[str] = "`scpress anomaly`"

    model: str
    seeds: tuple[int, ...]
    folds: int
    n_reference: int
    n_tested: int
    n_called: int
    max_fdr: Share
    cells: tuple[str, ...]
    genes: tuple[str, ...]
