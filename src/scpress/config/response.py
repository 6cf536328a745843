"""The knobs of responses: of lines to drugs, and of donors' cells to a treatment."""

from dataclasses import dataclass

from scpress.config.fields import MAX_SEED, Options, option

SPLITS = ("line", "drug", "both")
VIEWS = ("genes", "components")
LEARNERS = ("ridge", "elastic_net", "shared_latent")


@dataclass(frozen=True)
class DrugResponseOptions(Options):
    """Predict responses to drugs from expression, for lines, drugs or both held out."""

    responses: str | None = option(
        None, "table of responses, TSV or CSV, long or wide, or null: columns of obs_prefix"
    )
    obs_prefix: str | None = option(
        None, "what the name of an obs column with responses begins with; the drug follows"
    )
    line_key: str = option("line", "column of the table with lines or donors")
    drug_key: str = option("drug", "column of a long table, and of drug_features, with drugs")
    response_key: str = option("response", "column of a long table with responses")
    scale: str = option(
        "as_is",
        "as_is: AUC or log IC50; log: its natural logarithm, of an IC50 in molar units",
        choices=("as_is", "log"),
    )
    missing: str = option(
        "refuse", "rows of a long table without a response", choices=("refuse", "drop")
    )
    drug_features: str | None = option(
        None,
        "table with a row of numbers for each drug, from which an unseen one is known, or null",
    )
    min_lines: int = option(20, "fewest lines with a response of a drug that is kept", minimum=10)
    splits: tuple[str, ...] = option(
        SPLITS, "what is held out: lines, drugs or both", choices=SPLITS
    )
    views: tuple[str, ...] = option(
        VIEWS,
        "features: expression of genes, or its principal components",
        choices=VIEWS,
        instead="a latent that all lines trained has seen those under test; take components, "
        "which are fitted again without them in every fold.",
    )
    learners: tuple[str, ...] = option(
        LEARNERS,
        "regressions: one for each drug (ridge, elastic_net), or of all drugs through few "
        "directions that they share (shared_latent)",
        choices=LEARNERS,
    )
    group_key: str | None = option(
        None, "obs column, such as the tissue, whose groups are held out as a whole, or null"
    )
    n_folds: int = option(5, "folds of lines and of drugs, fewer of few drugs", minimum=2)
    n_repeats: int = option(3, "divisions into folds, over which results are averaged", minimum=1)
    n_features: int = option(1000, "genes of a training fold, most variable first", minimum=1)
    n_components: int = option(50, "principal components", minimum=1)
    n_permutations: int = option(10, "permutations of the responses", minimum=1)
    seed: int = option(0, "seed of folds and permutations", minimum=0, maximum=MAX_SEED)


@dataclass(frozen=True)
class PerturbationOptions(Options):
    """Compare how donors' cells respond to a treatment, and predict it for donors held out."""

    condition_key: str | None = option(
        None, "column that divides donors into control and treated; null: nothing is compared"
    )
    levels: tuple[str, ...] = option(
        (), "control and treated; in the order of their names when not given"
    )
    batch_key: str | None = option(
        "batch", "column that may not differ between control and treated of a donor, or null"
    )
    n_features: int = option(500, "genes, most variable first", minimum=2)
    n_components: int = option(10, "principal components", minimum=1)
    n_permutations: int = option(
        1000, "most exchanges of control and treated; of few donors, all there are", minimum=20
    )
    seed: int = option(0, "seed of exchanges and intervals", minimum=0, maximum=MAX_SEED)
