"""The compiled loops that turn words back into cells."""

import numpy as np
from numba import njit, uint64

from scpress.archive.numpy_reader import E_MAX, HEAD_BITS, LANES, VALUE_BITS, ZERO_BITS
from scpress.archive.probabilities import (
    BLOCK_PLACES,
    GUIDE_SHIFT,
    NEXT_PLACES,
    lost_bits,
    rare_level_of,
    rare_place,
    table_mean,
)  # fmt: skip

# The coder's state is at least this between two symbols; it begins and ends with it.
FLOOR = uint64(1 << 32)
_32 = uint64(32)
_ONE = uint64(1 << (2 * ZERO_BITS))
_ZERO_BITS, _VALUE_BITS = uint64(ZERO_BITS), uint64(VALUE_BITS)
_ZERO_MASK, _VALUE_MASK = uint64((1 << ZERO_BITS) - 1), uint64((1 << VALUE_BITS) - 1)
_HEAD_BITS, _HEAD_MASK = uint64(HEAD_BITS), uint64((1 << HEAD_BITS) - 1)
# Why a chunk does not decode.
OK, TOO_SHORT, TOO_LONG, WRONG_END, WRONG_COUNT, TOO_LARGE = range(6)

# Arrays are handed to functions a few times a cell, and to none in an inner loop: numba counts the
# references to them at each call, and that took four times the work itself.


@njit(cache=True)
def predict_means(levels, b, base, w, latents, e_first, eta, rows):  # type: ignore[no-untyped-def]
    """Log2 means, in sixteenths, of the genes that are coded one by one, and their tables.

    Of two cells at once: [2, genes]. `base` is where the tables of a gene begin, less `e_first`.
    """
    lowest, highest = np.int32(e_first), np.int32(E_MAX)
    level_a, level_b = np.int32(levels[0]), np.int32(levels[1])
    for d in range(b.shape[0]):
        eta[0, d] = level_a + b[d]
        eta[1, d] = level_b + b[d]
    for k in range(w.shape[0]):
        z_a, z_b = np.int32(latents[0, k]), np.int32(latents[1, k])
        for d in range(w.shape[1]):
            eta[0, d] = np.int32(eta[0, d] + np.int32(z_a * w[k, d]))
            eta[1, d] = np.int32(eta[1, d] + np.int32(z_b * w[k, d]))
    for d in range(b.shape[0]):
        e_a = min(max(eta[0, d], lowest), highest)
        e_b = min(max(eta[1, d], lowest), highest)
        eta[0, d], eta[1, d] = e_a, e_b
        rows[0, d] = np.int32(base[d] + table_mean(e_a))
        rows[1, d] = np.int32(base[d] + table_mean(e_b))


# The two lanes of a chunk are decoded in turn, a symbol of one and then one of the other: each
# waits for its own last symbol, and the processor does both at once. What cannot be foreseen is
# chosen, not branched on. A damaged chunk may ask for more words than there are; what it gets
# instead does not matter, for it is noticed.


@njit(cache=True)
def _pop_raw(state, words, at, step, n_bits):  # type: ignore[no-untyped-def]
    value = np.int64(0)
    shift = 0
    while n_bits > 0:
        part = min(n_bits, 16)
        value |= np.int64(state & uint64((1 << part) - 1)) << shift
        state >>= uint64(part)
        if state < FLOOR:
            state = (state << _32) | uint64(words[min(max(at, 0), words.shape[0] - 1)])
            at += step
        shift += part
        n_bits -= part
    return value, state, at


@njit(cache=True)
def _pop_flags(states, words, places, nonzero, rows, found):  # type: ignore[no-untyped-def]
    """Which of the genes that are coded one by one have a count, of both lanes; how many."""
    state_a, state_b = states
    at_a, at_b = places
    last = words.shape[0] - 1
    n_a, n_b = 0, 0
    for d in range(rows.shape[1]):
        f = uint64(nonzero[rows[0, d]])
        z = uint64(1 << ZERO_BITS) - f
        slot = state_a & _ZERO_MASK
        is_found = slot >= z
        found[0, n_a] = d
        n_a += is_found
        size, start = (f, z) if is_found else (z, uint64(0))
        state_a = size * (state_a >> _ZERO_BITS) + (slot - start)
        if state_a < FLOOR:
            state_a = (state_a << _32) | uint64(words[min(at_a, last)])
            at_a += 1
        f = uint64(nonzero[rows[1, d]])
        z = uint64(1 << ZERO_BITS) - f
        slot = state_b & _ZERO_MASK
        is_found = slot >= z
        found[1, n_b] = d
        n_b += is_found
        size, start = (f, z) if is_found else (z, uint64(0))
        state_b = size * (state_b >> _ZERO_BITS) + (slot - start)
        if state_b < FLOOR:
            state_b = (state_b << _32) | uint64(words[max(at_b, 0)])
            at_b -= 1
    return (n_a, n_b), (state_a, state_b), (at_a, at_b)


