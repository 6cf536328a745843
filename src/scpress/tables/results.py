"""What each h5ad file between two steps holds: its slots, and its record in `uns["scpress"]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from scpress import slots
from scpress.errors import require_format
from scpress.tables.anomaly import AnomalyRecord
from scpress.tables.programs import ProgramsRecord
from scpress.tables.records import (
    Agreement,
    AnyInt,
    MayLack,
    NotNegative,
    Positive,
    Record,
    Share,
    plain,
)
from scpress.tables.training import HeldOut, TrainingRecord, Verdict
from scpress.tables.transfer import ReferenceRecord

if TYPE_CHECKING:
    from anndata import AnnData

    from scpress.slots import Slot


@dataclass(frozen=True, kw_only=True)
class SampleRecord(Record):
    """One sample as `merge` found it."""

    n_cells: int
    n_passing: int
    n_genes: int
    failures: dict[str, int]
    limits: dict[str, float]
    messages: tuple[str, ...]
    source: str | None = None
    n_molecules: int | None = None


@dataclass(frozen=True, kw_only=True)
class CountsRecord(Record):
    """Counts of one sample, by `ingest`, or of all, by `merge`."""

    genes_digest: str
    messages: tuple[str, ...]
    sample: str | None = None
    source: str | None = None
    n_cells_input: int | None = None
    n_molecules: int | None = None
    n_genes_undetected: int | None = None
    sample_names: tuple[str, ...] = ()
    samples: dict[str, SampleRecord] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class QcRecord(Record):
    """What `qc` says of a sample; without its name the folder is asked."""

    n_cells: int
    n_passing: int
    failures: dict[str, int]
    limits: dict[str, float]
    messages: tuple[str, ...]
    sample: str | None = None


@dataclass(frozen=True, kw_only=True)
class NormalizeRecord(Record):
    """What `normalize` says of the genes it chose."""

    flavor: str
    n_highly_variable: int
    median_library_size: Positive
    messages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FoldsRecord(Record):
    """How `thin` divided the molecules.

    Attributes
    ----------
    fraction
        Expected part of the molecules in one fold.
    n_groups
        Groups of cells that are alike, within which the dispersion was estimated.
    digest
        Of the molecules that are held out: only scores on the same ones can be compared.
    """

    n_folds: int
    fraction: Share
    seed: int
    n_groups: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Folds(Record):
    """The record of `folds.h5ad`."""

    thin: FoldsRecord


@dataclass(frozen=True, kw_only=True)
class LatentRecord(TrainingRecord):
    """The record of a training as `embed` passes it on."""

    model: str
    genes_digest: str
    seed: int
    device: str
    verdict: Verdict
    held_out: HeldOut


@dataclass(frozen=True, kw_only=True)
class Stability(Record):
    """Agreement of the clusters when cells are left out, one entry per resolution."""

    columns = (
        ("resolution", "n_leiden", "n_clusters", "ari_mean", "ari_low", "ari_high", "ari_overall"),
    )

    resolution: tuple[NotNegative, ...]
    n_leiden: tuple[int, ...]
    n_clusters: tuple[int, ...]
    ari_mean: tuple[Agreement, ...]
    ari_low: tuple[Agreement, ...]
    ari_high: tuple[Agreement, ...]
    ari_overall: tuple[Agreement, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ClusterRecord(Record):
    """How `cluster` chose a resolution; NaN where it chose none.

    Attributes
    ----------
    unconfirmed
        Clusters that some seed does not find again.
    neighbor_chance
        `obs["neighbor_agreement"]` of neighbours drawn at random; there with several seeds.
    """

    model: str
    seed: int
    chosen_resolution: MayLack
    min_stability: float
    n_subsampled: int
    n_stability_cells: int
    n_umap_cells: int | None = None
    n_seeds: int = 1
    unconfirmed: tuple[str, ...] = ()
    neighbor_chance: Share | None = None
    stability: Stability


@dataclass(frozen=True, kw_only=True)
class AnnotateRecord(Record):
    """How `annotate` named the clusters; without a table of markers there are no scores."""

    columns = (
        ("clusters", "cluster_types", "scores"),
        ("cell_types", "parents", "n_genes_found", "n_genes_listed"),
    )

    method: str
    clusters: tuple[str, ...]
    cluster_types: tuple[str, ...]
    n_unassigned: int
    n_marker_cells: int
    panel: str | None = None
    cell_types: tuple[str, ...] | None = None
    parents: tuple[str, ...] | None = None
    n_genes_found: tuple[int, ...] | None = None
    n_genes_listed: tuple[int, ...] | None = None
    scores: tuple[tuple[float, ...], ...] | None = None
    reference: ReferenceRecord | None = None


@dataclass(frozen=True, kw_only=True)
class Groups(Record):
    """The groups that `subtype` looked into."""

    columns = (("group", "n_cells", "n_subtypes", "reason"),)

    group: tuple[str, ...]
    n_cells: tuple[int, ...]
    n_subtypes: tuple[int, ...]
    reason: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Candidates(Record):
    """What `subtype` tried in each group; -1 where markers were not looked for."""

    columns = (
        ("group", "n_subtypes", "ari_mean", "ari_low", "ari_high", "smallest", "verdict"),
        ("group", "fewest_markers"),
    )

    group: tuple[str, ...]
    n_subtypes: tuple[int, ...]
    ari_mean: tuple[Agreement, ...]
    ari_low: tuple[Agreement, ...]
    ari_high: tuple[Agreement, ...]
    smallest: tuple[int, ...]
    fewest_markers: tuple[AnyInt, ...]
    verdict: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SubtypeSeeds(Record):
    """The subtypes in the latents of the seeds.

    Attributes
    ----------
    n_found
        Seeds whose latent has the subtype.
    least, most
        ARI of the subtype against its group's other cells, in the seed that agrees least and most.
    """

    columns = (("subtype", "n_found", "least", "most"),)

    subtype: tuple[str, ...]
    n_found: tuple[int, ...]
    least: tuple[Agreement, ...]
    most: tuple[Agreement, ...]


@dataclass(frozen=True, kw_only=True)
class SubtypeRecord(Record):
    """What `subtype` looked into; None where there was nothing, or one seed."""

    groupby: str
    seed: int
    groups: Groups | None
    candidates: Candidates | None
    n_seeds: int = 1
    seeds: SubtypeSeeds | None = None


@dataclass(frozen=True, kw_only=True)
class Clusters(Record):
    """The record of `clusters.h5ad`."""

    cluster: ClusterRecord


@dataclass(frozen=True, kw_only=True)
class Named(Record):
    """The record of `reference.h5ad`."""

    reference: ReferenceRecord


@dataclass(frozen=True, kw_only=True)
class Annotation(Record):
    """The record of `annotation.h5ad`."""

    annotate: AnnotateRecord


@dataclass(frozen=True, kw_only=True)
class Subtypes(Record):
    """The record of `subtypes.h5ad`."""

    subtype: SubtypeRecord


@dataclass(frozen=True, kw_only=True)
class Anomalies(Record):
    """The record of `anomaly.h5ad`."""

    anomaly: AnomalyRecord


@dataclass(frozen=True, kw_only=True)
class Programs(Record):
    """The record of `programs.h5ad`."""

    programs: ProgramsRecord


@dataclass(frozen=True, kw_only=True)
class FinalRecord(Record):
    """The record of `scpress.h5ad`: that of every step that was run."""

    models: dict[str, TrainingRecord] = field(default_factory=dict)
    messages: tuple[str, ...] = ()
    cluster: ClusterRecord | None = None
    annotate: AnnotateRecord | None = None
    subtype: SubtypeRecord | None = None
    programs: ProgramsRecord | None = None
    flavor: str | None = None
    n_highly_variable: int | None = None
    median_library_size: Positive | None = None
    sample_names: tuple[str, ...] = ()
    samples: dict[str, SampleRecord] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NeighborsOptions(Record):
    """How a graph of neighbours was built, in scanpy's words."""

    n_neighbors: int
    method: str
    metric: str
    random_state: int
    use_rep: str


