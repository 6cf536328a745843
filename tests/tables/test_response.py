import pytest

from scpress.errors import InputError
from scpress.tables.response import DrugScore


def test_a_correlation_is_at_most_one():
    row = {"split": "line", "model": "ridge", "view": "genes", "drug": "X", "n_lines": 9}
    row |= {"rmse": 0.5, "r": 0.5, "skill": -3.0}
    assert DrugScore.from_plain(row, "it").skill == -3
    with pytest.raises(InputError, match=r"'r' in it is 1\.5"):
        DrugScore.from_plain(row | {"r": 1.5}, "it")
