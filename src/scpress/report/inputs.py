"""What the report is made from, and the questions its sections ask of it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scpress import slots
from scpress.counts.genes import gene_labels
from scpress.report.figures import colours_of
from scpress.tables.archive import PackedBytes
from scpress.tables.classification import Classification
from scpress.tables.cohort import Biomarkers, CohortRecord, cohort_record
from scpress.tables.compression import Compression
from scpress.tables.donor_subtypes import DonorSubtypes
from scpress.tables.evaluation import Evaluation
from scpress.tables.false_signals import FalseSignals
from scpress.tables.genes import GenesChoice
from scpress.tables.learning_curve import LearningCurve
from scpress.tables.likelihood import LikelihoodChoice
from scpress.tables.records import plain
from scpress.tables.response import DrugResponse, Perturbation
from scpress.tables.results import FinalRecord
from scpress.tables.scores import Choice
from scpress.tables.search import Search
from scpress.tables.survival import Survival
from scpress.tables.training import TrainingRecord


@dataclass
class ReportInputs:
    """Results of a run; everything but `cells` may be missing.

    Attributes
    ----------
    cells
        The assembled AnnData, X in memory or on disk.
    samples_qc
        Name of the sample -> what `qc` made for it.
    histories
        (model, seed) -> one row per validation.
    evaluations, compressions
        What `evaluate` and `compress` wrote, one per model (and seed).
    markers, subtype_markers
        Tables of marker genes (`cells.markers.MARKER_COLUMNS`) per cluster and per subtype.
    archive
        What `pack` wrote beside the archive.
    choice
        Scores on held-out molecules, by `choose`.
    likelihoods
        What `likelihood` chose for models that left it to the molecules.
    learning_curve
        What `learning_curve` found of the primary model.
    false_signals
        What `false_signals` found in counts without structure.
    genes
        Which genes `genes` chose, where that was left to the molecules.
    searches
        What `rank` chose for models whose settings were searched for.
    programs, program_genes
        What `programs` made: changes of genes from place to place, and the listed genes.
    anomaly
        What `anomaly` made of the same cells.
    cohort
        Donors, by `cohort`; where there are two of them.
    donor_subtypes
        Groups of donors, by `donor_subtypes`.
    biomarkers, biomarker_genes
        What `biomarkers` tested, and a row of `tables.cohort.Biomarker` a gene and type.
    classification, weights
        What `classify` found, and a row of `tables.classification.Weight` a feature.
    survival
        What `survival` found.
    drug_response, perturbation
        What the verbs of these names found.
    path
        Where `cells` is, as the page tells it.
    """

    cells: AnnData
    samples_qc: dict[str, AnnData] = field(default_factory=dict)
    histories: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    evaluations: list[Evaluation] = field(default_factory=list)
    compressions: list[Compression] = field(default_factory=list)
    markers: pd.DataFrame | None = None
    subtype_markers: pd.DataFrame | None = None
    archive: PackedBytes | None = None
    choice: Choice | None = None
    likelihoods: list[LikelihoodChoice] = field(default_factory=list)
    learning_curve: LearningCurve | None = None
    false_signals: FalseSignals | None = None
    genes: GenesChoice | None = None
    searches: list[Search] = field(default_factory=list)
    programs: AnnData | None = None
    program_genes: pd.DataFrame | None = None
    anomaly: AnnData | None = None
    cohort: AnnData | None = None
    donor_subtypes: DonorSubtypes | None = None
    biomarkers: Biomarkers | None = None
    biomarker_genes: pd.DataFrame | None = None
    classification: Classification | None = None
    weights: pd.DataFrame | None = None
    survival: Survival | None = None
    drug_response: DrugResponse | None = None
    perturbation: Perturbation | None = None
    path: str = "scpress.h5ad"

    @property
    def record(self) -> dict[str, Any]:
        """`uns["scpress"]` of the cells, as `tables.results.FinalRecord` says it must be."""
        record = self.cells.uns.get(slots.RECORD.name, {})
        FinalRecord.from_plain(record, "uns['scpress'] of the cells")
        return dict(record)

    @property
    def models(self) -> dict[str, TrainingRecord]:
        """Name of the model -> its record, the primary model first."""
        models = {
            str(name): TrainingRecord.from_plain(value, f"the record of model {name!r}")
            for name, value in self.record.get("models", {}).items()
        }
        first = self.primary
        return dict(sorted(models.items(), key=lambda item: (item[0] != first, item[0])))

    @property
    def primary(self) -> str:
        """The model the clusters are made from."""
        named = plain(self.record.get("cluster", {}).get("model", ""))
        models = [str(name) for name in self.record.get("models", {})]
        return str(named) if named in models or not models else models[0]

    @property
    def cohort_record(self) -> CohortRecord:
        """How the donors were made of cells."""
        assert self.cohort is not None
        return cohort_record(self.cohort)

    def sample_records(self) -> dict[str, dict[str, Any]]:
        """Sample -> what ingest, qc and merge told of it; of its qc where it was not merged."""
        merged = plain(self.record.get("samples", {}))
        return {
            name: merged.get(name.replace("/", "_"))
            or plain(dict(qc.uns)).get(slots.RECORD.name, {})
            for name, qc in self.samples_qc.items()
        }

    def column(self, slot: slots.Slot) -> pd.Series | None:
        """Get an obs column that is as its slot says, or None."""
        if slot.name not in self.cells.obs:
            return None
        slots.require(self.cells, slot)
        return self.cells.obs[slot.name]

    def sizes(self, slot: slots.Slot) -> dict[str, int]:
        """Category -> number of cells, in the order of the categories; empty ones left out."""
        column = self.column(slot)
        if column is None:
            return {}
        counts = column.astype("category").value_counts(sort=False)
        return {str(name): int(size) for name, size in counts.items() if size}

    def sample_colours(self) -> dict[str, str]:
        """Sample -> colour, the same in every figure."""
        return colours_of(list(dict.fromkeys([*self.sizes(slots.SAMPLE), *self.samples_qc])))

    def gene_labels(self) -> np.ndarray:
        """[genes] Symbols where there are any, otherwise names."""
        return np.array(gene_labels(self.cells.var), dtype=object)

    def strangest_rows(self) -> np.ndarray:
        """Rows of the cells that `anomaly` names, the strangest first; none where it was not run.

        Raises
        ------
        InputError
            It is of other cells.
        """
        if self.anomaly is None:
            return np.zeros(0, dtype=np.int64)
        slots.require_same_cells(self.cells.obs_names, self.anomaly.obs_names, "anomaly")
        named = plain(self.anomaly.uns[slots.RECORD.name]["anomaly"]["cells"])
        rows = self.anomaly.obs_names.get_indexer(pd.Index(named, dtype=object))
        return rows[rows >= 0]

    def shown_rows(self, max_cells: int) -> np.ndarray:
        """Sorted rows of the cells that are drawn: all, or a seeded subsample and the strangest."""
        n_obs = self.cells.n_obs
        if n_obs <= max_cells:
            return np.arange(n_obs)
        drawn = np.random.default_rng(0).choice(n_obs, size=max_cells, replace=False)
        named = self.strangest_rows()
        others = drawn[~np.isin(drawn, named)][: max_cells - len(named)]
        return np.sort(np.concatenate([named, others]))
