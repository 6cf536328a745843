"""How well responses are predicted for lines, drugs and donors that were held out."""

from dataclasses import dataclass

from scpress.tables.records import Agreement, NotNegative, Record, Share
from scpress.tables.results import Result

# Columns of the obs of perturbation.h5ad.
DONOR, CELL_TYPE = "donor", "cell_type"


@dataclass(frozen=True, kw_only=True)
class DrugModel(Record):
    """One way of predicting, in one split.

    Attributes
    ----------
    view
        Features of the lines; '' where none are read.
    r, r_low, r_high
        Correlation over the lines of a fold, the median of the drugs, and its 95 % interval.
    pooled_r
        Of all pairs together, in which the differences between drugs count, too.
    skill, skill_low, skill_high
        Share of the squared error of the split's rival that is saved.
    skill_of_repeats
        The same in each division into folds.
    permuted_r
        Mean r where responses are permuted.
    """

    split: str
    model: str
    view: str
    rmse: NotNegative
    r: Agreement
    r_low: Agreement
    r_high: Agreement
    pooled_r: Agreement
    skill: float
    skill_low: float
    skill_high: float
    skill_of_repeats: tuple[float, ...]
    permuted_r: Agreement
    p_value: Share


@dataclass(frozen=True, kw_only=True)
class DrugResponse(Record):
    """The record of `drug_response.json`.

    Attributes
    ----------
    n_without_expression, n_without_response
        Lines of the table, and rows of the expression, that the other side does not have.
    left_out
        Drugs with too few lines, or one value: "drug (12 lines)".
    """

    made_by = "`scpress drug_response`"

    scale: str
    is_counts: bool
    has_drug_features: bool
    n_lines: int
    n_drugs: int
    n_pairs: int
    n_without_expression: int
    n_without_response: int
    left_out: tuple[str, ...]
    n_line_folds: int
    n_drug_folds: int
    n_permutations: int
    models: tuple[DrugModel, ...]


@dataclass(frozen=True, kw_only=True)
class DrugScore(Record):
    """A row of `drug_response.tsv`: one drug in one split by one model."""

    made_by = "`scpress drug_response`"

    split: str
    model: str
    view: str
    drug: str
    n_lines: int
    rmse: NotNegative
    r: Agreement
    skill: float


@dataclass(frozen=True, kw_only=True)
class ResponseAgreement(Record):
    """Whether donors respond alike in one type.

    Attributes
    ----------
    cosine, cosine_low, cosine_high
        Mean over pairs of donors, and its 95 % interval; -1 to 1 for two donors.
    other_types
        Mean cosine with other donors' responses of other types.
    p_value, least_p, fdr
        Share of exchanges of control and treated with as large a mean, the least that it can be
        with so many donors, and adjusted over the types of a view.
    """

    cell_type: str
    view: str
    n_donors: int
    size: NotNegative
    cosine: Agreement
    cosine_low: Agreement
    cosine_high: Agreement
    other_types: Agreement
    permuted_cosine: Agreement
    p_value: Share
    least_p: Share
    fdr: Share


@dataclass(frozen=True, kw_only=True)
class ResponsePrediction(Record):
    """How well the response of donors held out is predicted in one type, in gene space.

    Attributes
    ----------
    explained, explained_low, explained_high
        Share of the squared response that is predicted; that of no response is 0.
    cosine
        Of the predicted and the true response, the mean of the donors.
    permuted_explained
        Mean where control and treated of donors are exchanged. Of models that read the donor's
        control it is not 0: that then says which of both it is.
    """

    cell_type: str
    model: str
    view: str
    n_donors: int
    explained: float
    explained_low: float
    explained_high: float
    cosine: Agreement
    permuted_explained: float


@dataclass(frozen=True, kw_only=True)
class Treatment(Record):
    """What control and treated cells of donors are, as `perturbation.h5ad` says it.

    Attributes
    ----------
    left_out
        Donors and types that are not compared, and why.
    latent_model
        Whose mean latents are compared, too; '' without any.
    """

    made_by = "`scpress perturbation`"

    condition_key: str
    levels: tuple[str, ...]
    donors: tuple[str, ...]
    left_out: tuple[str, ...]
    latent_model: str


@dataclass(frozen=True, kw_only=True)
class Perturbation(Treatment):
    """The record of `perturbation.json`."""

    agreement: tuple[ResponseAgreement, ...]
    prediction: tuple[ResponsePrediction, ...]


@dataclass(frozen=True, kw_only=True)
class Responses(Record):
    """The record of `perturbation.h5ad`."""

    made_by = "`scpress perturbation`"

    perturbation: Treatment


RESPONSES = Result(Responses)
