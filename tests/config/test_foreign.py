"""Names of another package, of a package that is made up."""

import logging

import pytest

from scpress.config.foreign import Dialect, translate_names
from scpress.config.options import TrainOptions
from scpress.errors import InputError

MEANS = {
    "rounds": ("max_steps",),
    "turns": ("max_steps",),
    "form": ("hidden", "n_latent"),
    "no": (),
}


def _values_of(name, given, epoch, options):
    if name == "form":
        return given[name]
    return (given[name] * epoch,) if MEANS[name] and given[name] else ()


DIALECT = Dialect("Other", "Other's", "ldvae", "docs/other.md", MEANS, _values_of)


def translate(given, n_cells=1000, **ours):
    options = TrainOptions(**{"preset": "ldvae"} | ours)
    return translate_names(options, given, DIALECT, n_cells=n_cells)


def test_names_become_ours_and_are_said(caplog):
    caplog.set_level(logging.INFO, logger="scpress")
    found = translate({"rounds": 2, "form": ((7,), 3), "no": True})
    assert found == TrainOptions(preset="ldvae", max_steps=16, hidden=(7,), n_latent=3)
    assert caplog.messages == [
        "rounds 2 of Other is max_steps 16",
        "form ((7,), 3) of Other is hidden (7,), n_latent 3",
    ]


def test_an_epoch_is_of_the_training_cells_in_batches_the_last_one_too():
    # 900 of 1,000 cells: 29 batches of 32, the last of four cells.
    assert translate({"rounds": 10}, batch_size=32).max_steps == 290
    found = translate({"rounds": 1}, n_cells=200, batch_size=50, validation_fraction=0.5)
    assert found.max_steps == 2


def test_what_is_done_anyhow_changes_nothing():
    assert translate({"rounds": 0, "no": True}) == TrainOptions(preset="ldvae")


def test_nothing_said_is_for_every_preset():
    assert translate({}, preset="scvi") == TrainOptions(preset="scvi")
    with pytest.raises(InputError, match="no is Other's name and goes with preset ldvae; found"):
        translate({"no": True}, preset="scvi")


def test_one_thing_in_two_names_is_refused_unless_both_say_the_same():
    with pytest.raises(InputError, match="rounds is Other's name for max_steps, and max_steps is"):
        translate({"rounds": 2}, max_steps=16)
    assert translate({"rounds": 2, "turns": 2}).max_steps == 16
    with pytest.raises(InputError, match="turns 3 makes max_steps 24, and another of Other's"):
        translate({"rounds": 2, "turns": 3})
