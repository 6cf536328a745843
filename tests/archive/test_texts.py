"""Lists of names: every one comes back, in the same bytes from every machine and Python."""

import contextlib
import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scpress.archive import texts
from scpress.archive.texts import CHANCES, LOGS, MOST_BYTES, pack_text, unpack_text

NAMES = b"".join(b"AAAC%sTG-%d\n" % (b"ACGT"[i % 4 : i % 4 + 1], i % 3) for i in range(300))

PINNED = (33, "0fd07f4cc6d3b363")


@given(st.binary(max_size=400))
def test_any_bytes_come_back(data):
    assert unpack_text(pack_text(data), len(data)) == data


@given(st.lists(st.text(max_size=8), max_size=30))
def test_any_texts_come_back(words):
    data = "\n".join(words).encode("utf-8", "surrogatepass")
    assert unpack_text(pack_text(data), len(data)) == data


def test_the_coded_bytes_stay_what_they_are():
    """Another number here is another format: archives that were written would not be read."""
    digest = hashlib.sha256(pack_text(NAMES)).hexdigest()
    assert (len(pack_text(NAMES)), digest[:16]) == PINNED


def test_without_a_compiler_the_same_bytes_are_written_and_read(monkeypatch):
    coded = pack_text(NAMES)
    monkeypatch.setattr(texts, "njit", None)
    assert pack_text(NAMES) == coded
    assert unpack_text(coded, len(NAMES)) == NAMES


def test_names_that_are_alike_cost_little():
    assert len(pack_text(NAMES)) < len(NAMES) / 20


def test_the_tables_are_those_of_the_logistic_function():
    for d in range(-3072, 3073):
        assert abs(CHANCES[d + 3072] - 65536 / (1 + math.exp(-d / 256))) <= 1
    for i, found in enumerate(LOGS):
        chance = (i + 0.5) / 4096
        assert abs(found - 256 * math.log(chance / (1 - chance))) <= 8


@pytest.mark.parametrize("n", [0, 1, 3, len(NAMES) // 100])
def test_a_text_that_is_cut_is_refused(n):
    with pytest.raises(ValueError, match=r"cut|ends after"):
        unpack_text(pack_text(NAMES)[:n], len(NAMES))


def test_bytes_after_a_text_are_refused():
    with pytest.raises(ValueError, match="ends after"):
        unpack_text(pack_text(NAMES) + b"\0", len(NAMES))


def test_no_room_is_made_for_a_text_longer_than_one_can_be():
    with pytest.raises(ValueError, match="longer than one can be"):
        unpack_text(b"\0" * 9, MOST_BYTES + 1)


@given(st.binary(min_size=4, max_size=60), st.integers(0, 200))
def test_what_is_no_text_is_refused_or_decodes_to_some_bytes(coded, n):
    found = b""
    with contextlib.suppress(ValueError):
        found = unpack_text(coded, n)
    assert len(found) in (0, n)
