"""How many genes are modelled, of which ranking, and by how much held-out molecules prefer it."""

from dataclasses import dataclass
from typing import Any, Self

from scpress.tables.records import NotNegative, Record, Share


@dataclass(frozen=True, kw_only=True)
class GenesCandidate(Record):
    """One number of genes, the first of one ranking.

    Attributes
    ----------
    share
        Of the molecules that are in these genes.
    loss
        Poisson loss of the held-out molecules of all genes, nats per cell.
    difference, error
        Of the loss from that of the best, in the same cells, and its standard error.
    """

    n_genes: int
    flavor: str
    share: Share
    loss: float
    difference: float
    error: NotNegative


@dataclass(frozen=True, kw_only=True)
class GenesChoice(Record):
    """What `genes` found.

    Attributes
    ----------
    n_all
        Genes of the data.
    chosen, flavor
        The smallest number with a ranking within one standard error of the best, and the best
        ranking at this number.
    candidates
        From the fewest genes to the most.
    left_out
        Numbers of genes that were not tried, as they are above `max_genes`.
    """

    made_by = "`scpress genes`"

    model: str
    seed: int
    n_cells: int
    n_all: int
    n_folds: int
    chosen: int
    flavor: str
    max_genes: int
    candidates: tuple[GenesCandidate, ...]
    left_out: tuple[int, ...]

    @classmethod
    def from_plain(cls, values: Any, where: str) -> Self:
        """Read as a record, and check that what was chosen is a candidate."""
        found = super().from_plain(values, where)
        names = [(one.n_genes, one.flavor) for one in found.candidates]
        if (found.chosen, found.flavor) not in names:
            raise cls.refusal(
                f"{where} chooses {found.chosen} genes of {found.flavor!r}, which is no candidate"
            )
        return found
