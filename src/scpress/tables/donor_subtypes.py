"""Which groups donors fall into, what each was held against, and what goes with them."""

from dataclasses import dataclass

from scpress.tables.records import Agreement, NotNegative, Record, Share
from scpress.tables.survival import Curve

# Columns of a table of donors.
DONOR_SUBTYPE, CONFIDENCE = "donor_subtype", "donor_subtype_confidence"
# The subtype of every donor where none is supported.
NO_SUBTYPE = "all"
NOTHING_FOUND = "no supported donor subtypes"


@dataclass(frozen=True, kw_only=True)
class TriedNumber(Record):
    """One number of groups in one view.

    Attributes
    ----------
    sizes
        Donors of each group, most first.
    within, expected
        Share of the variance that is left within groups, and what is left in rotated donors
        (their geometric mean).
    z
        How many standard deviations of rotated donors less is left; None where a group is
        too small to be a subtype.
    p_value
        Share of sets of rotated donors in which any number of groups is as far.
    donors_stability, cells_stability
        Mean adjusted Rand index with groups of donors of whom a fifth is left out, and of
        donors whose cells were drawn anew; None where this could not be tried, or was not, as
        chance was enough.
    """

    n_groups: int
    sizes: tuple[int, ...]
    within: Share
    expected: Share
    z: float | None
    p_value: Share
    donors_stability: Agreement | None
    cells_stability: Agreement | None


@dataclass(frozen=True, kw_only=True)
class Explanation(Record):
    """Whether groups are those of something technical.

    Attributes
    ----------
    name
        A batch, molecules or cells of a donor, a covariate.
    share
        Of the variance between donors in it that lies between groups (eta squared), or Cramer's V
        squared of a column of words.
    p_value
        Of no association.
    agreement
        Adjusted Rand index of the groups and those that are found once it is taken off; 1 where
        there was no association and nothing had to be taken off.
    """

    name: str
    share: Share
    p_value: Share
    agreement: Agreement


@dataclass(frozen=True, kw_only=True)
class TriedView(Record):
    """Groups in one kind of features, kept or not.

    Attributes
    ----------
    types
        Of which types the features are: those of which every donor has enough cells (of
        frequencies the common ones); none where they are of all cells together.
    n_features, n_directions
        Features, and their principal components that donors were grouped in.
    n_beyond_permuted, permutation_p
        Components of more variance than 95 % of those of permuted features, and the share of
        permutations whose first has as much as the first.
    n_groups
        The number furthest beyond rotated donors: of those that are stable, else of all; 0 where
        no number leaves groups that are large enough.
    p_value, adjusted_p
        Of that number of groups, and the same over all views (Holm).
    donors_stability, cells_stability
        Of that number of groups.
    redrawn
        What was drawn anew: cells, or molecules where donors have one cell or none were given.
    group, x, y
        [donors] Its groups, and the first two components.
    """

    columns = (("group", "x", "y"),)

    name: str
    types: tuple[str, ...]
    n_features: int
    n_directions: int
    n_beyond_permuted: int
    permutation_p: Share
    tried: tuple[TriedNumber, ...]
    n_groups: int
    p_value: Share
    adjusted_p: Share
    donors_stability: Agreement | None
    cells_stability: Agreement | None
    redrawn: str
    explanations: tuple[Explanation, ...]
    is_supported: bool
    reason: str
    group: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Association(Record):
    """A column of donors and their subtypes, or one of their features.

    Attributes
    ----------
    of
        `donor_subtype`, or "composition: B cell", "pseudobulk: component 1".
    test
        "Kruskal-Wallis", "chi-square" (of permuted donors), "Spearman" or "Cox".
    effect
        Of no sign: epsilon squared, Cramer's V, |rho|; of Cox |log hazard ratio| per SD.
    fdr
        Benjamini and Hochberg's, over subtypes, or over features.
    """

    of: str
    column: str
    test: str
    n_donors: int
    effect: NotNegative
    p_value: Share
    fdr: Share


@dataclass(frozen=True, kw_only=True)
class SubtypeSurvival(Record):
    """Whether subtypes live equally long."""

    time_key: str
    event_key: str
    n_donors: int
    n_events: int
    log_rank_chi2: NotNegative
    log_rank_p: Share
    curves: tuple[Curve, ...]


@dataclass(frozen=True, kw_only=True)
class DonorSubtypes(Record):
    """The record of `donor_subtypes.json`.

    Attributes
    ----------
    verdict
        One sentence: how many, in which view; or `NOTHING_FOUND` and why.
    view
        Whose groups the subtypes are; '' without any.
    donor, donor_subtype, confidence
        [donors] Subtype, and the share of resamples in which a donor is of it; `NO_SUBTYPE`, and
        no confidences, where none is supported.
    """

    columns = (("donor", "donor_subtype", "confidence"),)
    made_by = "`scpress donor_subtypes`"

    donor_key: str
    n_donors: int
    verdict: str
    view: str
    donor: tuple[str, ...]
    donor_subtype: tuple[str, ...]
    confidence: tuple[Share, ...] | None
    views: tuple[TriedView, ...]
    associations: tuple[Association, ...]
    survival: SubtypeSurvival | None = None