@dataclass(frozen=True, kw_only=True)
class Neighbors(Record):
    """What scanpy asks of a graph of neighbours."""

    connectivities_key: str
    distances_key: str
    params: NeighborsOptions


@dataclass(frozen=True)
class Result:
    """The schema of one file: what it says of itself, and the slots that it always has.

    Attributes
    ----------
    beside
        Other tables of its `uns`.
    """

    record: type[Record]
    slots: tuple[Slot, ...] = ()
    beside: Mapping[str, type[Record]] = field(default_factory=dict)

    def require(self, adata: AnnData, where: str) -> None:
        """Check that an AnnData is such a file.

        Raises
        ------
        InputError
            A slot, or an entry of the record, is missing or is not what it can be.
        """
        slots.require(adata, slots.RECORD, *self.slots, where=where)
        found = adata.uns[slots.RECORD.name]
        if self.record is FinalRecord:
            version = plain(found.get("format_version", 1))
            require_format(version, oldest=1, newest=slots.FORMAT_VERSION, what=where)
        record = self.record.from_plain(found, f"uns['scpress'] in {where}")
        for key, kind in self.beside.items():
            kind.from_plain(adata.uns.get(key), f"uns[{key!r}] in {where}")
        models: list[str] = []
        if isinstance(record, LatentRecord):
            models = [record.model]
        if isinstance(record, CountsRecord) and record.sample_names:
            slots.require(adata, *_OF_QC, where=where)
        if isinstance(record, FinalRecord):
            models = list(record.models)
            written = [_OF_STEPS[step] for step in _OF_STEPS if getattr(record, step)]
            slots.require(adata, *chain(*written), where=where)
        for model in models:
            slots.require(adata, *_OF_MODELS, model=model, where=where)
        slots.require_present(adata, models=models, where=where)


