"""What is shipped asks for nothing, and refuses a latent that has seen who is under test."""

import pytest

from scpress.config.response import DrugResponseOptions, PerturbationOptions
from scpress.errors import InputError


def test_nothing_is_asked_for():
    options = DrugResponseOptions()
    assert options.responses is None
    assert options.obs_prefix is None
    assert PerturbationOptions().condition_key is None


def test_a_latent_that_all_lines_trained_is_refused():
    with pytest.raises(InputError, match="views cannot be 'latent': a latent that all lines"):
        DrugResponseOptions(views=("latent",))
