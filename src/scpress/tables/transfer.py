"""What is said of cells that labelled ones gave names to."""

from dataclasses import dataclass
from typing import ClassVar

from scpress.tables.records import MayLack, Record, Share


@dataclass(frozen=True, kw_only=True)
class PanelAgreement(Record):
    """What the panel of marker genes calls the cells of each name.

    Attributes
    ----------
    names, panel_types, shares
        The panel's most frequent type of the cells of a name, and its share of those cells.
    ari
        Adjusted Rand index over the cells that both name.
    n_cells
        Number of these.
    """

    columns: ClassVar[tuple[tuple[str, ...], ...]] = (("names", "panel_types", "shares"),)

    panel: str
    n_cells: int
    ari: float
    names: tuple[str, ...]
    panel_types: tuple[str, ...]
    shares: tuple[Share, ...]


@dataclass(frozen=True, kw_only=True)
class ReferenceRecord(Record):
    """How well labelled cells name others, by themselves held out, and how many are like none.

    Attributes
    ----------
    source
        What the labels are of.
    n_missing_genes
        Genes of the model that one side lacks, left out on both.
    n_unlike
        Cells like none that has a label.
    left_out
        Types of too few cells to be learned.
    unlike_rate, held_out_rate
        Share of labelled cells that may be called so, and that is when held out. None, as all
        below, of a model that brings no labelled cells.
    mean_confidence
        Of the names of held-out labelled cells, whose share of right ones is `accuracy_both`.
    n_steps
        Steps in which the weights of the added batch were trained.
    """

    columns: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("types", "type_sizes", "type_accuracies", "type_unlike"),
    )
    omits_none: ClassVar[bool] = True
    made_by: ClassVar[str] = "`scpress transfer` or `annotate`"

    source: str
    n_missing_genes: int
    n_unlike: int = 0
    left_out: tuple[str, ...] = ()
    unlike_rate: Share | None = None
    held_out_rate: Share | None = None
    accuracy_knn: Share | None = None
    accuracy_linear: Share | None = None
    accuracy_both: Share | None = None
    mean_confidence: Share | None = None
    n_steps: int | None = None
    types: tuple[str, ...] | None = None
    type_sizes: tuple[int, ...] | None = None
    type_accuracies: tuple[float, ...] | None = None
    type_unlike: tuple[float, ...] | None = None
    agreement: PanelAgreement | None = None


@dataclass(frozen=True, kw_only=True)
class Probes(Record):
    """How well a linear model reads things from the latent, and from as many components of PCA.

    Attributes
    ----------
    what
        label (of the reference), batch, depth (log of molecules) and, where its genes are there,
        cycle.
    measure
        balanced accuracy, or R2.
    chance
        What would be read from noise.
    """

    columns: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("what", "measure", "chance", "latent", "pca"),
    )

    what: tuple[str, ...]
    measure: tuple[str, ...]
    chance: tuple[MayLack, ...]
    latent: tuple[float, ...]
    pca: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class TransferRecord(Record):
    """The record of `transfer.h5ad`."""

    model: str
    batch: str
    n_cells: int
    n_reference: int
    reference: ReferenceRecord
    probes: Probes
