"""Files under names: all come back, in the way that makes them smallest."""

import json
import lzma
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scpress.archive import tree
from scpress.archive.tree import expand, pack_tree, split_texts, squeeze, unpack_tree


def vlen(texts):
    """Texts as numcodecs' vlen-utf8 has them."""
    parts = [struct.pack("<I", len(texts))]
    for text in texts:
        parts.append(struct.pack("<I", len(text.encode())) + text.encode())
    return b"".join(parts)


def array_files(name, data, dtype):
    return {f"{name}/.zarray": json.dumps({"dtype": dtype}).encode(), f"{name}/0": data}


@given(st.dictionaries(st.text(max_size=5), st.binary(max_size=900), max_size=5))
def test_any_files_come_back(files):
    assert unpack_tree(pack_tree(files)) == files
    assert pack_tree(dict(reversed(files.items()))) == pack_tree(files)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=9), max_size=60))
def test_any_texts_come_back(texts):
    files = array_files("obs/names", vlen(texts) + b"", "|O")
    files |= array_files("more", vlen([*texts, "long" * 200]), "|O")
    assert unpack_tree(pack_tree(files)) == files


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=130, max_size=200))
def test_any_numbers_come_back(values):
    files = array_files("x", np.array(values, dtype="<i4").tobytes(), "<i4")
    assert unpack_tree(pack_tree(files)) == files


def way_of(files, name):
    packed = pack_tree(files)
    assert unpack_tree(packed) == files
    is_text, n_coded, n_head = struct.unpack_from("<BII", packed)
    coded = packed[9 : 9 + n_coded]
    head = tree.unpack_text(coded, n_head) if is_text else expand(coded, n_head)
    own = {entry[0]: entry[1] for entry in json.loads(head.partition(b"\n")[0])["own"]}
    return own.get(name, "joined")


drawn = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("way", "data", "dtype"),
    [
        ("plain", drawn.bytes(600), "|u1"),
        ("lzma", b"ab" * 600, "|u1"),
        ("shuffle8", drawn.integers(0, 256, 600).astype("<i8").tobytes(), "<i8"),
        ("count", vlen([f"cell_{i}" for i in range(7, 300)]), "|O"),
        ("count", vlen([f"{i:05d}" for i in range(300)]), "|O"),
        ("text", vlen(["".join(drawn.choice(list("ACGT"), 12)) + "-1" for _ in range(99)]), "|O"),
        ("lines", vlen(["abcdefghij"[i % 10 :] * 40 for i in range(3)] * 99), "|O"),
        ("lzma", vlen(["a\nb"] * 200), "|O"),
        ("joined", vlen(["a", "b"]), "|O"),
    ],
)
def test_each_kind_of_file_has_its_way(way, data, dtype):
    assert way_of(array_files("x", data, dtype), "x/0") == way


def test_a_folder_is_unpacked_by_itself():
    files = array_files("obs/a", b"x" * 600, "|u1") | array_files("obsm/a", b"y" * 600, "|u1")
    files |= {".zgroup": b"{}", "obs/.zattrs": b"{}", "obsm/.zattrs": b"{}"}
    wanted = {name: data for name, data in files.items() if not name.startswith("obsm/")}
    assert unpack_tree(pack_tree(files), "obs") == wanted


def test_names_that_almost_count_up_are_texts():
    names = [f"cell{i}" for i in range(200)]
    for odd in (["cell5"], ["cell007"], [""]):
        assert way_of(array_files("x", vlen(names + odd), "|O"), "x/0") in ("text", "lines")


def test_texts_longer_than_may_be_modelled_are_lines(monkeypatch):
    monkeypatch.setattr(tree, "MOST_BYTES", 800)
    names = ["".join(drawn.choice(list("ACGT"), 12)) for _ in range(99)]
    assert way_of(array_files("x", vlen(names), "|O"), "x/0") == "lines"