@njit(cache=True)
def _pop_rare(  # type: ignore[no-untyped-def]
    states, words, places, survival, begins, ends, blocks, n_direct, n, found
):
    """Which of the rare genes have a count, block by block, after the `n` that were found."""
    state_a, state_b = states
    at_a, at_b = places
    last = words.shape[0] - 1
    n_a, n_b = n
    (a, last_a), (b, last_b) = blocks
    c_a, c_b = np.int64(0), np.int64(0)
    while a < last_a or b < last_b:
        if a < last_a:
            whole = uint64(survival[a, c_a])
            scale = _ONE // whole
            slot = state_a & _ZERO_MASK
            # All places are compared with what is left, which is quicker than a search; the last
            # that has more is the next with a count, or behind all genes. Rounding may be one off.
            level = np.int32((slot * whole) >> _ZERO_BITS)
            above = np.int32(0)
            for k in range(BLOCK_PLACES):
                above = np.int32(above + np.int32(survival[a, k] > level))
            r = np.int64(above) - 1
            start = (uint64(survival[a, r + 1]) * scale) >> _ZERO_BITS
            while slot < start:
                r += 1
                start = (uint64(survival[a, r + 1]) * scale) >> _ZERO_BITS
            stop = (uint64(survival[a, r]) * scale) >> _ZERO_BITS
            stop = stop if r > c_a else uint64(1 << ZERO_BITS)
            while slot >= stop:
                r -= 1
                start = stop
                stop = (uint64(survival[a, r]) * scale) >> _ZERO_BITS
                stop = stop if r > c_a else uint64(1 << ZERO_BITS)
            state_a = (stop - start) * (state_a >> _ZERO_BITS) + (slot - start)
            if state_a < FLOOR:
                state_a = (state_a << _32) | uint64(words[min(at_a, last)])
                at_a += 1
            gene = begins[a] + r
            found[0, n_a] = n_direct + gene
            n_a += gene < ends[a]
            is_over = gene + 1 >= ends[a]
            a += is_over
            c_a = np.int64(0) if is_over else r + 1
        if b < last_b:
            whole = uint64(survival[b, c_b])
            scale = _ONE // whole
            slot = state_b & _ZERO_MASK
            # All places are compared with what is left, which is quicker than a search; the last
            # that has more is the next with a count, or behind all genes. Rounding may be one off.
            level = np.int32((slot * whole) >> _ZERO_BITS)
            above = np.int32(0)
            for k in range(BLOCK_PLACES):
                above = np.int32(above + np.int32(survival[b, k] > level))
            r = np.int64(above) - 1
            start = (uint64(survival[b, r + 1]) * scale) >> _ZERO_BITS
            while slot < start:
                r += 1
                start = (uint64(survival[b, r + 1]) * scale) >> _ZERO_BITS
            stop = (uint64(survival[b, r]) * scale) >> _ZERO_BITS
            stop = stop if r > c_b else uint64(1 << ZERO_BITS)
            while slot >= stop:
                r -= 1
                start = stop
                stop = (uint64(survival[b, r]) * scale) >> _ZERO_BITS
                stop = stop if r > c_b else uint64(1 << ZERO_BITS)
            state_b = (stop - start) * (state_b >> _ZERO_BITS) + (slot - start)
            if state_b < FLOOR:
                state_b = (state_b << _32) | uint64(words[max(at_b, 0)])
                at_b -= 1
            gene = begins[b] + r
            found[1, n_b] = n_direct + gene
            n_b += gene < ends[b]
            is_over = gene + 1 >= ends[b]
            b += is_over
            c_b = np.int64(0) if is_over else r + 1
    return (n_a, n_b), (state_a, state_b), (at_a, at_b)


