"""What the same steps find in the data and in copies of them without structure."""

from dataclasses import dataclass
from typing import Any, Self

from scpress.tables.records import NotNegative, Record, Share


@dataclass(frozen=True, kw_only=True)
class Signals(Record):
    """What was found in one set of counts, with the modelled genes.

    Attributes
    ----------
    n_clusters, n_subtypes
        Those that the pipeline delivers.
    n_markers
        Markers of the clusters within the false discovery rate.
    n_cut, n_cut_markers
        Leiden's clusters at one resolution, whatever their stability, and their markers.
    gain
        What the model gains over gene means, nats per held-out cell.
    raw_pairs, denoised_pairs
        Part of the pairs of genes whose log-values are correlated, before and after denoising.
    """

    n_clusters: int
    n_markers: int
    n_subtypes: int
    n_cut: int
    n_cut_markers: int
    gain: float
    raw_pairs: Share
    denoised_pairs: Share


@dataclass(frozen=True, kw_only=True)
class FalseSignals(Record):
    """What `false_signals` found.

    Attributes
    ----------
    n_strata
        Strata of cells within which counts were dealt anew.
    resolution
        At which clusters are cut for `n_cut`: the one that the data's clusters have, or 1.
    n_pair_genes
        Genes whose pairs are looked at.
    """

    made_by = "`scpress false_signals`"

    model: str
    seed: int
    n_cells: int
    n_genes: int
    n_strata: int
    max_fdr: Share
    resolution: NotNegative
    n_pair_genes: int
    min_correlation: Share
    data: Signals
    copies: tuple[Signals, ...]

    @classmethod
    def from_plain(cls, values: Any, where: str) -> Self:
        """Read as a record, and check that there is a copy."""
        found = super().from_plain(values, where)
        if not found.copies:
            raise cls.refusal(f"{where} has no copy without structure")
        return found
