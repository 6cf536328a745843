"""The table of a likelihood is read as it was written, and chooses one that it compared."""

import pytest

from scpress.errors import InputError
from scpress.tables.likelihood import Candidate, LikelihoodChoice

CHOICE = LikelihoodChoice(
    model="m",
    seed=0,
    n_cells=9,
    n_folds=2,
    chosen="nb",
    best="zinb",
    candidates=(
        Candidate(likelihood="nb", loss=5.0, difference=0.0, error=0.0),
        Candidate(likelihood="zinb", loss=4.9, difference=-0.1, error=0.2),
    ),
    inflated_genes=("G1",),
)


def test_a_choice_is_read_as_it_was_written():
    assert LikelihoodChoice.from_plain(CHOICE.as_plain(), "x") == CHOICE


def test_what_is_chosen_was_compared():
    changed = CHOICE.as_plain() | {"chosen": "poisson"}
    with pytest.raises(InputError, match=r"x chooses 'poisson' of nb, zinb\. .*likelihood` again"):
        LikelihoodChoice.from_plain(changed, "x")
