"""What is tried: the model as it is first, no setting twice, sizes around what stands out."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from builders import brief_options, normalized_of

from scpress.config.options import SearchOptions, SimulateOptions, ThinOptions
from scpress.errors import InputError
from scpress.steps.search import read_axes, search, settle, sizes_around
from scpress.steps.simulate import simulate
from scpress.steps.thin import thin

AXES = ("hidden=[[16], [8, 8]]", "dropout_rate=[0.1, 0.5]")


@pytest.fixture(scope="module")
def data():
    """Counts of five types, normalized, and folds."""
    counts = simulate(
        SimulateOptions(
            n_cells=300, n_genes=200, n_types=5, mean_library_size=1000, marker_fraction=0.08
        ),
        seed=0,
    )
    normalized = normalized_of(counts)
    return counts, normalized, thin(counts, normalized, ThinOptions(folds=1))


def tried(found):
    return [one.settings for one in found.trials]


def test_the_model_as_it_is_comes_first_and_no_setting_twice(data):
    options = brief_options(hidden=(16,))
    found = search(*data, options, SearchOptions(axes=AXES, steps=(20, 40), eta=2), name="m")
    # With one layer of 16 the preset's dropout of 0.1 is what there is already.
    assert tried(found) == [
        {},
        {"hidden": [16], "dropout_rate": 0.5},
        {"hidden": [8, 8], "dropout_rate": 0.1},
        {"hidden": [8, 8], "dropout_rate": 0.5},
    ]
    assert (found.entered, found.preferred) == ((0, 1, 2, 3), (0,))
    assert (found.model, found.rung, found.steps, found.eta) == ("m", 0, (20, 40), 2)
    assert found.given["hidden"] == [16]
    assert (found.guess, found.chosen, found.singular_values) == (None, None, ())


def test_settings_are_drawn_where_there_are_many(data):
    axes = ("epsilon=[0.1, 0.2, 0.3, 0.4]", "weight_decay=[0.1, 0.2, 0.3]")
    drawn = {
        seed: tried(
            search(*data, brief_options(), SearchOptions(axes=axes, trials=5, seed=seed), name="m")
        )
        for seed in (0, 1)
    }
    grid = [
        {"epsilon": a, "weight_decay": b}
        for a, b in itertools.product((0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3))
    ]
    for one in drawn.values():
        assert one[0] == {}
        assert len(one) == 5
        places = [grid.index(settings) for settings in one[1:]]
        assert places == sorted(set(places))
    assert drawn[0] != drawn[1]
    again = search(*data, brief_options(), SearchOptions(axes=axes, trials=5), name="m")
    assert tried(again) == drawn[0]


def test_the_sizes_of_a_latent_are_around_what_stands_out(data):
    found = search(*data, brief_options(n_latent="auto"), SearchOptions(steps=(20, 40)), name="m")
    assert found.guess == 4
    assert tried(found) == [{"n_latent": n} for n in (1, 2, 4, 8, 16)]
    # The smaller the better, and no rung in which they are trained less.
    assert (found.preferred, found.steps) == ((0, 1, 2, 3, 4), (40,))
    assert np.sum(np.array(found.singular_values) > found.threshold) == 4


def test_sizes_are_crossed_with_other_axes_and_what_stands_out_is_the_models_own(data):
    draw = SearchOptions(axes=('decoder=["linear"]',), trials=40)
    found = search(*data, brief_options(n_latent="auto"), draw, name="m")
    assert tried(found) == [
        {"n_latent": 4},
        *({"n_latent": n, "decoder": "linear"} for n in (1, 2, 4, 8, 16)),
    ]
    assert found.preferred == (0,)


@pytest.mark.parametrize(
    ("n", "most", "sizes"),
    [
        (20, 200, [5, 10, 20, 40, 80]),
        (0, 50, [1]),
        (3, 50, [1, 2, 3, 6, 12]),
        (9, 10, [2, 4, 9, 10]),
    ],
)
def test_sizes_are_whole_different_and_not_too_large(n, most, sizes):
    assert sizes_around(n, most) == sizes


@pytest.mark.parametrize("word", ["hiden=[1]", "hidden", "hidden=5", "hidden=[]", "hidden=[64"])
def test_an_axis_is_an_option_and_values(word):
    with pytest.raises(InputError, match=r"an axis of the search is KEY=.*; found 'hid"):
        read_axes([word])


@pytest.mark.parametrize(
    ("changes", "axes", "message"),
    [
        ({}, (), "nothing is searched; give axes"),
        ({"n_latent": "auto"}, ("n_latent=[2]",), "n_latent is auto and an axis"),
        ({}, ("dropout_rate=[2]",), "dropout_rate must be at most 0.99; found 2"),
        ({}, ("n_latent=[500]",), "n_latent must be at most the number of modelled genes"),
        ({"likelihood": "auto"}, AXES, "likelihood auto is chosen by"),
    ],
)
def test_what_cannot_be_tried_is_told_before_anything_is_trained(data, changes, axes, message):
    with pytest.raises(InputError, match=message):
        search(*data, brief_options(**changes), SearchOptions(axes=axes), name="m")


def test_chosen_settings_are_used_where_nothing_else_is_said(data):
    options = brief_options(n_latent="auto")
    draw = SearchOptions(axes=('decoder=["linear"]',), trials=40)
    found = search(*data, options, draw, name="m")
    with pytest.raises(InputError, match="the settings of m is not at its end"):
        settle(options, found)
    ended = replace(found, chosen=2)
    assert settle(options, ended) == replace(options, n_latent=2, decoder="linear")
    # A training of another size keeps its size.
    other = replace(options, n_latent=7)
    assert settle(other, ended) == replace(options, n_latent=7, decoder="linear")