@njit(cache=True)
def _pop_values(  # type: ignore[no-untyped-def]
    states, words, places, n, ranges, guide, pool, rows, lost, values
):
    """The values above zero of all counts of a cell of each lane."""
    state_a, state_b = states
    at_a, at_b = places
    last = words.shape[0] - 1
    n_a, n_b = n
    for j in range(max(n_a, n_b)):
        if j < n_a:
            row = rows[0, j]
            here, n_kept = ranges[row, 0], ranges[row, 1]
            slot = np.int32(state_a & _VALUE_MASK)
            # From where its upper bits say, the next places are all compared.
            i = guide[row, slot >> GUIDE_SHIFT]
            more = np.int32(0)
            for k in range(1, NEXT_PLACES + 1):
                more = np.int32(more + np.int32(pool[here + i + k] <= slot))
            i = np.int32(i + more)
            if more == NEXT_PLACES:
                while pool[here + i + 1] <= slot:
                    i = np.int32(i + 1)
            start, stop = pool[here + i], pool[here + i + 1]
            state_a = uint64(stop - start) * (state_a >> _VALUE_BITS) + uint64(slot - start)
            if state_a < FLOOR:
                state_a = (state_a << _32) | uint64(words[min(at_a, last)])
                at_a += 1
            value = np.int64(ranges[row, 2] + i)
            if i == n_kept:
                length, state_a, at_a = _pop_raw(state_a, words, at_a, 1, 6)
                value, state_a, at_a = _pop_raw(state_a, words, at_a, 1, length)
            if lost[0, j]:
                rest, state_a, at_a = _pop_raw(state_a, words, at_a, 1, lost[0, j])
                value = (value << lost[0, j]) | rest
            values[0, j] = value
        if j < n_b:
            row = rows[1, j]
            here, n_kept = ranges[row, 0], ranges[row, 1]
            slot = np.int32(state_b & _VALUE_MASK)
            # From where its upper bits say, the next places are all compared.
            i = guide[row, slot >> GUIDE_SHIFT]
            more = np.int32(0)
            for k in range(1, NEXT_PLACES + 1):
                more = np.int32(more + np.int32(pool[here + i + k] <= slot))
            i = np.int32(i + more)
            if more == NEXT_PLACES:
                while pool[here + i + 1] <= slot:
                    i = np.int32(i + 1)
            start, stop = pool[here + i], pool[here + i + 1]
            state_b = uint64(stop - start) * (state_b >> _VALUE_BITS) + uint64(slot - start)
            if state_b < FLOOR:
                state_b = (state_b << _32) | uint64(words[max(at_b, 0)])
                at_b -= 1
            value = np.int64(ranges[row, 2] + i)
            if i == n_kept:
                length, state_b, at_b = _pop_raw(state_b, words, at_b, -1, 6)
                value, state_b, at_b = _pop_raw(state_b, words, at_b, -1, length)
            if lost[1, j]:
                rest, state_b, at_b = _pop_raw(state_b, words, at_b, -1, lost[1, j])
                value = (value << lost[1, j]) | rest
            values[1, j] = value
    return (state_a, state_b), (at_a, at_b)


# Where the lowest bit of a word is set, by a de Bruijn sequence.
_DE_BRUIJN = uint64(0x03F79D71B4CB0A89)
_PLACES = np.zeros(64, np.uint8)
for _place in range(64):
    _PLACES[((0x03F79D71B4CB0A89 << _place) & 0xFFFFFFFFFFFFFFFF) >> 58] = _place