@pytest.mark.parametrize(
    "data", [b"", b"\1\0\0", b"\1\0\0\0", b"\1\0\0\0\2\0\0\0a", vlen(["a"]) + b"x", b"\xff" * 8]
)
def test_texts_that_are_cut_or_longer_are_refused(data):
    with pytest.raises(ValueError, match="cut"):
        split_texts(data)


# One file of each way.
WHOLE = {
    **array_files("a", drawn.bytes(600), "|u1"),
    **array_files("b", b"ab" * 600, "|u1"),
    **array_files("c", drawn.integers(0, 256, 600).astype("<i8").tobytes(), "<i8"),
    **array_files("d", vlen([f"cell_{i}" for i in range(300)]), "|O"),
    **array_files("e", vlen(["".join(drawn.choice(list("ACGT"), 12)) for _ in range(99)]), "|O"),
    **array_files("f", vlen(["abcdefghij"[i % 10 :] * 40 for i in range(3)] * 99), "|O"),
}


def test_damage_is_refused_or_changes_only_what_files_hold():
    """The checksum of the section is what finds it; here nothing may hang, crash or grow."""
    packed = pack_tree(WHOLE)
    for at in range(0, len(packed), 3):
        changed = bytearray(packed)
        changed[at] ^= 0x41
        try:
            found = unpack_tree(bytes(changed))
        except ValueError:
            continue
        assert sum(map(len, found.values())) < 10 * sum(map(len, WHOLE.values()))


@pytest.mark.parametrize("n", [0, 5, 9, 40, -1])
def test_a_cut_is_refused(n):
    with pytest.raises(ValueError, match=r"."):
        unpack_tree(pack_tree(WHOLE)[:n])


def test_what_follows_the_streams_is_refused():
    with pytest.raises(ValueError, match="shorter or longer"):
        unpack_tree(pack_tree(WHOLE) + b"x")


def head_of(directory, rest=b"", streams=b""):
    head = json.dumps(directory).encode() + b"\n" + rest
    coded = squeeze(head)
    return struct.pack("<BII", 0, len(coded), len(head)) + coded + streams


@pytest.mark.parametrize(
    ("packed", "says"),
    [
        (head_of([]), "its list is none"),
        (head_of({"joined": [["a", 1.0]], "own": []}), "has the entry"),
        (head_of({"joined": [["a", -1]], "own": []}), "has the entry"),
        (head_of({"joined": [["a", 1], ["a", 1]], "own": []}, b"xy"), "a name twice"),
        (head_of({"joined": [["a", 1]], "own": []}, b"xy"), "shorter or longer"),
        (head_of({"joined": [["a", 2**62]], "own": []}, b"xy"), "shorter or longer"),
        (head_of({"joined": [], "own": [["a", "zip", 1, 1]]}, b"", b"x"), "coded as 'zip'"),
        (head_of({"joined": [], "own": [["a", "plain", 1, 2]]}, b"", b"x"), "1 bytes, not 2"),
        (head_of({"joined": [], "own": [["a", "text", 4, 2**60]]}, b"", b"\1\0\0\0"), "longer"),
        (head_of({"joined": [], "own": [["a", "lzma", 1, 2**60]]}, b"", b"\0"), "not unpack"),
        (
            head_of({"joined": [], "own": [["a", "count", 20, 9]]}, b"", b'["", 0, 0, 1048577] '),
            "do not count up",
        ),
    ],
)
def test_a_list_of_nothing_that_was_written_is_refused(packed, says):
    with pytest.raises(ValueError, match=says):
        unpack_tree(packed)


def test_lzma_makes_no_more_than_was_said():
    """A few bytes may stand for gigabytes; no more of them are made than the list says."""
    bomb = squeeze(bytes(2**22))
    assert len(bomb) < 1000
    with pytest.raises(ValueError, match="does not unpack to 10 bytes"):
        expand(bomb, 10)
    with pytest.raises(ValueError, match="does not unpack to 10 bytes"):
        expand(squeeze(bytes(11)), 10)


def test_lzma_is_the_one_that_others_have():
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**23}]
    assert lzma.decompress(squeeze(b"abc" * 99), lzma.FORMAT_RAW, filters=filters) == b"abc" * 99
