"""A search is read as it was written, and its numbers are of its trials."""

import pytest

from scpress.errors import InputError
from scpress.tables.search import Search, Trial, TrialScores


@pytest.fixture
def found():
    return Search(
        model="m",
        given={"hidden": None, "n_latent": "auto", "epsilon": 0.03},
        steps=(10, 20),
        eta=3,
        rung=1,
        trials=(
            Trial(settings={}, losses=(1.0,), difference=0.0, error=0.0),
            Trial(settings={"hidden": [16, 8], "n_latent": 3}),
        ),
        entered=(0, 1),
        preferred=(0,),
        singular_values=(9.0, 1.0),
        threshold=2.0,
        guess=1,
    )


def test_a_search_is_read_as_it_was_written(found):
    assert Search.from_plain(found.as_plain(), "x") == found
    empty = TrialScores(rung=1, slot=4)
    assert TrialScores.from_plain(empty.as_plain(), "x") == empty


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entered": [0, 2]}, "x names trial 2 of 2"),
        ({"preferred": [5]}, "x names trial 5 of 2"),
        ({"chosen": 2}, "x names trial 2 of 2"),
        ({"preferred": []}, "no order, no eta or a rung"),
        ({"eta": 1}, "no order, no eta or a rung"),
        ({"rung": 3}, "no order, no eta or a rung"),
    ],
)
def test_numbers_are_of_trials_and_rungs_that_there_are(found, change, message):
    with pytest.raises(InputError, match=rf"{message}.*scpress search"):
        Search.from_plain(found.as_plain() | change, "x")
