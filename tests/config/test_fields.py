"""How a knob is checked: its limits, its choices, and what is said of other values."""

import pytest

from scpress.config.options import AnnotateOptions, TrainOptions
from scpress.errors import InputError


@pytest.mark.parametrize(
    ("options", "word", "value", "message"),
    [
        (TrainOptions, "n_latent", 0, "at least 1; found 0"),
        (TrainOptions, "dropout_rate", 1.5, "at most 0.99; found 1.5"),
        (TrainOptions, "hidden", (64, 0), "at least 1; found 0"),
        (AnnotateOptions, "min_confidence", -0.1, "at least 0; found -0.1"),
    ],
)
def test_values_out_of_range_say_the_limit(options, word, value, message):
    with pytest.raises(InputError, match=f"^{word} .*{message}"):
        options(**{word: value})
