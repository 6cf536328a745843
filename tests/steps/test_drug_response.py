import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress.config.cohort import CohortOptions
from scpress.config.response import DrugResponseOptions
from scpress.errors import InputError
from scpress.steps.cohort import cohort
from scpress.steps.drug_response import drug_response

WORDS = {"n_repeats": 2, "n_folds": 2, "n_permutations": 2, "min_lines": 10}
QUICK = {"learners": ("ridge",), "views": ("components",), "n_components": 2}
OPTIONS = DrugResponseOptions(**WORDS, **QUICK)
NAMES = [f"l{one:02d}" for one in range(40)]


@pytest.fixture(scope="module")
def lines():
    """40 lines of two factors, which the responses to four drugs follow."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(40, 2))
    X = factors @ rng.normal(size=(2, 15)) + rng.normal(0, 0.3, (40, 15))
    responses = 5 + np.arange(4) + factors @ np.array([[1, 1, 1, 0.5], [1, 0.5, -0.5, 0]])
    table = pd.DataFrame(responses + rng.normal(0, 0.2, (40, 4)), NAMES, ["A", "B", "C", "D"])
    table.iloc[3, 1] = np.nan
    return ad.AnnData(X, obs=pd.DataFrame({"tissue": ["x", "y"] * 20}, index=NAMES)), table


@pytest.fixture(scope="module")
def found(lines):
    return drug_response(*lines, OPTIONS)


def of(record, split, model, view="components"):
    return next(
        one for one in record.models if (one.split, one.model, one.view) == (split, model, view)
    )


def test_planted_responses_are_told_of_lines_held_out(found):
    table, record = found
    assert (record.n_lines, record.n_drugs, record.n_pairs) == (40, 4, 159)
    assert not record.is_counts
    ridge = of(record, "line", "ridge")
    assert ridge.r > 0.8
    assert ridge.skill_low > 0.3
    assert ridge.r_low < ridge.r < ridge.r_high
    assert ridge.p_value == pytest.approx(1 / 3)
    assert abs(ridge.permuted_r) < 0.5
    rival = of(record, "line", "drug_mean", "")
    assert (rival.r, rival.skill) == (0, 0)
    # The differences between drugs alone look well in all pairs together.
    assert rival.pooled_r > 0.4
    rows = table[(table["split"] == "line") & (table["model"] == "ridge")]
    assert rows["drug"].tolist() == ["A", "B", "C", "D"]
    assert rows["n_lines"].tolist() == [40, 39, 40, 40]
    assert ridge.r == pytest.approx(rows["r"].median())
    assert ridge.skill == pytest.approx(np.mean(ridge.skill_of_repeats), abs=0.02)


def test_a_drug_held_out_is_told_by_the_mean_of_the_line(found):
    record = found[1]
    assert of(record, "drug", "line_mean", "").r > 0.5
    assert of(record, "drug", "overall_mean", "").r == 0
    assert of(record, "both", "ridge").r > 0.3


def test_the_same_seed_is_the_same_record(lines, found):
    assert drug_response(*lines, OPTIONS)[1] == found[1]


def test_columns_of_obs_and_the_table_are_the_same(lines, found):
    expression, table = lines
    made = expression.copy()
    for name in table:
        made.obs[f"IC50|{name}"] = table[name]
    options = DrugResponseOptions(**{**vars(OPTIONS), "obs_prefix": "IC50|"})
    assert drug_response(made, None, options)[1] == found[1]
    made.obs["IC50|A"] = made.obs["IC50|A"].astype(object)
    made.obs.iloc[4, made.obs.columns.get_loc("IC50|A")] = "resistant"
    with pytest.raises(InputError, match="obs\\['IC50\\|A'\\] must be numbers; found 'resistant'"):
        drug_response(made, None, options)
    with pytest.raises(InputError, match="no column of obs begins with 'AUC'; there is tissue"):
        drug_response(made, None, DrugResponseOptions(obs_prefix="AUC"))
    with pytest.raises(InputError, match="there are no responses: name a table"):
        drug_response(made)


def test_a_logarithm_is_taken_where_it_is_asked_for(lines, found):
    expression, table = lines
    options = DrugResponseOptions(**{**vars(OPTIONS), "scale": "log"})
    record = drug_response(expression, np.exp(table), options)[1]
    assert of(record, "line", "ridge").r == pytest.approx(of(found[1], "line", "ridge").r)
    bad = table.copy()
    bad.iloc[7, 2] = 0.0
    with pytest.raises(InputError, match="above 0 where scale is log; found 0 of line 'l07' to"):
        drug_response(expression, bad, options)
    bad.iloc[7, 2] = np.inf
    with pytest.raises(InputError, match="finite numbers; found inf of line 'l07' to drug 'C'"):
        drug_response(expression, bad, OPTIONS)


def test_what_does_not_match_is_left_out_and_counted(lines):
    expression, table = lines
    more = table.copy()
    more["rare"] = np.where(np.arange(40) < 9, more["A"], np.nan)
    more["one"] = 1.0
    more.loc["elsewhere"] = 2.0
    more = more.drop(index="l39")
    options = DrugResponseOptions(**{**vars(OPTIONS), "splits": ("line",)})
    record = drug_response(expression, more, options)[1]
    assert record.left_out == ("rare (lines: 9)", "one (one value)")
    assert (record.n_without_expression, record.n_without_response) == (1, 1)
    assert record.n_lines == 39


@pytest.mark.parametrize(
    ("change", "options", "line"),
    [
        (lambda t: t.rename(index=str.upper), {}, "no line of the responses has expression: they"),
        (lambda t: t.iloc[:1], {}, "with expression and responses: 1; n_folds 2 needs 6"),
        (lambda t: t[["A"]], {}, "told from 3 others on; drugs with responses: 1. Give more"),
        (lambda t: t, {"min_lines": 41}, "no drug has unlike responses of 41 lines or more"),
        (lambda t: pd.concat([t, t.iloc[:1]]), {}, "line 'l00' is twice in the responses"),
        (lambda t: t[["A", "A"]], {}, "drug 'A' is twice in the responses"),
        (lambda t: t, {"group_key": "tissue"}, "and responses: 2; n_folds 2 needs 6"),
        (lambda t: t, {"group_key": "site"}, "group_key names 'site', and the donors have tissue"),
    ],
)
def test_what_cannot_be_is_one_line(lines, change, options, line):
    expression, table = lines
    with pytest.raises(InputError, match=line) as caught:
        drug_response(
            expression, change(table), DrugResponseOptions(**{**vars(OPTIONS), **options})
        )
    assert "\n" not in str(caught.value)


def test_expression_that_is_no_number_is_one_line(lines):
    expression, table = lines
    made = expression.copy()
    made.X[2, 2] = np.nan
    with pytest.raises(InputError, match="expression must be finite; found nan"):
        drug_response(made, table, OPTIONS)


def test_every_drug_needs_its_features(lines):
    expression, table = lines
    features = pd.DataFrame({"f": [1.0, 2, 3]}, index=["A", "B", "C"])
    with pytest.raises(InputError, match="drug 'D' has no row in drug_features"):
        drug_response(expression, table, OPTIONS, drug_features=features)


def test_counts_are_read_as_logs_of_shares(lines):
    """Depth is no difference between lines; a cohort is one of counts."""
    _, table = lines
    rng = np.random.default_rng(1)
    mean = np.exp(np.column_stack([table.fillna(6)] * 4)) / 3
    counts = rng.poisson(mean * rng.uniform(0.5, 2, (40, 1)))
    options = DrugResponseOptions(**{**vars(OPTIONS), "splits": ("line",)})
    of_lines = ad.AnnData(sparse.csr_matrix(counts), obs=pd.DataFrame(index=NAMES))
    record = drug_response(of_lines, table, options)[1]
    assert record.is_counts
    assert of(record, "line", "ridge").r > 0.5
    cells = of_lines.copy()
    cells.obs["donor"] = NAMES
    donors = cohort(cells, options=CohortOptions(type_key=None, min_cells=1, min_type_cells=1))
    again = drug_response(donors, table, options)[1]
    assert of(again, "line", "ridge").r == pytest.approx(of(record, "line", "ridge").r)
