"""Tables between steps survive JSON and h5ad, and say what they lack."""

import json
from dataclasses import dataclass

import anndata as ad
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scpress.errors import InputError
from scpress.tables.records import Record, plain


@dataclass(frozen=True, kw_only=True)
class Part(Record):
    size: int
    share: float | None


@dataclass(frozen=True, kw_only=True)
class Whole(Record):
    name: str
    parts: tuple[Part, ...]
    by_name: dict[str, Part]
    best: Part | None
    words: tuple[str, ...] = ()
    note: str | None = None


PARTS = st.builds(
    Part, size=st.integers(0, 2**40), share=st.none() | st.floats(allow_nan=False, width=32)
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
    with pytest.raises(InputError, match=r"^the file lacks 'size'; it has share\. Was it"):
        Part.from_plain({"share": 1.0}, "the file")
    with pytest.raises(InputError, match="the file is not a table of named values; found 3"):
        Part.from_plain(3, "the file")


def test_plain_takes_numpy_apart():
    value = {"a": np.array([np.int64(1)]), "b": np.float32(0.5), "c": (np.bool_(True),)}
    assert json.dumps(plain(value)) == '{"a": [1], "b": 0.5, "c": [true]}'
