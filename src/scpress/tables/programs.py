"""Which genes rise and fall along each dimension of a latent, and between its clusters."""

from dataclasses import dataclass
from typing import Annotated

from scpress.tables.records import NotNegative, Range, Record

DIMENSION, CLUSTERS = "dimension", "clusters"
# A correlation with other seeds, or a share of them; NaN with one seed.
_Match = Annotated[float, Range(-1, 1, may_lack=True)]


@dataclass(frozen=True, kw_only=True)
class ProgramsRecord(Record):
    """The programs of one model, a row each, and what was moved.

    Attributes
    ----------
    seeds
        The seed that is told, then those it is held against.
    low, high
        Percentiles of the cells from which to which a dimension is moved.
    n_cells
        Cells that are moved, at most.
    n_pairs
        Pairs of clusters that there are; not all need have a program.
    min_log2_fold_change, min_expected
        Least change, and fewest molecules of 10,000 at the higher end, of a listed gene.
    program, kind
        Name and `DIMENSION` or `CLUSTERS`.
    start, end
        Where a dimension is moved from and to; of two clusters 0 and the distance of their centres.
    largest
        Largest change of a gene with enough molecules, log2 fold change without its sign.
    agreement, least_agreement
        Correlation over genes with the best-matching dimension (without its sign), or with the way
        between the same clusters, of another seed: mean and least over the seeds.
    spanned
        Share of a dimension's variance over genes that all dimensions of another seed have
        together, mean over the seeds; NaN of clusters.
    """

    columns = (
        ("program", "kind", "start", "end", "largest", "agreement", "least_agreement", "spanned"),
    )
    made_by = "`scpress programs`"

    model: str
    seeds: tuple[int, ...]
    low: float
    high: float
    n_cells: int
    n_pairs: int
    min_log2_fold_change: NotNegative
    min_expected: NotNegative
    is_linear: bool
    program: tuple[str, ...]
    kind: tuple[str, ...]
    start: tuple[float, ...]
    end: tuple[float, ...]
    largest: tuple[NotNegative, ...]
    agreement: tuple[_Match, ...]
    least_agreement: tuple[_Match, ...]
    spanned: tuple[_Match, ...]


@dataclass(frozen=True, kw_only=True)
class ProgramGene(Record):
    """A row of the table of programs: a gene that rises or falls from its start to its end.

    Attributes
    ----------
    change
        "rises" or "falls".
    rank
        From 1 in each program and change, the largest change first.
    expected_start, expected_end
        Molecules of 10,000 that are expected, mean over the cells that are moved.
    """

    made_by = "`scpress programs`"

    program: str
    kind: str
    change: str
    rank: int
    gene: str
    gene_symbol: str
    log2_fold_change: float
    expected_start: NotNegative
    expected_end: NotNegative
