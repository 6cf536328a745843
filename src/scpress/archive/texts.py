"""How lists of names become few bytes: their bits are coded by what stands before them.

Everything is computed in whole numbers, so every machine decodes what another wrote. The loop is
plain Python that numba compiles where it is installed; docs/archive.md says what it computes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

try:
    from numba import njit
except ImportError:  # a reader without it decodes the same, only slower
    njit = None  # type: ignore[assignment]

# Contexts of a byte: the 1 to 4 bytes before it, the same place of the text before, all of its text
# so far, and what came after that when it was there last. Each has at most 2^22 slots.
_N_CONTEXTS, _MOST_BITS = 7, 22
# A probability has 22 bits; beside it stands how often it was seen, at most 127.
_ONE, _SEEN = 1 << 22, 127
# Logarithms of odds are counted in 256ths, up to 12 on both sides.
_SCALE, _REACH = 256, 3072
# Longer texts take minutes without a compiler.
MOST_BYTES = 2**20


def _odds_tables() -> tuple[list[int], list[int]]:
    """(chance, of 2^16, of each logarithm of odds; logarithm of the odds of each chance, of 2^12).

    By whole numbers alone: the logarithms of one machine's library are not those of another's.
    """
    one = 1 << 62
    step, term, k = one, one, 1
    while term:  # exp(-1 / 256) by its series
        term = term // (k * _SCALE)
        step += -term if k % 2 else term
        k += 1
    power, powers = one, []
    for _ in range(_REACH + 1):
        powers.append(power)
        power = power * step >> 62
    chances = [
        (one << 16) // (one + powers[d]) if d >= 0 else (powers[-d] << 16) // (one + powers[-d])
        for d in range(-_REACH, _REACH + 1)
    ]
    logs, d = [], 0
    for chance in range(8, 1 << 16, 16):
        while d < 2 * _REACH and chances[d] < chance:
            d += 1
        logs.append(d - _REACH)
    return chances, logs


CHANCES, LOGS = _odds_tables()
# What a chance moves by when it was seen so often, of 2^16.
_STEPS = [(1 << 17) // (2 * seen + 3) for seen in range(_SEEN + 1)]


def _code(
    text: Any,
    coded: Any,
    is_decoding: bool,
    bits: int,
    slots: Any,
    weights: Any,
    chances: Any,
    logs: Any,
    steps: Any,
) -> int:
    """Code `text` into `coded`, or the other way; returns how many bytes of `coded` were used."""
    mask = (1 << bits) - 1
    low, high, code, at = 0, 0xFFFFFFFF, 0, 0
    if is_decoding:
        for _ in range(4):
            code = code << 8 | coded[at]
            at += 1
    contexts, places, inputs = [0] * 7, [0] * 7, [0] * 7
    # Where each beginning of a text went on when it was there last, and how often that was right.
    recent, run = [0] * 65536, 0
    # `line` is where this text starts, `before` the one above it.
    line = before = prefix = 0
    is_same = 1
    last1 = last2 = last3 = last4 = 0
    for i in range(len(text)):
        if last1 == 10 and i:
            before, line, prefix, is_same, run = line, i, 0, 1, 0
        above = before + i - line
        over = text[above] if above < line else 10
        contexts[0] = last1
        contexts[1] = last1 | last2 << 8
        contexts[2] = last1 | last2 << 8 | last3 << 16
        contexts[3] = contexts[2] ^ last4 * 0x3D4D51CB
        contexts[4] = over | is_same << 8 | last1 << 9 | min(i - line, 31) << 17
        contexts[5] = prefix
        place = (prefix ^ prefix >> 15) & 65535
        expected = text[recent[place]] if i else 0
        recent[place] = i
        contexts[6] = expected | min(run, 15) << 8
        for k in range(7):
            contexts[k] = (contexts[k] * 0x2F0B4C47 + k * 0x1B873593) & 0x3FFFFFFF
        node = 1
        for j in range(7, -1, -1):
            choice = (is_same << 10 | min(run, 3) << 8 | node) * 7
            total = 0
            for k in range(7):
                place = (contexts[k] + node * 0x2C1B3C6D) & 0x3FFFFFFF
                place = ((place ^ place >> 15) * 0x297A2D39 & 0x3FFFFFFFFFFF) >> 13
                places[k] = (k << bits) + (place & mask)
                inputs[k] = logs[slots[places[k]] >> 17]
                total += weights[choice + k] * inputs[k]
            chance = chances[min(max(total >> 16, -3072), 3072) + 3072]
            chance = min(max(chance, 24), 65536 - 24)
            middle = low + ((high - low) >> 16) * chance
            bit = (1 if code <= middle else 0) if is_decoding else text[i] >> j & 1
            if bit:
                high = middle
            else:
                low = middle + 1
            while (low ^ high) >> 24 == 0:
                if is_decoding:
                    code = (code << 8 & 0xFFFFFFFF) | (coded[at] if at < len(coded) else 0)
                else:
                    coded[at] = high >> 24
                at += 1
                low, high = low << 8 & 0xFFFFFFFF, (high << 8 & 0xFFFFFFFF) | 255
            error = (bit << 16) - chance
            for k in range(7):
                weights[choice + k] += (inputs[k] * error + 8192) >> 14
                slot = slots[places[k]]
                seen = slot & 127
                p = slot >> 7
                p += ((bit << 22) - bit - p) * steps[seen] >> 16
                slots[places[k]] = p << 7 | min(seen + 1, 127)
            node = node << 1 | bit
        byte = node & 255
        if is_decoding:
            text[i] = byte
        run = run + 1 if byte == expected else 0
        if byte != over:
            is_same = 0
        prefix = (prefix * 0x2F0B4C47 + byte + 1) & 0x3FFFFFFF
        last1, last2, last3, last4 = byte, last1, last2, last3
    if not is_decoding:
        for _ in range(4):
            coded[at] = high >> 24
            high = high << 8 & 0xFFFFFFFF
            at += 1
    return at


def _compile() -> Callable[..., int]:
    if njit is None:
        return _code
    try:
        return njit(cache=True)(_code)
    except RuntimeError:  # no folder that the machine code can be kept in
        return njit(_code)


_compiled = _compile()


def pack_text(text: bytes) -> bytes:
    """Code bytes, lines of which are alike; `unpack_text` wants to know how many there were."""
    coded = np.zeros(2 * len(text) + 64, dtype=np.int64)
    values = np.frombuffer(text, dtype=np.uint8).astype(np.int64)
    n = _run(values, coded, False)
    return coded[:n].astype(np.uint8).tobytes()


def unpack_text(coded: bytes, n_bytes: int) -> bytes:
    """Decode so many bytes; ValueError where there were other ones."""
    if n_bytes > MOST_BYTES:
        raise ValueError(f"a text of {n_bytes} bytes is longer than one can be")
    if len(coded) < 4:
        raise ValueError("the text is cut")
    values = np.zeros(n_bytes, dtype=np.int64)
    n = _run(values, np.frombuffer(coded, dtype=np.uint8).astype(np.int64), True)
    if n != len(coded):
        raise ValueError(f"the text ends after {n} of {len(coded)} bytes")
    return values.astype(np.uint8).tobytes()


def _run(text: np.ndarray, coded: np.ndarray, is_decoding: bool) -> int:
    bits = min(_MOST_BITS, max(10, (8 * len(text)).bit_length()))
    slots = np.full(_N_CONTEXTS << bits, _ONE // 2 << 7, dtype=np.int64)
    weights = np.full(2048 * _N_CONTEXTS, 20000, dtype=np.int64)
    arrays = (slots, weights, *(np.array(t, dtype=np.int64) for t in (CHANCES, LOGS, _STEPS)))
    if njit is not None:
        return _compiled(text, coded, is_decoding, bits, *arrays)
    lists = [array.tolist() for array in (text, coded, *arrays)]
    n = _code(lists[0], lists[1], is_decoding, bits, *lists[2:])
    text[:], coded[:] = lists[0], lists[1]
    return n
