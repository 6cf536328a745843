"""One declaration makes flags, and a schema, that agree with it."""

import argparse

import jsonschema
import pytest

from scpress.config.flags import add_flags, options_from, options_schema
from scpress.config.options import VERBS, QcOptions, TrainOptions
from scpress.errors import InputError


def parse(options, *words):
    parser = argparse.ArgumentParser()
    add_flags(parser, options)
    return options_from(parser.parse_args(words), options)


@pytest.mark.parametrize("verb", VERBS)
def test_no_flags_give_the_defaults(verb):
    assert parse(VERBS[verb]) == VERBS[verb]()


@pytest.mark.parametrize("verb", VERBS)
def test_the_schema_accepts_the_defaults_and_nothing_unknown(verb):
    schema = options_schema(VERBS[verb])
    defaults = {name: one["default"] for name, one in schema["properties"].items()}
    jsonschema.validate(defaults, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(defaults | {"no_such_knob": 1}, schema)


def test_flags_of_every_kind_of_value():
    options = parse(
        TrainOptions,
        *("--n-latent", "7", "--hidden", "64", "32", "--learning-rate", "0.01"),
        *("--encode-covariates", "--continuous-covariates", "--preset", "dca"),
    )
    assert options == TrainOptions(
        n_latent=7,
        hidden=(64, 32),
        learning_rate=0.01,
        encode_covariates=True,
        continuous_covariates=(),
        preset="dca",
    )
    assert parse(QcOptions, "--no-doublets").doublets is False


def test_null_says_none_against_a_default():
    assert parse(TrainOptions).batch_key == "sample"
    assert parse(TrainOptions, "--batch-key", "null").batch_key is None


def test_a_word_that_is_no_choice_names_the_nearest():
    with pytest.raises(InputError, match=r"preset must be one of .*; found 'scvii'.*'scvi'"):
        parse(TrainOptions, "--preset", "scvii")
