"""Every knob of every verb, once: field name = command-line flag = configuration key."""

from dataclasses import dataclass

from scpress.config.anomaly import AnomalyOptions
from scpress.config.archive import PackOptions
from scpress.config.cohort import (
    BiomarkersOptions,
    ClassifyOptions,
    CohortOptions,
    DonorSubtypesOptions,
    SurvivalOptions,
)
from scpress.config.fields import MAX_SEED, Options, option
from scpress.config.generate import GenerateOptions
from scpress.config.genes import FLAVORS, GenesOptions
from scpress.config.output import AssembleOptions, DenoiseOptions
from scpress.config.programs import ProgramsOptions
from scpress.config.receptors import ReceptorsOptions
from scpress.config.recommend import RecommendOptions
from scpress.config.response import DrugResponseOptions, PerturbationOptions
from scpress.config.scores import (
    AUTO,
    BaselinesOptions,
    ChooseOptions,
    FalseSignalsOptions,
    LearningCurveOptions,
    ThinOptions,
)
from scpress.config.search import SearchOptions
from scpress.config.simulation import SimulateOptions
from scpress.config.train import OPERATIONAL as OPERATIONAL
from scpress.config.train import TrainOptions
from scpress.config.transfer import ReferenceOptions, TransferOptions


@dataclass(frozen=True)
class IngestOptions(Options):
    """Read one sample's raw counts, check every value and name cells and genes."""

    format: str | None = option(
        None,
        "file format; recognised from the path when not given",
        choices=("h5ad", "10x_h5", "10x_mtx", "loom", "csv", "tsv", "zarr"),
    )
    layer: str | None = option(
        None,
        "where the counts of an h5ad, zarr or loom file are: 'X', 'raw', a layer, or layers joined "
        "by '+', which are added (spliced+unspliced); of a folder with a matrix for each of these, "
        "the parts to add, all when not given; other formats have no layers",
    )
    orientation: str = option(
        "cells_by_genes",
        "what the rows of a CSV or TSV file, the obs of an h5ad or zarr and the columns of a loom "
        "file are; the files of 10x and their like say it themselves",
        choices=("cells_by_genes", "genes_by_cells"),
    )
    genome: str | None = option(
        None,
        "which genome's genes to keep, of any format: its name in front of theirs (GRCh38_), in "
        "the column genome, or the group of a 10x HDF5 v2 file; several joined by '+'; not needed "
        "when there is one",
    )
    label_key: str | None = option(
        None, "obs column of known labels, kept as obs['label'] to score the results against"
    )
    rounding: str = option(
        "none",
        "how fractions of counts (SoupX, expected counts of an EM) become whole: none refuses "
        "them; nearest; stochastic: up or down by chance, so that sums stay on average",
        choices=("none", "nearest", "stochastic"),
    )
    seed: int = option(0, "seed of stochastic rounding", minimum=0, maximum=MAX_SEED)


@dataclass(frozen=True)
class QcOptions(Options):
    """Measure every cell and mark the ones to keep, with the reason for each failure."""

    thresholds: str = option(
        "fixed",
        "fixed: the limits below alone; mad: these, and limits by median absolute deviation",
        choices=("fixed", "mad"),
    )
    min_counts: int = option(1, "fewest molecules in a cell", minimum=0)
    max_counts: int | None = option(None, "most molecules in a cell", minimum=1)
    min_genes: int = option(200, "fewest detected genes in a cell", minimum=0)
    max_genes: int | None = option(None, "most detected genes in a cell", minimum=1)
    max_pct_mt: float = option(
        20.0, "most mitochondrial molecules in a cell, percent", minimum=0, maximum=100
    )
    max_pct_ribo: float = option(
        100.0, "most ribosomal molecules in a cell, percent", minimum=0, maximum=100
    )
    n_mads: float = option(
        5.0, "with mad: how many median absolute deviations from the median are allowed", minimum=0
    )
    doublets: bool = option(True, "score doublets with scrublet and drop the predicted ones")
    expected_doublet_rate: float = option(
        0.06, "expected fraction of doublets", minimum=0, maximum=1
    )
    max_doublet_score: float | None = option(
        None, "highest doublet score of a kept cell; scrublet's own threshold when not given"
    )
    filter_column: str | None = option(
        None, "obs column of true/false values to use instead of every threshold"
    )
    seed: int = option(0, "seed of the simulated doublets", minimum=0, maximum=MAX_SEED)


