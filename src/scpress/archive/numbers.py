"""Small whole numbers as bytes: a table of how often each occurs, and then a little rANS."""

import numpy as np

from scpress.archive.numpy_reader import FLOOR, HEAD_BITS


def frequencies(counts: np.ndarray) -> np.ndarray:
    """Starts of the symbols on a scale of 2^14: [symbols + 1], every symbol at least 1.

    Raises
    ------
    ValueError
        More symbols than the scale has room for.
    """
    n, total = len(counts), int(counts.sum())
    left = (1 << HEAD_BITS) - n
    if left < 0:
        raise ValueError(f"{n} symbols do not fit into {1 << HEAD_BITS}")
    sizes = 1 + counts.astype(np.int64) * left // max(total, 1)
    sizes[int(counts.argmax())] += (1 << HEAD_BITS) - int(sizes.sum())
    return np.concatenate([[0], np.cumsum(sizes)])


def write_varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the last byte is below 128."""
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_signed(value: int) -> bytes:
    """0, -1, 1, -2, ... as 0, 1, 2, 3, ..."""
    return write_varint(value * 2 if value >= 0 else -value * 2 - 1)


def pack_table(values: np.ndarray, starts: np.ndarray) -> bytes:
    """Rising values and their `frequencies`."""
    sizes = np.diff(starts)
    out = [write_varint(len(values)), write_signed(int(values[0])) if len(values) else b""]
    out += [write_varint(int(step) - 1) for step in np.diff(values)]
    out += [write_varint(int(size) - 1) for size in sizes[:-1]]
    return b"".join(out)


def pack_numbers(values: np.ndarray) -> bytes:
    """Write the table, the number of 32-bit words, and the words; the reader knows how many."""
    found, inverse = np.unique(np.asarray(values, dtype=np.int64), return_inverse=True)
    counts = np.bincount(inverse, minlength=len(found))
    starts = frequencies(counts).tolist() if len(found) else [0]
    table = pack_table(found, np.array(starts))
    if len(found) < 2:
        return table
    state, words = FLOOR, []
    for symbol in inverse[::-1].tolist():
        start = starts[symbol]
        size = starts[symbol + 1] - start
        if state >= size << (64 - HEAD_BITS):
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // size << HEAD_BITS) + state % size + start
    words += [state >> 32, state & 0xFFFFFFFF]
    packed = np.array(words[::-1], dtype="<u4").tobytes()
    return table + write_varint(len(words)) + packed
