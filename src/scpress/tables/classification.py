"""How well donors' features tell a condition on donors held out."""

from dataclasses import dataclass

from scpress.tables.records import NotNegative, Record, Share


@dataclass(frozen=True, kw_only=True)
class View(Record):
    """One kind of features, or covariates alone.

    Attributes
    ----------
    auc, auc_low, auc_high
        Area under the curve of predictions of donors held out, and its 95 % interval.
    p_value
        Share of permutations of the labels whose area is as large.
    permuted_auc
        Their mean.
    accuracy
        Share of donors whose more probable condition is theirs.
    brier, base_brier
        Mean squared error of the probability, and that of the frequency of the conditions alone.
    probability
        [units] Of the second condition, by models that had not seen the donor.
    """

    name: str
    n_features: int
    auc: Share
    auc_low: Share
    auc_high: Share
    p_value: Share
    permuted_auc: Share
    accuracy: Share
    brier: NotNegative
    base_brier: NotNegative
    probability: tuple[Share, ...]


@dataclass(frozen=True, kw_only=True)
class Classification(Record):
    """The record of `classification.json`."""

    made_by = "`scpress classify`"

    condition_key: str
    levels: tuple[str, ...]
    held_out: str
    n_folds: int
    n_permutations: int
    majority_accuracy: Share
    unit: tuple[str, ...]
    is_case: tuple[bool, ...]
    views: tuple[View, ...]


@dataclass(frozen=True, kw_only=True)
class Weight(Record):
    """A row of `classification.tsv`: a feature and its mean weight over all folds.

    Attributes
    ----------
    share_of_folds
        In which it was chosen and has the sign of the mean.
    """

    made_by = "`scpress classify`"

    view: str
    feature: str
    weight: float
    share_of_folds: Share
