"""One declaration makes flags, and a schema, that agree with it."""

import argparse
import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest

from scpress.config.dca import DcaOptions
from scpress.config.fields import Options, option, refused
from scpress.config.flags import (
    add_flags,
    add_training_flags,
    checkpoints_folder,
    options_from,
    options_from_json,
    options_schema,
)
from scpress.config.options import VERBS, NormalizeOptions, QcOptions, TrainOptions
from scpress.config.scvi import ScviOptions
from scpress.errors import InputError


def parse(options, *words):
    parser = argparse.ArgumentParser()
    add_flags(parser, options)
    return options_from(parser.parse_args(words), options)


EVERY = [*VERBS.values(), DcaOptions, ScviOptions]


@pytest.mark.parametrize("options", EVERY)
def test_no_flags_give_the_defaults(options):
    assert parse(options) == options()


@dataclasses.dataclass(frozen=True)
class Some(Options):
    """Knobs of every kind.

    More text that no schema shows.
    """

    learning_rate: float = option(0.5, "up to 90 %", minimum=0.1, maximum=0.9)
    batch_key: str | None = option("sample", "key")
    limit: int | None = option(None, "limit", minimum=2)
    kind: str | None = option(None, "kind", choices=("linear", "mlp"))
    hidden: tuple[int, ...] = option((4, 3), "widths", minimum=1)
    names: tuple[str, ...] = option((), "names")
    doublets: bool = option(True, "doublets")


def test_the_schema_says_what_the_fields_do():
    schema = options_schema(Some)
    assert schema["description"] == "Knobs of every kind."
    assert schema["additionalProperties"] is False
    rows = {
        "learning_rate": {"type": "number", "minimum": 0.1, "maximum": 0.9, "default": 0.5},
        "batch_key": {"type": ["string", "null"], "minLength": 1, "default": "sample"},
        "limit": {"type": ["integer", "null"], "minimum": 2, "default": None},
        "kind": {"type": ["string", "null"], "enum": ["linear", "mlp", None], "default": None},
        "hidden": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 1,
            "default": [4, 3],
        },
        "names": {"type": "array", "items": {"type": "string", "minLength": 1}, "default": []},
        "doublets": {"type": "boolean", "default": True},
    }
    without_text = {
        name: {key: value for key, value in one.items() if key != "description"}
        for name, one in schema["properties"].items()
    }
    assert without_text == rows
    assert schema["properties"]["limit"]["description"] == "limit"


def around(item):
    """Values at, inside and outside of the limits of one field, and null."""
    low, high = item.metadata["minimum"], item.metadata["maximum"]
    if "bool" in str(item.type):
        return [True, False]
    step = 1 if isinstance(low, int) and isinstance(high, int | None) else 1e-9
    values = [None] + [x for x in (low, high) if x is not None]
    values += [low - step] if low is not None else []
    values += [high + step] if high is not None else []
    words = item.metadata["choices"]
    if "str" in str(item.type):
        values += [*words, "no such choice"] if words else ["x", ""]
    return values


@pytest.mark.parametrize("options", EVERY)
def test_a_schema_accepts_what_the_options_do_and_refuses_the_rest(options):
    """Two checks of one value: before a run by the schema, in it by the options themselves."""
    schema = options_schema(options)["properties"]
    for item in dataclasses.fields(options):
        kind = str(item.type)
        for value in around(item):
            if value is None and "None" not in kind:
                continue  # the type alone forbids it
            is_list = "tuple" in kind and value is not None
            try:
                options(**{item.name: (value,) if is_list else value})
                accepted = True
            except InputError:
                accepted = False
            check = jsonschema.Draft202012Validator(schema[item.name])
            valid = check.is_valid([value] if is_list else value)
            assert valid == accepted, (item.name, value)


def test_the_help_shows_names_as_flags_defaults_and_percent_signs():
    parser = argparse.ArgumentParser(prog="x")
    add_flags(parser, Some)
    text = " ".join(parser.format_help().split())
    assert "--learning-rate FLOAT up to 90 % [0.5]" in text
    assert "--limit INT limit [none]" in text
    assert "--kind {linear,mlp} kind [none]" in text
    assert "--doublets, --no-doublets" in text


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


