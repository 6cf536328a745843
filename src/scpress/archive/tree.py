"""How small files under names, as a zarr folder has them, become bytes and are named again."""

import json
import lzma
from collections.abc import Mapping
from typing import Any

_FILTERS: list[dict[str, Any]] = [
    {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 2**23, "pb": 0}
]


def pack_tree(files: Mapping[str, bytes]) -> bytes:
    """Pack files, in the order of their names."""
    names = sorted(files)
    directory = json.dumps([[name, len(files[name])] for name in names], separators=(",", ":"))
    plain = directory.encode() + b"\n" + b"".join(files[name] for name in names)
    return len(plain).to_bytes(8, "little") + squeeze(plain)


def unpack_tree(packed: bytes) -> dict[str, bytes]:
    """Names and files; ValueError where they are damaged."""
    plain = expand(packed[8:], int.from_bytes(packed[:8], "little"))
    directory, _, rest = plain.partition(b"\n")
    files, at = {}, 0
    for name, size in json.loads(directory):
        files[name] = rest[at : at + size]
        at += size
    return files


def squeeze(plain: bytes) -> bytes:
    """LZMA2 without a header."""
    return lzma.compress(plain, lzma.FORMAT_RAW, filters=_FILTERS)


def expand(packed: bytes, n_bytes: int) -> bytes:
    """Undo `squeeze`; ValueError where there are not just so many bytes."""
    expander = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
    try:
        plain = expander.decompress(packed, n_bytes + 1)
    except lzma.LZMAError as error:
        raise ValueError(str(error)) from error
    if len(plain) != n_bytes or not expander.eof or expander.unused_data:
        raise ValueError(f"it does not unpack to {n_bytes} bytes")
    return plain
