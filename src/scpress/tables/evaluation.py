"""What `evaluate` scores of one model's latents, and the page shows."""

from dataclasses import dataclass, fields

from scpress.tables.records import Record


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

    ari_best: float | None = None
    ari_chosen: float | None = None
    nmi_best: float | None = None
    nmi_chosen: float | None = None
    silhouette: float | None = None
    ilisi: float | None = None
    kbet: float | None = None
    graph_connectivity: float | None = None
    silhouette_batch: float | None = None
    # Settings found along the way, not scores.
    best_resolution: float | None = None
    chosen_resolution: float | None = None
    n_clusters_chosen: float | None = None


SETTINGS = ("best_resolution", "chosen_resolution", "n_clusters_chosen")
SCORES = tuple(item.name for item in fields(SeedScores) if item.name not in SETTINGS)


@dataclass(frozen=True, kw_only=True)
class Spread(Record):
    """A score over the seeds: there are too few for percentiles."""

    median: float
    low: float
    high: float
    n_seeds: int


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

    model: str
    n_cells: int
    n_scored_cells: int
    has_labels: bool
    has_batches: bool
    message: str
    seeds: dict[str, SeedScores]
    summary: dict[str, Spread]