@dataclass(frozen=True)
class MergeOptions(Options):
    """Join the passing cells of all samples."""

    genes: str = option(
        "intersection",
        "genes to keep: those in every sample; those in any, a gene that a sample does not list "
        "counting as zeros there (union) or as not measured there (panels)",
        choices=("intersection", "union", "panels"),
    )
    min_cells: int = option(1, "fewest passing cells a kept gene is detected in", minimum=0)


@dataclass(frozen=True)
class NormalizeOptions(Options):
    """Compute library sizes, size factors and highly variable genes; counts stay untouched."""

    n_top_genes: int | str | None = option(
        2000,
        "how many genes to model, the first of the ranking; null for all of them. More predict "
        "unseen molecules better, take as much longer, and do not raise agreement with labels. "
        "auto: by held-out molecules",
        minimum=1,
        words=(AUTO,),
    )
    flavor: str = option(
        "seurat_v3",
        "how genes are ranked: seurat_v3 or pearson_residuals as scanpy has them, by molecules, "
        "or by binomial deviance from one fraction in all cells; auto: by held-out molecules",
        choices=(*FLAVORS, AUTO),
    )
    batch_key: str | None = option(
        "sample", "obs column within which genes are ranked; null for all cells together"
    )
    min_cells_per_batch: int = option(
        50,
        "a batch with fewer cells is left out of the per-batch ranking, with a message",
        minimum=3,
    )
    gene_list: str | None = option(
        None, "file of gene ids or symbols, one per line, to model instead of the ranking"
    )


@dataclass(frozen=True)
class EmbedOptions(Options):
    """Extract the latent and the likelihood of every cell; also of new cells."""

    max_missing_fraction: float = option(
        0.05,
        "largest fraction of the model's genes that new cells may lack (they count as zeros)",
        minimum=0,
        maximum=1,
    )
    reference_batch: str | None = option(
        None, "training batch to decode unknown batches in; the largest when not given"
    )


@dataclass(frozen=True)
class ClusterOptions(Options):
    """Build the neighbours graph, choose the Leiden resolution by stability, and lay out a UMAP."""

    n_neighbors: int = option(15, "neighbours per cell", minimum=2)
    resolutions: tuple[float, ...] = option(
        (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.4, 2.0), "Leiden resolutions to try", minimum=0
    )
    resolution: float | None = option(None, "use this resolution whatever its stability", minimum=0)
    n_subsamples: int = option(10, "subsamples per resolution", minimum=2)
    subsample_fraction: float = option(0.8, "cells in a subsample", minimum=0.1, maximum=0.99)
    min_stability: float = option(
        0.7,
        "lowest ARI (lower end of its interval) of a resolution that is believed",
        minimum=0,
        maximum=1,
    )
    max_cells: int = option(
        20_000, "cells above which stability is measured on a subsample of this size", minimum=100
    )
    umap: bool = option(True, "compute the UMAP layout")
    umap_min_dist: float = option(0.3, "umap's min_dist", minimum=0, maximum=1)
    umap_max_cells: int = option(
        50_000,
        "cells above which UMAP lays out a subsample of this size, and the other cells lie among "
        "their neighbours of it",
        minimum=100,
    )


@dataclass(frozen=True)
class EvaluateOptions(Options):
    """Compare a model's latent with labels and batches, where the data have them."""

    batch_key: str | None = option("sample", "obs column of batches, or null")
    n_neighbors: int = option(15, "neighbours per cell", minimum=2)
    resolutions: tuple[float, ...] = option(
        (0.2, 0.4, 0.6, 0.8, 1.0, 1.4, 2.0),
        "Leiden resolutions tried for every model; the best agreement of each is compared",
        minimum=0,
    )
    max_cells: int = option(
        20_000, "cells above which all scores use a subsample of this size", minimum=100
    )


