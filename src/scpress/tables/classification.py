"""How well donors' features tell a condition on donors held out."""

from dataclasses import dataclass

from scpress.tables.records import NotNegative, Record, Share


@dataclass(frozen=True, kw_only=True)
class Roc(Record):
    """How well one condition is told from the others.

    Attributes
    ----------
    auc, auc_low, auc_high
        Area under the curve of donors held out, and its 95 % interval.
    others, cases, low, high
        [points] Part of the others, and of the cases, above a threshold; 95 % of what the latter
        may be at each point.
    """

    columns = (("others", "cases", "low", "high"),)

    condition: str
    auc: Share
    auc_low: Share
    auc_high: Share
    others: tuple[Share, ...]
    cases: tuple[Share, ...]
    low: tuple[Share, ...]
    high: tuple[Share, ...]


@dataclass(frozen=True, kw_only=True)
class Calibration(Record):
    """Donors in groups of like probability, from the least probable on.

    Attributes
    ----------
    predicted, observed, low, high
        [groups] Mean probability of the second condition and the share that has it, with its 95 %
        interval. Of more than two conditions: of the most probable one of each donor.
    n
        [groups] Donors.
    """

    columns = (("predicted", "observed", "low", "high", "n"),)

    predicted: tuple[Share, ...]
    observed: tuple[Share, ...]
    low: tuple[Share, ...]
    high: tuple[Share, ...]
    n: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class View(Record):
    """One kind of features, or covariates alone.

    Attributes
    ----------
    auc, auc_low, auc_high
        Area under the curve of predictions of donors held out, and its 95 % interval; the mean
        over the curves of more than two conditions.
    p_value
        Share of permutations of the labels whose area is as large.
    permuted_auc
        Their mean.
    accuracy, balanced_accuracy
        Share of donors whose most probable condition is theirs; and its mean over conditions if
        all were as frequent. Each with its 95 % interval.
    brier, base_brier
        Half the squared error of the probabilities, which is that of the second of two conditions;
        and that of the frequency of the conditions alone.
    probability
        [units, levels] By models that had not seen the donor.
    curves
        Of each condition against the others; of two, that of the second.
    """

    name: str
    n_features: int
    auc: Share
    auc_low: Share
    auc_high: Share
    p_value: Share
    permuted_auc: Share
    accuracy: Share
    accuracy_low: Share
    accuracy_high: Share
    balanced_accuracy: Share
    balanced_accuracy_low: Share
    balanced_accuracy_high: Share
    brier: NotNegative
    base_brier: NotNegative
    probability: tuple[tuple[Share, ...], ...]
    curves: tuple[Roc, ...]
    calibration: Calibration


@dataclass(frozen=True, kw_only=True)
class Classification(Record):
    """The record of `classification.json`.

    Attributes
    ----------
    unit, condition
        [units] Name, and number of its condition among the levels.
    """

    made_by = "`scpress classify`"
    columns = (("unit", "condition"),)

    condition_key: str
    levels: tuple[str, ...]
    held_out: str
    n_folds: int
    n_permutations: int
    majority_accuracy: Share
    unit: tuple[str, ...]
    condition: tuple[int, ...]
    views: tuple[View, ...]


@dataclass(frozen=True, kw_only=True)
class Weight(Record):
    """A row of `classification.tsv`: a feature and its mean weight over all folds.

    Attributes
    ----------
    condition
        The one that the weight speaks for.
    share_of_folds
        In which it was chosen and has the sign of the mean.
    """

    made_by = "`scpress classify`"

    view: str
    condition: str
    feature: str
    weight: float
    share_of_folds: Share
