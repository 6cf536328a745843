"""The compiled loops that turn cells into words."""

import numpy as np
from numba import njit, uint64

from scpress.archive.loops import FLOOR, predict_means
from scpress.archive.numpy_reader import E_MAX, HEAD_BITS, LANES, VALUE_BITS, ZERO_BITS
from scpress.archive.probabilities import lost_bits, rare_place, table_mean

_32 = uint64(32)
_ZERO_MASK = uint64((1 << ZERO_BITS) - 1)


@njit(inline="always")
def _scaled(part, whole):  # type: ignore[no-untyped-def]
    """`part / whole` of 2^28, rounded down twice."""
    return (part * ((1 << (2 * ZERO_BITS)) // whole)) >> ZERO_BITS


@njit(forceinline=True)
def _symbol(start, size, n_bits):  # type: ignore[no-untyped-def]
    """All that there is to know of a symbol, in one number."""
    return uint64(start) | uint64(size) << uint64(28) | uint64(n_bits) << uint64(57)


@njit(cache=True)
def _note_raw(symbols, at, value, n_bits):  # type: ignore[no-untyped-def]
    """Bits as they are, the lowest first, at most 16 at a time."""
    while n_bits > 0:
        part = min(n_bits, 16)
        symbols[at] = _symbol(value & ((1 << part) - 1), 1, part)
        at += 1
        value >>= part
        n_bits -= part
    return at


@njit(cache=True)
def _note_value(symbols, at, value, row, lost, ranges, pool):  # type: ignore[no-untyped-def]
    """A value above zero."""
    here, n = ranges[row, 0], ranges[row, 1]
    kept = value >> lost
    i = kept - ranges[row, 2]
    if 0 <= i < n:
        start, end = pool[here + i], pool[here + i + 1]
        symbols[at] = _symbol(start, end - start, VALUE_BITS)
        at += 1
    else:
        start = pool[here + n]
        symbols[at] = _symbol(start, (1 << VALUE_BITS) - start, VALUE_BITS)
        at += 1
        length = 0
        while kept >> length:
            length += 1
        at = _note_raw(symbols, at, length, 6)
        at = _note_raw(symbols, at, kept, length)
    if lost:
        at = _note_raw(symbols, at, value & ((1 << lost) - 1), lost)
    return at


@njit(cache=True, nogil=True)
def encode_lane(  # type: ignore[no-untyped-def]
    lane, indptr, indices, data, heads, levels, latents, head_starts, rank, direct, rare, model,
    words,
):  # fmt: skip
    """Words of a lane of a chunk, written backwards from the end of `words`; how many."""
    e_first, nonzero, ranges, _, _, pool = model
    b, base, w = direct
    b_rare, row_rare, survival, _, first_place, first, _, ends = rare
    n_direct, n_rare = b.shape[0], b_rare.shape[0]
    n_cells = indptr.shape[0] - 1
    capacity = n_cells * (heads.shape[1] + n_direct + n_rare + 1)
    capacity += 8 * (indptr[n_cells] - indptr[0])
    symbols = np.empty(capacity, np.uint64)
    at = 0
    row_values = np.zeros(n_direct, np.int64)
    eta, rows = np.empty((LANES, n_direct), np.int32), np.empty((LANES, n_direct), np.uint16)
    both_levels, both = np.empty(LANES, np.int64), np.empty((LANES, latents.shape[1]), np.int64)
    for i in range(lane, n_cells, LANES):
        for k in range(heads.shape[1]):
            symbol = heads[i, k]
            start, end = head_starts[k, symbol], head_starts[k, symbol + 1]
            if end - start < 1 << HEAD_BITS:
                symbols[at] = _symbol(start, end - start, HEAD_BITS)
                at += 1
        level, rare_level = levels[i, 0], levels[i, 1]
        n_cell = indptr[i + 1] - indptr[i]
        ranks = np.empty(n_cell, np.int64)
        n = 0
        for j in range(indptr[i], indptr[i + 1]):
            r = rank[indices[j]]
            if r < n_direct:
                row_values[r] = data[j]
            else:
                # Both in one number, to be sorted by the rank.
                ranks[n] = ((r - n_direct) << 32) | data[j]
                n += 1
        values = np.empty(n_cell, np.int64)
        value_rows = np.empty(n_cell, np.int64)
        value_lost = np.empty(n_cell, np.int64)
        n_values = 0
        both_levels[:] = level
        both[:] = latents[i]
        predict_means(both_levels, b, base, w, both, e_first, eta, rows)
        for d in range(n_direct):
            f = np.int64(nonzero[rows[0, d]])
            z = (1 << ZERO_BITS) - f
            if row_values[d] == 0:
                symbols[at] = _symbol(0, z, ZERO_BITS)
                at += 1
            else:
                symbols[at] = _symbol(z, f, ZERO_BITS)
                at += 1
                values[n_values] = row_values[d]
                value_rows[n_values] = rows[0, d]
                value_lost[n_values] = lost_bits(eta[0, d])
                n_values += 1
                row_values[d] = 0
        ordered = np.sort(ranks[:n])
        place = rare_place(rare_level) - first_place
        j = 0
        begin = 0
        for block in range(first[place], first[place + 1]):
            left = survival[block]
            end = ends[block]
            c = begin
            while c < end:
                whole = np.int64(left[c - begin])
                if j < n and ordered[j] >> 32 < end:
                    r = ordered[j] >> 32
                    start = _scaled(left[r + 1 - begin], whole)
                    stop = 1 << ZERO_BITS
                    if r > c:
                        stop = _scaled(left[r - begin], whole)
                    symbols[at] = _symbol(start, stop - start, ZERO_BITS)
                    at += 1
                    e = min(max(rare_level + b_rare[r], e_first), E_MAX)
                    values[n_values] = ordered[j] & 0xFFFFFFFF
                    value_rows[n_values] = row_rare[r] + table_mean(e)
                    value_lost[n_values] = lost_bits(e)
                    n_values += 1
                    j += 1
                    c = r + 1
                else:
                    size = _scaled(left[end - begin], whole)
                    symbols[at] = _symbol(0, size, ZERO_BITS)
                    at += 1
                    break
            begin = end
        for j in range(n_values):
            at = _note_value(symbols, at, values[j], value_rows[j], value_lost[j], ranges, pool)
    return push(symbols, at, words)


@njit(cache=True, nogil=True)
def push(symbols, n, words):  # type: ignore[no-untyped-def]
    """Push the symbols, the last one first, so that they are popped in order."""
    state = FLOOR
    at = words.shape[0]
    for i in range(n - 1, -1, -1):
        size = (symbols[i] >> uint64(28)) & uint64((1 << 29) - 1)
        n_bits = symbols[i] >> uint64(57)
        if state >= size << (uint64(64) - n_bits):
            at -= 1
            words[at] = np.uint32(state & uint64(0xFFFFFFFF))
            state >>= _32
        state = ((state // size) << n_bits) + state % size + (symbols[i] & _ZERO_MASK)
    words[at - 1] = np.uint32(state >> _32)
    words[at - 2] = np.uint32(state & uint64(0xFFFFFFFF))
    return words.shape[0] - at + 2
