import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scpress import settings
from scpress.donors.sums import describe_units, draw_cells, mean_rows, sum_counts, sum_drawn
from scpress.errors import InputError


def test_sums_over_many_blocks_are_those_of_a_loop(monkeypatch):
    monkeypatch.setattr(settings, "chunk_bytes", 200)
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.7, (50, 9))
    group = rng.integers(-1, 4, 50)
    found = sum_counts(sparse.csr_matrix(counts), group, 4)
    assert found.dtype == np.int64
    expected = [counts[group == one].sum(axis=0) for one in range(4)]
    np.testing.assert_array_equal(found.toarray(), expected)


def test_a_sum_does_not_overflow_the_type_of_the_counts():
    for dtype in (np.int32, np.float32):
        counts = sparse.csr_matrix(np.full((3, 1), 2**30, dtype=dtype))
        found = sum_counts(counts, np.zeros(3, dtype=int), 1)
        assert found.dtype == np.int64
        assert found[0, 0] == 3 * 2**30


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan, np.inf])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(InputError, match="whole numbers of 0 and more; found"):
        sum_counts(sparse.csr_matrix([[1.0, value]]), np.zeros(1, dtype=int), 1)


def test_means_are_of_the_rows_of_a_group_and_nan_of_none():
    values = np.array([[1.0, 2.0], [3.0, 4.0], [50.0, 60.0]], dtype=np.float32)
    found = mean_rows(values, np.array([1, 1, -1]), 3)
    np.testing.assert_array_equal(found, [[np.nan] * 2, [2.0, 3.0], [np.nan] * 2])


def test_a_row_counts_as_often_as_it_is_drawn():
    values = np.array([[1.0], [4.0], [50.0]])
    found = mean_rows(values, np.array([0, 0, 1]), 2, np.array([3, 1, 0]))
    np.testing.assert_array_equal(found, [[7 / 4], [np.nan]])


def test_as_many_cells_are_drawn_as_a_unit_has():
    unit = np.array([0, 1, 0, -1, 1, 0, 0])
    drawn = draw_cells(unit, 5, np.random.default_rng(0))
    assert (drawn[:, unit == 0].sum(axis=1) == 4).all()
    assert (drawn[:, unit == 1].sum(axis=1) == 2).all()
    assert (drawn[:, 3] == 0).all()
    assert len({tuple(row) for row in drawn}) > 1


def test_sums_of_drawn_cells_over_many_blocks_are_those_of_a_loop(monkeypatch):
    monkeypatch.setattr(settings, "chunk_bytes", 200)
    rng = np.random.default_rng(0)
    counts, group = rng.poisson(0.7, (50, 9)), rng.integers(-1, 4, 50)
    drawn, genes = rng.integers(0, 3, (3, 50)), np.array([7, 2])
    found, total = sum_drawn(sparse.csr_matrix(counts), group, 4, genes, drawn)
    for draw in range(3):
        for one in range(4):
            sums = (counts * drawn[draw][:, None])[group == one].sum(axis=0)
            assert found[draw, one].tolist() == sums[genes].tolist()
            assert total[draw, one] == sums.sum()


def test_a_column_is_of_a_unit_where_it_has_one_value_in_it():
    obs = pd.DataFrame(
        {
            "sex": pd.Categorical(["f", "m", "f"]),
            "age": [30.0, np.nan, 30.0],
            "time": ["a", "a", "b"],
        }
    )
    unit = np.array([1, 0, 1])
    table, varying = describe_units(obs, unit, np.array(["d0", "d1"]))
    assert table.index.tolist() == ["d0", "d1"]
    assert table["sex"].tolist() == ["m", "f"]
    assert np.isnan(table["age"].iloc[0])
    assert table["age"].iloc[1] == 30
    assert varying == {"time": "d1 has 'a' and 'b'"}
