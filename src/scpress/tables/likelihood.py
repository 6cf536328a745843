"""Which likelihood a model has, and by how much held-out molecules prefer it."""

from dataclasses import dataclass
from typing import Any, Self

from scpress.tables.records import NotNegative, Record


@dataclass(frozen=True, kw_only=True)
class Candidate(Record):
    """One likelihood of the same model.

    Attributes
    ----------
    loss
        -log p(held-out molecules given those of training), nats per cell.
    difference, error
        Of the loss from that of the chosen likelihood, in the same cells, and its standard error.
    """

    likelihood: str
    loss: float
    difference: float
    error: NotNegative


@dataclass(frozen=True, kw_only=True)
class LikelihoodChoice(Record):
    """What `likelihood` found for one model.

    Attributes
    ----------
    chosen
        The simplest that is within one standard error of the best.
    candidates
        From the simplest to the one of most parameters.
    inflated_genes
        Genes whose molecules are predicted clearly better with extra zeros than by the negative
        binomial; those of most nats first.
    """

    made_by = "`scpress likelihood`"

    model: str
    seed: int
    n_cells: int
    n_folds: int
    chosen: str
    best: str
    candidates: tuple[Candidate, ...]
    inflated_genes: tuple[str, ...]

    @classmethod
    def from_plain(cls, values: Any, where: str) -> Self:
        """Read as a record, and check that what was chosen is a candidate."""
        found = super().from_plain(values, where)
        names = [one.likelihood for one in found.candidates]
        if found.chosen not in names:
            raise cls.refusal(f"{where} chooses {found.chosen!r} of {', '.join(names)}")
        return found
