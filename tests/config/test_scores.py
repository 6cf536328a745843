"""The shipped folds can be made."""

from scpress.config.scores import ThinOptions


def test_the_shipped_folds_leave_most_molecules_to_training():
    options = ThinOptions()
    assert options.folds * options.fraction <= 0.5
    assert options.fraction < 0.5
