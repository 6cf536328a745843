"""The knobs as they are declared."""

import dataclasses

import pytest

from scpress.config.options import VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_knob_says_what_it_is(verb):
    for item in dataclasses.fields(VERBS[verb]):
        assert len(item.metadata["help"]) > 4, item.name
