"""The knobs of donors as units: how they are summed up, compared and told apart."""

from dataclasses import dataclass

from scpress.config.fields import MAX_SEED, Options, option


@dataclass(frozen=True)
class CohortOptions(Options):
    """Sum up the cells of every donor: composition, counts and mean latent by type."""

    donor_key: str = option("donor", "obs column of donors")
    split_by: str | None = option(
        None, "obs column that divides a donor into units, such as treated and control, or null"
    )
    type_key: str | None = option(
        "cell_type", "obs column of types, of the annotation or the counts; null: all are one type"
    )
    min_cells: int = option(50, "fewest cells of a donor that is kept", minimum=1)
    min_type_cells: int = option(
        10, "fewest cells of a donor's type whose counts and latent are used", minimum=1
    )


@dataclass(frozen=True)
class ComparisonOptions(Options):
    """Which donors are compared, and what is held constant."""

    condition_key: str | None = option(
        None, "column of donors with the two conditions that are compared; null: nothing is"
    )
    levels: tuple[str, ...] = option(
        (), "the two conditions, the reference first; in the order of their names when not given"
    )
    batch_key: str | None = option(
        "batch", "column of donors with their batch, held constant where there is one, or null"
    )
    covariates: tuple[str, ...] = option((), "other columns of donors that are held constant")
    missing: str = option(
        "refuse", "donors without a condition or covariate", choices=("refuse", "drop")
    )


@dataclass(frozen=True)
class BiomarkersOptions(ComparisonOptions):
    """Find the genes of each type that differ between two conditions, donors as replicates."""

    min_donors: int = option(
        3, "fewest donors of each condition that have a type which is tested", minimum=2
    )
    min_count: int = option(10, "fewest molecules of a gene, all donors together", minimum=1)
    max_fdr: float = option(0.05, "largest adjusted p-value of a biomarker", minimum=0, maximum=1)
    n_resamples: int = option(
        5, "samples of the donors, a fifth left out, in which biomarkers are found again", minimum=1
    )
    seed: int = option(0, "seed of these samples", minimum=0, maximum=MAX_SEED)


VIEWS = ("composition", "pseudobulk", "components")


@dataclass(frozen=True)
class ClassifyOptions(ComparisonOptions):
    """Tell whether donors' features predict a condition, on donors held out."""

    views: tuple[str, ...] = option(
        VIEWS,
        "features: frequencies of types, counts by type and gene, or their principal components",
        choices=VIEWS,
        instead="a latent that all donors trained has seen those under test; take components, "
        "which are fitted again without them in every fold.",
    )
    group_key: str | None = option(
        None, "column of donors, such as the site, whose groups are held out as a whole, or null"
    )
    n_folds: int = option(5, "folds of the donors, fewer where a condition has fewer", minimum=2)
    n_repeats: int = option(5, "divisions into folds, over which results are averaged", minimum=1)
    n_features: int = option(500, "features of a training fold, most variable first", minimum=1)
    n_components: int = option(10, "principal components", minimum=1)
    n_permutations: int = option(100, "permutations of the labels", minimum=20)
    seed: int = option(0, "seed of folds and permutations", minimum=0, maximum=MAX_SEED)


@dataclass(frozen=True)
class SurvivalOptions(Options):
    """Tell whether counts of donors predict who lives longer, on donors held out."""

    time_key: str | None = option(
        None, "column of donors with the time to the event or to the end; null: nothing is told"
    )
    event_key: str | None = option(None, "column of donors: 1 where the event was seen, else 0")
    missing: str = option("refuse", "donors without time or event", choices=("refuse", "drop"))
    n_folds: int = option(5, "folds of the donors", minimum=2)
    n_repeats: int = option(3, "divisions into folds, over which results are averaged", minimum=1)
    n_features: int = option(500, "features of a training fold, most variable first", minimum=1)
    n_components: int = option(15, "most principal components, one for five events", minimum=1)
    n_permutations: int = option(20, "permutations of the times", minimum=1)
    seed: int = option(0, "seed of folds and permutations", minimum=0, maximum=MAX_SEED)


GROUPINGS = ("composition", "pseudobulk", "latent")


@dataclass(frozen=True)
class DonorSubtypesOptions(Options):
    """Find groups of donors, and what goes with them; none that chance, batch or depth explains."""

    max_subtypes: int = option(0, "most subtypes that are tried; 0: none are looked for", minimum=0)
    views: tuple[str, ...] = option(
        GROUPINGS,
        "features: frequencies of types, counts by type and gene, or mean latents",
        choices=GROUPINGS,
    )
    batch_key: str | None = option(
        "batch", "column of donors with their batch, taken off where there is one, or null"
    )
    covariates: tuple[str, ...] = option((), "other columns of donors that are taken off")
    type_key: str = option("cell_type", "obs column of the cohort's types, where cells are given")
    min_donors: int = option(3, "fewest donors of a subtype", minimum=2)
    n_features: int = option(500, "features, most variable first", minimum=1)
    n_components: int = option(10, "most principal components", minimum=1)
    n_rotations: int = option(199, "sets of rotated donors, who are of one group", minimum=99)
    n_permutations: int = option(199, "permutations of the features", minimum=19)
    n_resamples: int = option(
        20, "sets of donors, a fifth left out, and as many of cells drawn anew", minimum=2
    )
    max_p: float = option(0.05, "largest p-value of subtypes over all views", minimum=0, maximum=1)
    min_stability: float = option(
        0.6, "least adjusted Rand index with subtypes of resamples", minimum=0, maximum=1
    )
    time_key: str | None = option(
        None, "column of donors with the time to an event or to the end, or null"
    )
    event_key: str | None = option(None, "column of donors: 1 where the event was seen, else 0")
    seed: int = option(0, "seed of all that is drawn", minimum=0, maximum=MAX_SEED)