@dataclass(frozen=True)
class AnnotateOptions(Options):
    """Name cell types from marker genes, with a confidence and "unassigned" as an answer."""

    panel: str | None = option(
        None, "marker table (TSV), or a shipped one: immune (default), pancreas, brain, lung, gut"
    )
    min_confidence: float = option(
        0.5, "lowest confidence of an assigned type", minimum=0, maximum=1
    )
    labels_column: str | None = option(
        None, "obs column of the user's own types, to use instead of marker scores"
    )
    reference: str | None = option(
        None,
        "labelled cells that `reference` names the cells by, raw counts of any format of `ingest`, "
        "or a CellTypist model (.pkl); the panel is then compared",
    )
    n_markers: int = option(25, "marker genes listed per cluster", minimum=1)
    max_fdr: float = option(
        0.05, "largest adjusted p-value of a listed marker", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class SubtypeOptions(Options):
    """Look for sub-clusters that are stable and have markers of their own."""

    groupby: str = option("cell_type", "what is subdivided", choices=("cell_type", "leiden"))
    min_cells: int = option(60, "fewest cells of a group that is looked into", minimum=20)
    min_subtype_cells: int = option(20, "fewest cells of a subtype", minimum=5)
    max_subtypes: int = option(6, "most subtypes of one group", minimum=2)
    n_subsamples: int = option(20, "subsamples per candidate", minimum=2)
    min_stability: float = option(
        0.7, "lowest ARI (lower end of its interval) of a kept split", minimum=0, maximum=1
    )
    min_markers: int = option(3, "fewest markers of its own a subtype must have", minimum=1)
    min_log2_fold_change: float = option(0.5, "smallest log2 fold change of a marker", minimum=0)
    max_fdr: float = option(0.05, "largest adjusted p-value of a marker", minimum=0, maximum=1)
    max_cells: int = option(
        20_000, "largest subsample of a group in which stability is measured, cells", minimum=100
    )


@dataclass(frozen=True)
class CompressOptions(Options):
    """Measure what the latent costs and what it keeps, beside rivals at the same bytes."""

    precisions: tuple[str, ...] = option(
        ("float32", "float16", "int8"),
        "precisions at which the latent is stored and scored",
        choices=("float32", "float16", "int8"),
    )
    pca_ranks: tuple[int, ...] = option(
        (2, 5, 10, 20, 30, 50), "ranks of PCA on the rate-distortion curve", minimum=1
    )
    nmf_ranks: tuple[int, ...] = option(
        (2, 5, 10, 20), "ranks of NMF on the rate-distortion curve", minimum=1
    )
    n_latents: tuple[int, ...] = option(
        (),
        "latent dimensions of which each model is trained once more, for the rate-distortion curve",
        minimum=1,
    )
    rivals: bool = option(
        True, "fit PCA and NMF to the training cells, for the rate-distortion curve"
    )
    n_neighbors: int = option(15, "neighbours whose recall is measured", minimum=2)
    max_cells: int = option(
        10_000, "cells above which distortion is measured on a subsample of this size", minimum=100
    )


@dataclass(frozen=True)
class ReportOptions(Options):
    """Write the one-page report."""

    title: str = option("scpress report", "title of the page")
    max_cells: int = option(
        50_000, "cells above which the UMAP shows a subsample of this size", minimum=100
    )
    n_markers: int = option(5, "marker genes per cluster in the dot plot", minimum=1)


# The order is the order of the pipeline, and of `scpress --help`.
VERBS: dict[str, type[Options]] = {
    "ingest": IngestOptions,
    "qc": QcOptions,
    "merge": MergeOptions,
    "genes": GenesOptions,
    "normalize": NormalizeOptions,
    "train": TrainOptions,
    "embed": EmbedOptions,
    "denoise": DenoiseOptions,
    "recommend": RecommendOptions,
    "cluster": ClusterOptions,
    "evaluate": EvaluateOptions,
    "thin": ThinOptions,
    "baselines": BaselinesOptions,
    "choose": ChooseOptions,
    "learning_curve": LearningCurveOptions,
    "search": SearchOptions,
    "reference": ReferenceOptions,
    "annotate": AnnotateOptions,
    "subtype": SubtypeOptions,
    "cohort": CohortOptions,
    "biomarkers": BiomarkersOptions,
    "classify": ClassifyOptions,
    "survival": SurvivalOptions,
    "donor_subtypes": DonorSubtypesOptions,
    "drug_response": DrugResponseOptions,
    "perturbation": PerturbationOptions,
    "false_signals": FalseSignalsOptions,
    "programs": ProgramsOptions,
    "anomaly": AnomalyOptions,
    "transfer": TransferOptions,
    "receptors": ReceptorsOptions,
    "compress": CompressOptions,
    "pack": PackOptions,
    "assemble": AssembleOptions,
    "report": ReportOptions,
    "generate": GenerateOptions,
    "simulate": SimulateOptions,
}
