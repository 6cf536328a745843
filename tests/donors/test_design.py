import numpy as np
import pandas as pd
import pytest

from scpress.config.cohort import ComparisonOptions
from scpress.donors.design import compare
from scpress.errors import InputError
from scpress.tables.cohort import CohortRecord

RECORD = CohortRecord(donor_key="donor", split_by="", types=("T",), min_type_cells=1, model="")


def donors(n=8, **columns):
    made = pd.DataFrame(index=[f"d{one}" for one in range(n)])
    made["donor"] = made.index
    made["condition"] = ["case", "control"] * (n // 2)
    return made.assign(**columns)


def compared(obs, record=RECORD, **options):
    return compare(obs, record, ComparisonOptions(condition_key="condition", **options))


def test_conditions_are_in_the_order_of_their_names_or_in_the_given_one():
    found = compared(donors())
    assert found.levels == ("case", "control")
    assert found.is_case.tolist() == [False, True] * 4
    other = compared(donors(), levels=("control", "case"))
    assert other.is_case.tolist() == [True, False] * 4


def test_of_several_conditions_two_are_compared():
    obs = donors(12, condition=["a", "b", "c"] * 4)
    with pytest.raises(InputError, match="has 3 values, a, b, c; name the two"):
        compared(obs)
    found = compared(obs, levels=("c", "a"))
    assert found.rows.tolist() == [0, 2, 3, 5, 6, 8, 9, 11]
    assert found.is_case.tolist() == [True, False] * 4


def test_where_several_are_told_apart_all_are_or_those_that_are_named():
    obs = donors(12, condition=["a", "b", "c"] * 4, batch=["x", "x", "y"] * 4)
    options = ComparisonOptions(condition_key="condition", batch_key=None)
    found = compare(obs, RECORD, options, several=True)
    assert found.levels == ("a", "b", "c")
    assert found.condition.tolist() == [0, 1, 2] * 4
    with pytest.raises(InputError, match="coincides with batch 'batch'"):
        compare(obs, RECORD, ComparisonOptions(condition_key="condition"), several=True)
    few = obs.assign(condition=["a", "b"] * 5 + ["c", "c"])
    with pytest.raises(InputError, match="is 'c' for 2 donors"):
        compare(few, RECORD, options, several=True)
    one = ComparisonOptions(condition_key="condition", levels=("a",))
    with pytest.raises(InputError, match="levels are two conditions or more; found"):
        compare(obs, RECORD, one, several=True)


def test_batch_is_held_constant_as_names_and_numbers_as_numbers():
    obs = donors(batch=[1, 1, 2, 2, 3, 3, 3, 3], age=np.arange(8.0))
    found = compared(obs, covariates=("age",)).nuisance
    assert list(found) == ["batch=2", "batch=3", "age"]
    assert found["batch=2"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert found["age"].mean() == pytest.approx(0)
    assert found["age"].std() == pytest.approx(1)
    assert "batch=2" not in compared(obs, batch_key=None).nuisance


def test_a_condition_that_is_a_batch_stops_the_comparison():
    for batch in (["b1", "b2"] * 4, ["b1", "b2", "b3", "b4"] * 2):
        with pytest.raises(InputError, match="'condition' coincides with batch 'batch'"):
            compared(donors(batch=batch))
    compared(donors(batch=["b1", "b2"] * 3 + ["b1", "b1"]))


def test_a_condition_that_two_columns_make_together_is_told_of_both():
    # 1 for case = (x + y) mod 2 would be no sum; this one is x - y.
    obs = donors(x=[1.0, 0, 2, 1, 3, 2, 5, 4], y=[0.0, 0, 1, 1, 2, 2, 4, 4])
    compared(obs, covariates=("x",))
    with pytest.raises(InputError, match="what is held constant, 'x and y'"):
        compared(obs, covariates=("x", "y"))


def test_more_is_held_constant_than_donors_can_tell():
    rng = np.random.default_rng(0)
    columns = {f"c{one}": rng.normal(size=8) for one in range(5)}
    with pytest.raises(InputError, match="8 donors are too few to hold"):
        compared(donors(**columns), covariates=tuple(columns))
    columns.popitem()
    compared(donors(**columns), covariates=tuple(columns))


@pytest.mark.parametrize(
    ("columns", "options", "line"),
    [
        ({"condition": "case"}, {}, "all donors have one value of 'condition', case"),
        ({"condition": ["a"] * 2 + ["b"] * 6}, {}, "is 'a' for 2 donors, and a comparison"),
        ({"condition": ["a"] * 4 + [None] + ["b"] * 3}, {}, "missing for 1 of 8 donors, 'd4'"),
        ({"sex": ["f"] * 7 + [""]}, {"covariates": ("sex",)}, "'sex' is missing for 1 of 8"),
        ({}, {"covariates": ("age",)}, "covariates names 'age', and the donors have donor"),
        ({}, {"levels": ("case", "none")}, "no donor has 'none' in 'condition'"),
        ({}, {"levels": ("case",)}, r"levels are two conditions; found \['case'\]"),
    ],
)
def test_what_cannot_be_compared_is_one_line(columns, options, line):
    with pytest.raises(InputError, match=line):
        compared(donors(**columns), **options)


def test_nothing_named_is_nothing_compared():
    with pytest.raises(InputError, match="nothing is compared"):
        compare(donors(), RECORD, ComparisonOptions())


def test_a_donor_in_two_conditions_is_told():
    record = CohortRecord(
        **vars(RECORD) | {"varying": ("condition",), "varying_example": ("d1 has 'a' and 'b'",)}
    )
    with pytest.raises(InputError, match="no property of a donor: d1 has 'a' and 'b'"):
        compared(donors().drop(columns="condition"), record)


def test_donors_without_a_condition_can_be_dropped():
    obs = donors(10, condition=["a", "b"] * 4 + [None, None])
    assert compared(obs, missing="drop").rows.tolist() == list(range(8))


def test_donors_and_not_their_units_are_counted():
    obs = donors(donor=["x", "y", "x", "y", "x", "y", "x", "y"])
    with pytest.raises(InputError, match="is 'case' for 1 donor, and"):
        compared(obs)
    assert compared(donors(12, donor=["x", "a", "y", "b", "z", "c"] * 2)).count_donors() == (3, 3)


def test_among_some_donors_only_what_differs_is_held_constant():
    obs = donors(12, batch=["b1"] * 6 + ["b2"] * 6)
    found = compared(obs)
    part = found.restrict(np.arange(6))
    assert list(part.nuisance) == []
    assert part.is_told_apart()
    assert list(found.restrict(np.arange(4, 10)).nuisance) == ["batch=b2"]
    # Of each batch one condition.
    assert not found.restrict(np.array([0, 2, 4, 7, 9, 11])).is_told_apart()
