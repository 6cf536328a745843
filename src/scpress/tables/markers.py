"""One gene that marks one cluster or subtype, as `annotate` and `subtype` list them."""

from dataclasses import dataclass

from scpress.tables.records import Record, Share


@dataclass(frozen=True, kw_only=True)
class Marker(Record):
    """A row of a table of markers; the fractions are of cells with a molecule of the gene."""

    made_by = "`scpress annotate` or `subtype`"

    group: str
    gene: str
    gene_symbol: str
    log2_fold_change: float
    z: float
    p_value: Share
    fdr: Share
    fraction_in_group: Share
    fraction_in_others: Share
