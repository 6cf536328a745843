"""The table of a choice is read as it was written, and says of what it chose."""

import pytest

from scpress.errors import InputError
from scpress.tables.scores import Choice, Ranked


@pytest.fixture
def choice():
    ranked = {
        "n_seeds": 1,
        "loss": -5.0,
        "difference": 0.0,
        "error": 0.0,
        "from_chosen": -1.0,
        "from_chosen_error": 0.5,
        "poisson_per_entry": -0.1,
        "log_mse": 1.0,
        "poisson_by_level": (-1.0, -4.0),
        "expected_zeros": (0.9, 0.8),
        "dispersion": (1.0, 1.0),
    }
    return Choice(
        loss="poisson",
        tolerance=1.0,
        chosen="m",
        best_model="m",
        beaten_by=("PCA 10",),
        n_cells=9,
        n_genes=2,
        n_molecules=30,
        n_folds=2,
        observed_zeros=(0.9, 0.8),
        mean_by_level=(0.1, 1.0),
        predictors=(
            Ranked(name="PCA 10", is_model=False, **ranked),
            Ranked(name="m", is_model=True, **ranked),
        ),
    )


def test_a_choice_is_read_as_it_was_written(choice):
    assert Choice.from_plain(choice.as_plain(), "x") == choice


@pytest.mark.parametrize("chosen", ["PCA 10", "other"])
def test_what_is_chosen_is_one_of_the_models(choice, chosen):
    changed = choice.as_plain() | {"chosen": chosen}
    with pytest.raises(InputError, match=rf"x chooses '{chosen}', and its models are m\. .*choose"):
        Choice.from_plain(changed, "x")
