import pytest

from scpress.config.genes import FLAVORS, GenesOptions
from scpress.config.options import NormalizeOptions
from scpress.errors import InputError


@pytest.mark.parametrize("flavor", FLAVORS)
def test_every_ranking_that_is_compared_is_one_of_normalize(flavor):
    assert NormalizeOptions(flavor=flavor).flavor == flavor


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("numbers", (), "numbers is empty"),
        ("numbers", (1,), "numbers must be at least 2; found 1"),
        ("max_cells", 50, "max_cells must be at least 100"),
        ("fraction", 0.6, "fraction must be at most 0.5"),
    ],
)
def test_what_cannot_be_compared_is_refused(name, value, message):
    with pytest.raises(InputError, match=message):
        GenesOptions(**{name: value})