_OF_MODELS = (slots.LATENT, slots.NLL)
_OF_STEPS = {
    "flavor": (slots.HIGHLY_VARIABLE, slots.LIBRARY_SIZE, slots.SIZE_FACTOR),
    "cluster": (slots.LEIDEN, slots.DISTANCES, slots.CONNECTIVITIES),
    "annotate": (slots.CELL_TYPE, slots.CELL_TYPE_CONFIDENCE),
    "subtype": (slots.SUBTYPE,),
}

_OF_QC = (
    slots.LIBRARY_SIZE,
    slots.N_GENES,
    slots.PCT_MT,
    slots.PCT_RIBO,
    slots.DOUBLET_SCORE,
    slots.PASS_QC,
    slots.QC_REASON,
)

COUNTS = Result(CountsRecord, (slots.SAMPLE,))
QC = Result(QcRecord, (*_OF_QC, slots.N_CELLS))
NORMALIZED = Result(NormalizeRecord, (*_OF_STEPS["flavor"], slots.MEANS, slots.VARIANCES))
LATENT = Result(LatentRecord)
FOLDS = Result(Folds, (slots.FOLD, slots.LIBRARY_SIZE, slots.THIN_THETA))
CLUSTERS = Result(Clusters, _OF_STEPS["cluster"], {"neighbors": Neighbors})
REFERENCE = Result(Named, _OF_STEPS["annotate"])
ANNOTATION = Result(Annotation, _OF_STEPS["annotate"])
SUBTYPES = Result(Subtypes, _OF_STEPS["subtype"])
ANOMALY = Result(
    Anomalies,
    (
        slots.ANOMALY_SCORE,
        slots.ANOMALY_FDR,
        slots.IS_ANOMALY,
        slots.ANOMALY_REFERENCE,
        slots.N_OUTLIER_GENES,
        slots.GENE_SYMBOL,
    ),
)
PROGRAMS = Result(Programs, (slots.PROGRAM, slots.PROGRAM_PLACE))
FINAL = Result(FinalRecord)
