"""How a knob is checked: its limits, its choices, and what is said of other values."""

import dataclasses
import math

import pytest

from scpress.config.fields import Options, has_type, option, require_name
from scpress.config.options import AnnotateOptions, TrainOptions
from scpress.errors import InputError


@dataclasses.dataclass(frozen=True)
class Some(Options):
    """Knobs of every kind."""

    rate: float = option(0.5, "rate", minimum=0.1, maximum=0.9)
    size: int | None = option(None, "size", minimum=2)
    kind: str = option("linear", "kind", choices=("linear", "mlp"))
    widths: tuple[int, ...] = option((4, 3), "widths", minimum=1, maximum=8)
    names: tuple[str, ...] = option((), "names")


@pytest.mark.parametrize(
    "values",
    [
        {"rate": 0.1},
        {"rate": 0.9},
        {"size": 2},
        {"size": None},
        {"size": 10**9},
        {"kind": "mlp"},
        {"widths": (1, 8)},
        {"names": ()},
        {"names": ("x",)},
    ],
)
def test_the_limits_themselves_and_what_has_none_are_allowed(values):
    assert dataclasses.asdict(Some(**values)) == dataclasses.asdict(Some()) | values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": math.nextafter(0.1, 0)}, "rate must be at least 0.1; found 0.09999"),
        ({"rate": math.nextafter(0.9, 1)}, "rate must be at most 0.9; found 0.90000"),
        ({"rate": math.nan}, "rate must be a finite number; found nan"),
        ({"rate": math.inf}, "rate must be a finite number; found inf"),
        ({"size": 1}, "size must be at least 2; found 1"),
        ({"kind": "linaer"}, "kind must be one of linear, mlp; found 'linaer'; did you mean 'lin"),
        ({"widths": ()}, "widths is empty; give at least one value"),
        ({"widths": (1, 9)}, "widths must be at most 8; found 9"),
        ({"size": "3"}, "size must be of type int . None; found '3'"),
        ({"size": True}, "size must be of type int . None; found True"),
        ({"rate": None}, "rate must be of type float; found None"),
        ({"widths": (1, "8")}, r"widths must be of type tuple\[int, ...\]; found"),
        ({"widths": 4}, r"widths must be of type tuple\[int, ...\]; found 4"),
        ({"names": ("x", "")}, "names is empty; give a value"),
        ({"widths": (0, 8)}, "widths must be at least 1; found 0"),
    ],
)
def test_other_values_are_refused_with_what_is_allowed(values, message):
    with pytest.raises(InputError, match=f"^{message}"):
        Some(**values)


def test_a_list_is_taken_like_a_tuple():
    some = Some(widths=[1, 8], names=[])
    assert some == Some(widths=(1, 8), names=())
    assert hash(some) == hash(Some(widths=(1, 8), names=()))
    for values, message in (({"widths": []}, "widths is empty"), ({"widths": [0]}, "at least 1")):
        with pytest.raises(InputError, match=message):
            Some(**values)


@pytest.mark.parametrize("name", ["", "a/b", "_index", "a\0", "a\nb"])
def test_a_name_that_is_no_key_of_a_file_is_refused_by_name(name):
    with pytest.raises(InputError) as caught:
        require_name(name, "the model")
    assert f"the model cannot be named {name!r}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    for other in ("index", "a_index", "a b", "é-1"):
        require_name(other, "the model")


def test_a_word_like_no_choice_names_none():
    with pytest.raises(InputError, match=r"found 'x'$"):
        Some(kind="x")


def test_a_copy_with_another_value_is_checked_too():
    with pytest.raises(InputError, match="size must be at least 2"):
        dataclasses.replace(Some(), size=0)


@pytest.mark.parametrize(
    ("options", "word", "value", "message"),
    [
        (TrainOptions, "n_latent", 0, "at least 1; found 0"),
        (TrainOptions, "n_latent", "atuo", "be a number or auto; found 'atuo'"),
        (TrainOptions, "dropout_rate", 1.5, "at most 0.99; found 1.5"),
        (TrainOptions, "hidden", (64, 0), "at least 1; found 0"),
        (AnnotateOptions, "min_confidence", -0.1, "at least 0; found -0.1"),
    ],
)
def test_values_out_of_range_say_the_limit(options, word, value, message):
    with pytest.raises(InputError, match=f"^{word} .*{message}"):
        options(**{word: value})


@pytest.mark.parametrize(
    ("hint", "values", "others"),
    [
        (int, (3, 0), (3.0, "3", True, None)),
        (float, (3, 0.5, math.nan), ("3", False, None)),
        (bool, (True,), (1, None)),
        (str, ("",), (3, None)),
        (int | None, (3, None), ("3", True)),
        (tuple[int, ...], ((), (1, 2)), ([1], (1, "2"), 1, None)),
        (list[str], ([], ["a"]), (("a",), ["a", 1])),
        (dict[str, int], ({}, {"a": 1}), ({1: 1}, {"a": "b"}, [("a", 1)])),
        (Some, (Some(),), ({}, None)),
    ],
)
def test_a_value_is_of_a_type_or_not_down_to_what_is_in_it(hint, values, others):
    assert all(has_type(value, hint) for value in values)
    assert not any(has_type(value, hint) for value in others)
