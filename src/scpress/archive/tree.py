"""How small files under names, as a zarr folder has them, become few bytes and files again.

Short files are joined and coded as one. Each other file is coded in the way that makes it smallest:

plain      as it is
lzma       LZMA2
shuffle    numbers of K bytes: all first bytes, then all second ones, ..., then LZMA2
text       texts one a line, coded by `texts`
lines      texts one a line, then LZMA2
count      texts that count up: the words before the number, its first value, its digits, how many
"""

import json
import lzma
import re
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from scpress.archive.texts import MOST_BYTES, pack_text, unpack_text

_SHORT = 512
# Texts that count up are made from nothing: no more of them than these.
_MOST_COUNTED = 2**20
_DICTIONARY = 2**23
# What is longer is coded with less effort.
_EFFORT = ((2**22, 9 | lzma.PRESET_EXTREME), (2**25, 6), (2**63, 1))
_START = struct.Struct("<BII")


def pack_tree(files: Mapping[str, bytes]) -> bytes:
    """Pack files; the same files are the same bytes."""
    names = sorted(files)
    joined = [name for name in names if len(files[name]) <= _SHORT]
    own, streams = [], []
    for name in names:
        if len(files[name]) > _SHORT:
            way, stream = _smallest(files[name], _item_size(name, files))
            own.append([name, way, len(stream), len(files[name])])
            streams.append(stream)
    listed = json.dumps(
        {"joined": [[name, len(files[name])] for name in joined], "own": own},
        separators=(",", ":"),
        ensure_ascii=False,
    )
    head = listed.encode() + b"\n" + b"".join(files[name] for name in joined)
    coded = squeeze(head)
    is_text = len(head) <= MOST_BYTES and len(text := pack_text(head)) < len(coded)
    if is_text:
        coded = text
    return _START.pack(is_text, len(coded), len(head)) + coded + b"".join(streams)


def unpack_tree(packed: bytes, folder: str = "") -> dict[str, bytes]:
    """Names and files, of one folder where it is given; ValueError where they are damaged."""
    if len(packed) < _START.size:
        raise ValueError("it is cut")
    is_text, n_coded, n_head = _START.unpack_from(packed)
    at = _START.size + n_coded
    coded = packed[_START.size : at]
    head = unpack_text(coded, n_head) if is_text else expand(coded, n_head)
    listed, _, rest = head.partition(b"\n")
    try:
        directory = json.loads(listed)
    except RecursionError as error:
        raise ValueError("its list is nested too deeply") from error
    _require_directory(directory)
    files: dict[str, bytes] = {}
    place = 0
    for name, n_bytes in directory["joined"]:
        if _is_in(name, folder):
            files[name] = rest[place : place + n_bytes]
        place += n_bytes
    for name, way, n_stored, n_plain in directory["own"]:
        if _is_in(name, folder):
            files[name] = _unpack(way, packed[at : at + n_stored], n_plain)
            if len(files[name]) != n_plain:
                raise ValueError(f"{name} has {len(files[name])} bytes, not {n_plain}")
        at += n_stored
    if place != len(rest) or at != len(packed):
        raise ValueError("its files are shorter or longer than they say")
    return files


def _is_in(name: str, folder: str) -> bool:
    # What zarr has at the top says that there is a folder at all.
    return not folder or name.startswith(f"{folder}/") or name in (".zgroup", ".zattrs")


def _require_directory(directory: Any) -> None:
    if not isinstance(directory, dict) or sorted(directory) != ["joined", "own"]:
        raise ValueError("its list is none")
    wanted = {"joined": (str, int), "own": (str, str, int, int)}
    names = []
    for kind, types in wanted.items():
        for entry in directory[kind]:
            if [type(value) for value in entry] != list(types):
                raise ValueError(f"its list has the entry {str(entry)[:60]}")
            if any(type(value) is int and value < 0 for value in entry):
                raise ValueError(f"its list has the entry {str(entry)[:60]}")
            names.append(entry[0])
    if len(set(names)) < len(names):
        raise ValueError("its list has a name twice")


def _smallest(data: bytes, item_size: int) -> tuple[str, bytes]:
    """The way that makes a file smallest, and what it makes."""
    texts = split_texts(data) if item_size == 0 else []
    if item_size == 0 and not any(b"\n" in text for text in texts):
        if (counted := _count(texts)) is not None:
            return "count", counted
        lines = b"".join(text + b"\n" for text in texts)
        ways = [("lines", data[:4] + squeeze(lines))]
        if len(lines) <= MOST_BYTES:
            ways.append(("text", data[:4] + pack_text(lines)))
    else:
        ways = [("plain", data), ("lzma", squeeze(data))]
        if item_size > 1 and len(data) % item_size == 0:
            ways.append((f"shuffle{item_size}", squeeze(_shuffle(data, item_size))))
    return min(ways, key=lambda way: len(way[1]))


