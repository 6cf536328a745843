"""What is dense, or is another package's, is written on request alone."""

import dataclasses

import pytest

from scpress.config.output import AssembleOptions, DenoiseOptions


@pytest.mark.parametrize("options", [AssembleOptions, DenoiseOptions])
def test_nothing_more_is_written_than_was_asked_for(options):
    switches = [item for item in dataclasses.fields(options) if item.type is bool]
    assert switches
    assert not any(item.default for item in switches)