@njit(cache=True, nogil=True)
def decode_chunk(  # type: ignore[no-untyped-def]
    words, n_cells, head_starts, head_values, genes, direct, rare, model,
    dense, indptr, indices, data,
):  # fmt: skip
    """Cells of a chunk, as CSR into `indptr`, `indices` and `data`; why it could not be done.

    `dense` [genes] is room to work in.
    """
    e_first, nonzero, ranges, guide, pool = model
    b, base, w = direct
    b_rare, row_rare, survival, first_place, first, begins, ends = rare
    n_direct = b.shape[0]
    n_words = words.shape[0]
    if n_words < 2 * LANES:
        return TOO_SHORT
    states = (
        uint64(words[1]) << _32 | uint64(words[0]),
        uint64(words[n_words - 2]) << _32 | uint64(words[n_words - 1]),
    )
    places = 2, n_words - 3
    n_heads = head_starts.shape[0]
    heads = np.zeros((LANES, n_heads), np.int64)
    eta, rows = np.empty((LANES, n_direct), np.int32), np.empty((LANES, n_direct), np.int32)
    n_genes = genes.shape[0]
    found = np.empty((LANES, n_genes + 1), np.int32)
    value_rows, lost = np.empty((LANES, n_genes), np.int32), np.empty((LANES, n_genes), np.uint8)
    values = np.empty((LANES, n_genes), np.int64)
    seen = np.zeros((dense.shape[0] >> 6) + 1, np.uint64)
    rare_levels, blocks = np.empty(LANES, np.int64), np.empty((LANES, 2), np.int64)
    capacity = data.shape[0]
    filled = 0
    indptr[0] = 0
    for i in range(0, n_cells, LANES):
        # The last cell may have none beside it: the other lane then goes on as if there were one,
        # and what comes of it is left alone.
        is_pair = i + 1 < n_cells
        last_state, last_place = states[1], places[1]
        for lane in range(LANES):
            state, at, step = states[lane], places[lane], 1 - 2 * lane
            for k in range(n_heads):
                symbol = 0
                slot = np.int64(state & _HEAD_MASK)
                while head_starts[k, symbol + 1] <= slot:
                    symbol += 1
                start, stop = head_starts[k, symbol], head_starts[k, symbol + 1]
                if stop - start < 1 << HEAD_BITS:
                    state = uint64(stop - start) * (state >> _HEAD_BITS) + uint64(slot - start)
                    if state < FLOOR:
                        state = (state << _32) | uint64(words[min(max(at, 0), n_words - 1)])
                        at += step
                heads[lane, k] = head_values[k, symbol]
            states = (state, states[1]) if lane == 0 else (states[0], state)
            places = (at, places[1]) if lane == 0 else (places[0], at)
            rare_levels[lane] = rare_level_of(heads[lane, 0], heads[lane, 1])
            place = rare_place(rare_levels[lane]) - first_place
            blocks[lane, 0], blocks[lane, 1] = first[place], first[place + 1]
        predict_means(heads[:, 0], b, base, w, heads[:, 2:], e_first, eta, rows)
        n, states, places = _pop_flags(states, words, places, nonzero, rows, found)
        n_by_one = n
        both = (blocks[0, 0], blocks[0, 1]), (blocks[1, 0], blocks[1, 1])
        n, states, places = _pop_rare(
            states, words, places, survival, begins, ends, both, n_direct, n, found
        )
        if filled + n[0] + is_pair * n[1] > capacity:
            return WRONG_COUNT
        for lane in range(LANES):
            for j in range(n_by_one[lane]):
                r = found[lane, j]
                value_rows[lane, j], lost[lane, j] = rows[lane, r], lost_bits(eta[lane, r])
            for j in range(n_by_one[lane], n[lane]):
                r = found[lane, j] - n_direct
                e = min(max(rare_levels[lane] + b_rare[r], e_first), E_MAX)
                value_rows[lane, j], lost[lane, j] = row_rare[r] + table_mean(e), lost_bits(e)
        states, places = _pop_values(
            states, words, places, n, ranges, guide, pool, value_rows, lost, values
        )
        if not is_pair:
            states, places = (states[0], last_state), (places[0], last_place)
        if places[0] > places[1] + 1:
            return TOO_SHORT
        for lane in range(1 + is_pair):
            for j in range(n[lane]):
                value = values[lane, j]
                if not 0 < value <= 0x7FFFFFFF:
                    return TOO_LARGE
                gene = genes[found[lane, j]]
                dense[gene] = value
                seen[gene >> 6] |= uint64(1) << uint64(gene & 63)
            for word in range(seen.shape[0]):
                bits = seen[word]
                while bits:
                    lowest = bits & (~bits + uint64(1))
                    gene = (word << 6) + _PLACES[(lowest * _DE_BRUIJN) >> uint64(58)]
                    indices[filled] = gene
                    data[filled] = dense[gene]
                    filled += 1
                    bits ^= lowest
                seen[word] = uint64(0)
            indptr[i + lane + 1] = filled
    if places[0] < places[1] + 1:
        return TOO_LONG
    if states[0] != FLOOR or states[1] != FLOOR:
        return WRONG_END
    return OK if filled == capacity else WRONG_COUNT
