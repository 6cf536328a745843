import pytest

from scpress.config import options
from scpress.config.simulation import EFFECTS, SimulateOptions
from scpress.errors import InputError


def test_the_verb_has_these_options():
    assert options.VERBS["simulate"] is SimulateOptions


@pytest.mark.parametrize("effect", EFFECTS)
def test_an_effect_is_one_that_can_be_planted(effect):
    assert SimulateOptions(condition_effect=effect).condition_effect == effect
    with pytest.raises(InputError, match="donor_subtype_effect must be one of"):
        SimulateOptions(donor_subtype_effect=effect + "s")
