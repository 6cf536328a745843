import pytest

from scpress.config.receptors import ReceptorsOptions
from scpress.errors import InputError


@pytest.mark.parametrize("method", ["gru", "lstm", "kmers"])
def test_every_method_is_taken(method):
    assert ReceptorsOptions(method=method).method == method


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("method", "rnn", "method must be one of gru, lstm, kmers; found 'rnn'"),
        ("n_latent", 0, "n_latent must be at least 1; found 0"),
        ("teacher_dropout", 1.1, "teacher_dropout must be at most 1"),
        ("mutation_rate", -0.1, "mutation_rate must be at least 0"),
        ("validation_fraction", 0.0, "validation_fraction must be at least 0.01"),
        ("max_distance", -1.0, "max_distance must be at least 0"),
    ],
)
def test_what_cannot_be_trained_is_refused(name, value, message):
    with pytest.raises(InputError, match=message):
        ReceptorsOptions(**{name: value})
