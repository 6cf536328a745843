"""Tables between steps survive JSON and h5ad, and say what they lack."""

import importlib
import json
import pkgutil
import typing
from dataclasses import dataclass, field
from typing import Any

import anndata as ad
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scpress import tables
from scpress.errors import InputError
from scpress.tables.records import (
    Agreement,
    AnyInt,
    MayLack,
    Positive,
    Record,
    Share,
    plain,
)


@dataclass(frozen=True, kw_only=True)
class Part(Record):
    size: int
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Whole(Record):
    name: str
    parts: tuple[Part, ...]
    by_name: dict[str, Part]
    best: Part | None
    words: tuple[str, ...] = ()
    note: str | None = None


PARTS = st.builds(
    Part,
    size=st.integers(0, 2**40),
    share=st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32),
)
WHOLES = st.builds(
    Whole,
    name=st.text(),
    parts=st.lists(PARTS, max_size=3).map(tuple),
    by_name=st.dictionaries(st.text(min_size=1, max_size=5), PARTS, max_size=3),
    best=st.none() | PARTS,
    words=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    note=st.none() | st.text(),
)


@given(WHOLES)
def test_json_gives_the_same_table(whole):
    text = json.dumps(whole.as_plain(), allow_nan=True)
    assert Whole.from_plain(json.loads(text), "x") == whole


def test_the_same_table_is_the_same_file_however_it_was_made():
    parts = {"b": Part(size=2, share=0.5), "a": Part(size=1, share=None)}
    values = Whole(name="w", parts=(), by_name=parts, best=parts["a"]).as_plain()
    assert list(values) == ["best", "by_name", "name", "note", "parts", "words"]
    assert list(values["by_name"]) == ["a", "b"]
    assert list(values["best"]) == ["share", "size"]


def test_h5ad_gives_the_same_table(tmp_path):
    part = Part(size=3, share=None)
    whole = Whole(name="a", parts=(), by_name={"b": part}, best=None, words=("c", "d"))
    values = whole.as_plain()
    del values["parts"]  # a list of tables has no place in h5ad
    del values["by_name"]["b"]["share"]  # nor has None
    ad.AnnData(np.zeros((1, 1)), uns={"w": values | {"parts": np.zeros(0)}}).write_h5ad(
        tmp_path / "w.h5ad"
    )
    assert Whole.from_plain(ad.read_h5ad(tmp_path / "w.h5ad").uns["w"], "x") == whole


def test_what_is_missing_is_named_and_what_is_more_passed_over():
    values = {"size": 1, "share": 0.5}
    assert Part.from_plain(values | {"of a newer scpress": 1}, "x") == Part(size=1, share=0.5)
    with pytest.raises(InputError, match=r"^the file lacks 'size'; it has share\. Is it"):
        Part.from_plain({"share": 1.0}, "the file")
    with pytest.raises(InputError, match="the file is not a table of named values; found 3\\."):
        Part.from_plain(3, "the file")


def test_plain_takes_numpy_apart():
    value = {"a": np.array([np.int64(1)]), "b": np.float32(0.5), "c": (np.bool_(True),)}
    assert json.dumps(plain(value)) == '{"a": [1], "b": 0.5, "c": [true]}'


@dataclass(frozen=True, kw_only=True)
class Numbers(Record):
    columns = (("low", "high"),)

    low: tuple[float, ...] = ()
    high: tuple[Share, ...] | None = None
    count: int = 0
    any_count: AnyInt = 0
    positive: Positive = 1.0
    agreement: Agreement = 0.0
    gap: MayLack = 0.0
    is_on: bool = False
    options: dict[str, Any] = field(default_factory=dict)


@pytest.mark.parametrize(
    "values",
    [
        {"count": np.int32(3), "positive": 1, "agreement": -1, "is_on": np.bool_(True)},
        {"any_count": -1, "gap": np.float64("nan"), "low": np.array([-1e300]), "high": [1]},
        {"low": [1, 2.5], "high": None, "options": {"a": [1, "b"], "c": None, "d": True}},
        {"low": np.zeros(0), "high": []},
    ],
)
def test_numbers_that_a_field_can_have(values):
    found = Numbers.from_plain(values, "x")
    assert {type(getattr(found, name)) for name in ("count", "any_count")} == {int}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", -1),
        ("count", 1.0),
        ("count", True),
        ("count", "1"),
        ("count", None),
        ("any_count", 1.5),
        ("positive", 0),
        ("positive", float("inf")),
        ("positive", False),
        ("agreement", 1.01),
        ("agreement", float("nan")),
        ("gap", -1.0),
        ("gap", float("inf")),
        ("is_on", 1),
        ("is_on", "true"),
        ("low", 1.0),
        ("low", "word"),
        ("low", [float("nan")]),
        ("low", {"0": 1.0}),
        ("high", [-0.1]),
        ("high", {}),
        ("options", [1]),
        ("options", {"a": {"b": 1}}),
        ("options", {"a": [1, float("nan")]}),
    ],
)
def test_values_that_a_field_cannot_have_are_named(name, value):
    with pytest.raises(InputError, match=rf"^'{name}.*' in x is .*, which it cannot be\. Is it"):
        Numbers.from_plain({name: value}, "x")


def test_columns_are_of_one_length():
    with pytest.raises(InputError, match=r"x has columns of unlike lengths: {'low': 2, 'high': 1}"):
        Numbers.from_plain({"low": [1, 2], "high": [1]}, "x")


def test_a_field_that_a_wider_record_must_have_is_asked_for():
    @dataclass(frozen=True, kw_only=True)
    class Strict(Whole):
        note: str

    values = Whole(name="w", parts=(), by_name={}, best=None).as_plain()
    del values["note"]
    assert Whole.from_plain(values, "x").note is None
    with pytest.raises(InputError, match="x lacks 'note'"):
        Strict.from_plain(values, "x")


def test_a_row_of_text_has_numbers_where_its_fields_want_them():
    texts = {"count": "3", "positive": "1e-5", "agreement": "-1"}
    assert Numbers.from_texts(texts, "x") == Numbers(count=3, positive=1e-5, agreement=-1)
    for text in ("", "three", "3.0", "1_0", "0x3", " 3"):
        with pytest.raises(InputError, match="'count' in x is"):
            Numbers.from_texts({"count": text}, "x")


def _parts(hint):
    yield hint
    for one in typing.get_args(hint):
        yield from _parts(one)


def test_no_list_has_gaps_as_h5ad_holds_none_with_gaps():
    for module in pkgutil.iter_modules(tables.__path__):
        importlib.import_module(f"scpress.tables.{module.name}")
    records = [Record]
    for one in records:
        records += one.__subclasses__()
    assert len(records) > 50
    for record in records:
        if not record.__module__.startswith("scpress."):
            continue
        for name, hint in typing.get_type_hints(record).items():
            lists = [one for one in _parts(hint) if typing.get_origin(one) in (tuple, list)]
            gaps = [one for one in lists if type(None) in typing.get_args(typing.get_args(one)[0])]
            assert not gaps, f"{record.__name__}.{name}"