def test_checkpoints_are_beside_the_output_unless_they_are_named():
    parser = argparse.ArgumentParser()
    add_training_flags(parser)
    parser.add_argument("--output", type=Path)
    words = ["--output", "here/scores.json"]
    found = parser.parse_args(words)
    assert (found.device, checkpoints_folder(found)) == ("auto", Path("here/checkpoints"))
    named = parser.parse_args([*words, "--checkpoints", "there", "--device", "cpu"])
    assert (named.device, checkpoints_folder(named)) == ("cpu", Path("there"))


def test_null_says_none_against_a_default():
    assert parse(TrainOptions).batch_key == "sample"
    assert parse(TrainOptions, "--batch-key", "null").batch_key is None


def test_auto_may_stand_where_a_number_of_genes_does(capsys):
    assert parse(NormalizeOptions, "--n-top-genes", "auto").n_top_genes == "auto"
    assert parse(NormalizeOptions, "--n-top-genes", "7").n_top_genes == 7
    with pytest.raises(SystemExit):
        parse(NormalizeOptions, "--n-top-genes", "atuo")
    assert "invalid int value: 'atuo'" in capsys.readouterr().err
    with pytest.raises(InputError, match="n_top_genes must be a number or auto; found 'atuo'"):
        NormalizeOptions(n_top_genes="atuo")


def test_a_word_that_is_no_choice_names_the_nearest():
    with pytest.raises(InputError, match=r"preset must be one of .*; found 'scvii'.*'scvi'"):
        parse(TrainOptions, "--preset", "scvii")


def test_null_is_no_value_of_a_number_either_and_needs_an_option_that_may_be_none(capsys):
    assert parse(Some, "--limit", "3", "--limit", "null").limit is None
    assert parse(Some, "--kind", "null").kind is None
    for words in (("--learning-rate", "null"), ("--hidden", "null"), ("--limit", "many")):
        with pytest.raises(SystemExit):
            parse(Some, *words)
        assert "invalid" in capsys.readouterr().err


@dataclasses.dataclass(frozen=True)
class Elsewhere(Options):
    """Names that others use."""

    scale: bool | None = option(None, "z", choices=(True,), instead="set input.")
    seedling: None = refused("set seed.")


@pytest.mark.parametrize("words", [("--seedling", "3"), ("--seedling",)])
def test_a_name_that_is_never_taken_is_a_flag_that_says_what_to_use(words):
    with pytest.raises(InputError, match=r"seedling cannot be .*: set seed\."):
        parse(Elsewhere, *words)


def test_a_name_that_is_never_taken_is_in_no_help_but_in_the_schema():
    parser = argparse.ArgumentParser()
    add_flags(parser, Elsewhere)
    assert "seedling" not in parser.format_help()
    assert "--scale" in parser.format_help()
    schema = options_schema(Elsewhere)["properties"]
    assert schema["seedling"] == {"enum": [None], "instead": "set seed."}
    assert schema["scale"]["enum"] == [True, None]
    assert schema["scale"]["instead"] == "set input."


def test_a_value_that_is_not_taken_says_what_to_use():
    assert parse(Elsewhere, "--scale").scale is True
    with pytest.raises(InputError, match=r"scale cannot be False: set input\."):
        parse(Elsewhere, "--no-scale")


def test_yes_and_no_of_a_flag_that_is_on():
    assert parse(Some).doublets is True
    assert parse(Some, "--no-doublets").doublets is False
    assert parse(Some, "--no-doublets", "--doublets").doublets is True


def test_a_list_without_values_is_empty_where_that_means_something():
    assert parse(Some, "--names").names == ()
    with pytest.raises(InputError, match="hidden is empty"):
        parse(Some, "--hidden")


@pytest.mark.parametrize("options", [*VERBS.values()])
def test_options_in_json_are_the_options(options):
    assert options_from_json("{}", options) == options()
    assert options_from_json(json.dumps(dataclasses.asdict(options())), options) == options()


def test_json_is_checked_as_flags_are():
    assert options_from_json('{"max_counts": 9}', QcOptions) == QcOptions(max_counts=9)
    for text, says in (
        ("max_counts=9", "options are a JSON object, .*; found 'max_counts=9'"),
        ("[1]", "found '.1.'"),
        ('{"max_count": 9}', "unknown option 'max_count'; known: thresholds"),
        ('{"max_counts": 0}', "max_counts must be at least 1; found 0"),
    ):
        with pytest.raises(InputError, match=says):
            options_from_json(text, QcOptions)
