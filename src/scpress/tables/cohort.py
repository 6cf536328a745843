"""What `cohort.h5ad` says of the donors in it, and the names under which it holds their parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scpress.slots import RECORD
from scpress.tables.records import NotNegative, Record, Share
from scpress.tables.results import Result

if TYPE_CHECKING:
    from anndata import AnnData

# Columns of its obs, and of obsm: cells of each type. No slots: users' cells may have such columns.
N_CELLS, MOLECULES = "n_cells", "molecules"
TYPE_CELLS = "type_cells"


@dataclass(frozen=True, kw_only=True)
class CohortRecord(Record):
    """How `cohort` made units of cells.

    Attributes
    ----------
    types
        Names of the types, in the order of the columns of `obsm["type_cells"]`.
    model
        Whose latents are summed up; '' without any.
    left_out
        Donors, and types of donors, below the floor: "donor3 (12 cells)", "donor4: NK (2 cells)".
    varying, varying_example
        Columns of the cells that are no property of a unit, and a unit with two of its values.
    """

    columns = (("varying", "varying_example"),)
    made_by = "`scpress cohort`"

    donor_key: str
    split_by: str
    types: tuple[str, ...]
    min_type_cells: int
    model: str
    left_out: tuple[str, ...] = ()
    varying: tuple[str, ...] = ()
    varying_example: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cohort(Record):
    """The record of `cohort.h5ad`."""

    made_by = "`scpress cohort`"

    cohort: CohortRecord


COHORT = Result(Cohort)


def layer_of(cell_type: str) -> str:
    """Layer of `cohort.h5ad` with the counts of one type."""
    return f"counts_{_key(cell_type)}"


def latent_of(model: str, cell_type: str = "") -> str:
    """The key of `obsm` with the mean latent of all cells, or of one type."""
    return f"X_{model}_{_key(cell_type)}" if cell_type else f"X_{model}"


def _key(name: str) -> str:
    # A `/` would be a group within the file.
    return name.replace("/", "|")


def cohort_record(cohort: AnnData) -> CohortRecord:
    """What a cohort says of itself.

    Raises
    ------
    InputError
        It is none of ours.
    """
    record = cohort.uns.get(RECORD.name, {})
    return Cohort.from_plain(record, "uns['scpress'] of the cohort").cohort


@dataclass(frozen=True, kw_only=True)
class Biomarker(Record):
    """A row of `biomarkers.tsv`: one gene in one type.

    Attributes
    ----------
    log2_fold_change, shrunken_log2_fold_change
        Of the second condition over the first.
    fdr
        Of the genes of that type; 1 for genes of too few molecules to be found (independent
        filtering).
    stability
        Share of samples of the donors in which a gene that was found is found again; 0 for
        others.
    """

    made_by = "`scpress biomarkers`"

    cell_type: str
    gene: str
    gene_symbol: str
    mean_count: NotNegative
    log2_fold_change: float
    standard_error: NotNegative
    shrunken_log2_fold_change: float
    p_value: Share
    fdr: Share
    stability: Share


@dataclass(frozen=True, kw_only=True)
class TestedType(Record):
    """What was compared in one type; the reason says why nothing was."""

    cell_type: str
    n_reference: int
    n_case: int
    n_genes: int
    n_found: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Biomarkers(Record):
    """The record of `biomarkers.json`."""

    made_by = "`scpress biomarkers`"

    condition_key: str
    levels: tuple[str, ...]
    held_constant: tuple[str, ...]
    max_fdr: Share
    types: tuple[TestedType, ...]
