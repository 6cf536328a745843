"""What `evaluate` scores of one model's latents, and the page shows."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from scpress.tables.records import Agreement, NotNegative, Record


@dataclass(frozen=True, kw_only=True)
class SeedScores(Record):
    """Scores of one seed's latent, higher is better; None where the data have nothing to compare.

    Attributes
    ----------
    ari_best, nmi_best
        Of Leiden clusters with the labels, at the resolution that only the labels can tell.
    ari_chosen, nmi_chosen
        At the resolution that stability chooses.
    silhouette
        Of the labels.
    ilisi, kbet, graph_connectivity, silhouette_batch
        scib-metrics' scores of how well batches are mixed, 1 is perfectly.
    """

    omits_none = True

    ari_best: Agreement | None = None
    nmi_best: Agreement | None = None
    ari_chosen: Agreement | None = None
    nmi_chosen: Agreement | None = None
    silhouette: Agreement | None = None
    ilisi: float | None = None
    kbet: float | None = None
    graph_connectivity: float | None = None
    silhouette_batch: float | None = None
    # Settings found along the way, not scores.
    best_resolution: NotNegative | None = None
    chosen_resolution: NotNegative | None = None
    n_clusters_chosen: NotNegative | None = None


SETTINGS = ("best_resolution", "chosen_resolution", "n_clusters_chosen")
SCORES = tuple(item.name for item in fields(SeedScores) if item.name not in SETTINGS)


@dataclass(frozen=True, kw_only=True)
class Spread(Record):
    """A score over the seeds: there are too few for percentiles."""

    median: float
    low: float
    high: float
    n_seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Median, least and greatest of some scores."""
        return cls(
            median=statistics.median(values), low=min(values), high=max(values), n_seeds=len(values)
        )


@dataclass(frozen=True, kw_only=True)
class Evaluation(Record):
    """A model's latents beside known labels and batches.

    Attributes
    ----------
    n_scored_cells
        Cells that the scores use.
    message
        What there was to compare with.
    seeds
        Seed -> its scores.
    summary
        Score or setting -> its spread over the seeds.
    """

    made_by = "`scpress evaluate`"

    model: str
    n_cells: int
    n_scored_cells: int
    has_labels: bool
    has_batches: bool
    message: str
    seeds: dict[str, SeedScores]
    summary: dict[str, Spread]

    @classmethod
    def from_plain(cls, values: Any, where: str) -> Self:
        """Read as a record, and check that the summary is that of the seeds."""
        found = super().from_plain(values, where)
        if not _is_same(found.summary, summarize_seeds(found.seeds)):
            raise cls.refusal(
                f"the summary in {where} is not that of its seeds: something is lost or changed"
            )
        return found


def summarize_seeds(seeds: Mapping[str, SeedScores]) -> dict[str, Spread]:
    """Score or setting -> its spread over the seeds that have it."""
    found = {name: [getattr(one, name) for one in seeds.values()] for name in (*SCORES, *SETTINGS)}
    known = {name: [v for v in values if v is not None] for name, values in found.items()}
    return {name: Spread.of(values) for name, values in known.items() if values}


def _is_same(summary: Mapping[str, Spread], other: Mapping[str, Spread]) -> bool:
    return summary.keys() == other.keys() and all(
        math.isclose(getattr(one, item.name), getattr(other[name], item.name), rel_tol=1e-9)
        for name, one in summary.items()
        for item in fields(Spread)
    )
