import pytest

from scpress.errors import InputError
from scpress.tables.classification import Weight


def test_a_share_is_no_more_than_one():
    values = {
        "view": "v",
        "condition": "case",
        "feature": "g",
        "weight": -2.0,
        "share_of_folds": 1.0,
    }
    assert Weight.from_plain(values, "it").weight == -2.0
    with pytest.raises(InputError, match=r"'share_of_folds' in it is 1.1"):
        Weight.from_plain(values | {"share_of_folds": 1.1}, "it")