def _unpack(way: str, stream: bytes, n_bytes: int) -> bytes:
    if way == "plain":
        return stream
    if way == "lzma":
        return expand(stream, n_bytes)
    if way.startswith("shuffle") and way[7:].isdecimal() and 1 < int(way[7:]) < 256:
        plain = expand(stream, n_bytes)
        if n_bytes % int(way[7:]):
            raise ValueError(f"{n_bytes} bytes are no numbers of {way[7:]}")
        return _shuffle(plain, n_bytes // int(way[7:])) if n_bytes else b""
    if way == "count":
        return _from_texts(_counted(stream))
    if way not in ("text", "lines"):
        raise ValueError(f"nothing is coded as {way[:20]!r}")
    # Four bytes for the number of texts, and for each its length instead of the end of its line.
    n_texts, lines = int.from_bytes(stream[:4], "little"), stream[4:]
    n_lines = n_bytes - 4 - 3 * n_texts
    if n_lines < 0:
        raise ValueError(f"{n_bytes} bytes do not hold {n_texts} texts")
    plain = unpack_text(lines, n_lines) if way == "text" else expand(lines, n_lines)
    texts = plain.split(b"\n")
    if len(texts) != n_texts + 1 or texts.pop():
        raise ValueError(f"there are not {n_texts} texts")
    return _from_texts(texts)


def _shuffle(data: bytes, n_columns: int) -> bytes:
    """Bytes of a table of so many columns, read down its columns."""
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, n_columns).T.tobytes()


def _item_size(name: str, files: Mapping[str, bytes]) -> int:
    """Bytes of one number of a chunk of a zarr array; 0 of texts, 1 of anything else."""
    folder, _, file = name.rpartition("/")
    if file.startswith(".") or f"{folder}/.zarray" not in files:
        return 1
    dtype = json.loads(files[f"{folder}/.zarray"])["dtype"]
    if dtype == "|O":
        return 0
    digits = dtype[2:] if isinstance(dtype, str) else ""
    return int(digits) if digits.isdecimal() and dtype[1] in "iufbc" else 1


def split_texts(data: bytes) -> list[bytes]:
    """Texts of a chunk as numcodecs' vlen-utf8 has them; ValueError where they are damaged."""
    texts, at = [], 4
    for _ in range(int.from_bytes(data[:4], "little")):
        size = int.from_bytes(data[at : at + 4], "little")
        texts.append(data[at + 4 : at + 4 + size])
        at += 4 + size
        if at > len(data):
            break
    if at != len(data):
        raise ValueError("texts are cut, or something is after them")
    return texts


def _from_texts(texts: list[bytes]) -> bytes:
    parts = [len(texts).to_bytes(4, "little")]
    for text in texts:
        parts += (len(text).to_bytes(4, "little"), text)
    return b"".join(parts)


def _count(texts: list[bytes]) -> bytes | None:
    """What `_counted` makes the texts from; None where they do not count up."""
    match = re.fullmatch(rb"(.*?)(\d{1,15})", texts[0], re.S) if texts else None
    if match is None or len(texts) > _MOST_COUNTED:
        return None
    word, number = match[1], match[2]
    for width in (0, len(number)):  # 9, 10 or 09, 10
        coded = json.dumps([word.decode("utf-8", "ignore"), int(number), width, len(texts)])
        if _counted(coded.encode()) == texts:
            return coded.encode()
    return None


def _counted(stream: bytes) -> list[bytes]:
    word, first, width, n = json.loads(stream)
    if type(word) is not str or not all(type(value) is int for value in (first, width, n)):
        raise ValueError("texts do not count up from there")
    if not (0 <= first < 10**15 and 0 <= width < 16 and 0 <= n <= _MOST_COUNTED):
        raise ValueError(f"texts do not count up from {first}, {n} of them")
    return [f"{word}{number:0{width}d}".encode() for number in range(first, first + n)]


def squeeze(plain: bytes) -> bytes:
    """LZMA2 without a header."""
    effort = next(preset for most, preset in _EFFORT if len(plain) <= most)
    return lzma.compress(plain, lzma.FORMAT_RAW, filters=_filters(preset=effort, pb=0))


def expand(packed: bytes, n_bytes: int) -> bytes:
    """Undo `squeeze`; ValueError where there are not just so many bytes."""
    expander = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters())
    try:
        plain = expander.decompress(packed, n_bytes + 1)
    except lzma.LZMAError as error:
        raise ValueError(str(error)) from error
    if len(plain) != n_bytes or not expander.eof or expander.unused_data:
        raise ValueError(f"it does not unpack to {n_bytes} bytes")
    return plain


def _filters(**effort: int) -> list[dict[str, int]]:
    return [{"id": lzma.FILTER_LZMA2, "dict_size": _DICTIONARY, **effort}]
