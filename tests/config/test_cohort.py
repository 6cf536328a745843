import pytest

from scpress.config import options
from scpress.config.cohort import BiomarkersOptions, CohortOptions, ComparisonOptions
from scpress.errors import InputError


def test_nothing_is_compared_before_it_is_asked_for():
    assert ComparisonOptions().condition_key is None
    assert issubclass(options.VERBS["biomarkers"], ComparisonOptions)


def test_a_donor_has_a_cell():
    with pytest.raises(InputError, match="min_cells must be at least 1; found 0"):
        CohortOptions(min_cells=0)


def test_one_donor_is_no_group():
    with pytest.raises(InputError, match="min_donors must be at least 2; found 1"):
        BiomarkersOptions(min_donors=1)
