import pytest

from scpress.errors import InputError
from scpress.tables.survival import Curve


def test_a_curve_has_a_share_for_each_time():
    values = {"name": "half", "n_donors": 3, "n_events": 1, "time": [2.0], "alive": [0.5]}
    values |= {"n_at_risk": [2], "low": [0.1], "high": [0.9], "censored": [1.0, 4.0]}
    assert Curve.from_plain(values, "it").alive == (0.5,)
    with pytest.raises(InputError, match="columns of unlike lengths"):
        Curve.from_plain(values | {"alive": []}, "it")
