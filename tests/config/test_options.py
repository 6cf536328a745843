"""The knobs as they are declared."""

import dataclasses

import pytest

from scpress.config.fields import Options
from scpress.config.options import VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_knob_says_what_it_is(verb):
    for item in dataclasses.fields(VERBS[verb]):
        assert len(item.metadata["help"]) > 4, item.name


@pytest.mark.parametrize("verb", VERBS)
def test_the_options_of_a_verb_have_its_name_and_cannot_be_changed(verb):
    options = VERBS[verb]
    words = "".join(word.capitalize() for word in verb.split("_"))
    assert options.__name__ == f"{words}Options"
    assert issubclass(options, Options)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(options(), dataclasses.fields(options)[0].name, 1)


@pytest.mark.parametrize("verb", VERBS)
def test_limits_and_choices_hold_the_default(verb):
    for item in dataclasses.fields(VERBS[verb]):
        low, high = item.metadata["minimum"], item.metadata["maximum"]
        assert low is None or high is None or low < high, item.name
        # The flag alone would not say so: argparse gives defaults unchecked.
        VERBS[verb](**{item.name: item.default})
        if item.metadata["choices"]:
            values = item.default if isinstance(item.default, tuple) else (item.default,)
            assert set(values) - {None} <= set(item.metadata["choices"]), item.name
