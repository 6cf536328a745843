"""The compiled loops that turn words back into cells."""

import numpy as np
from numba import njit, uint64

from scpress.archive.bits import (
    count_8_above,
    count_16_above,
    count_16_below,
    count_bits,
    prefetch,
)
from scpress.archive.numpy_reader import E_MAX, HEAD_BITS, LANES, VALUE_BITS, ZERO_BITS
from scpress.archive.probabilities import (
    BLOCK_GROUPS,
    GROUP_PLACES,
    GUIDE_SHIFT,
    NEAR_PLACES,
    NEVER,
    NEXT_PLACES,
    lost_bits,
    rare_level_of,
    rare_place,
    table_mean,
)  # fmt: skip

# The coder's state is at least this between two symbols; it begins and ends with it.
FLOOR = uint64(1 << 32)
_5, _32, _BIT = uint64(5), uint64(32), uint64(1)
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
        rows[0, d] = np.uint16(base[d] + table_mean(e_a))
        rows[1, d] = np.uint16(base[d] + table_mean(e_b))


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
def _pop_rare(states, words, places, rare, blocks, n_direct, n, found):  # type: ignore[no-untyped-def]
    """Which of the rare genes have a count, block by block, after the `n` that were found."""
    _, _, survival, group_ends, _, _, begins, ends = rare
    n_groups, group_places = uint64(BLOCK_GROUPS), uint64(GROUP_PLACES)
    groups = survival.reshape(-1, GROUP_PLACES)
    state_a, state_b = states
    at_a, at_b = places
    last = words.shape[0] - 1
    n_a, n_b = n
    (a, last_a), (b, last_b) = blocks
    c_a, c_b = uint64(0), uint64(0)
    # All blocks of all levels are more than the nearer caches hold: the next one is asked for. A
    # symbol here takes several bits: whether a word is due cannot be foreseen, and is computed.
    while a < last_a or b < last_b:
        if a < last_a:
            whole = uint64(survival[a, c_a])
            prefetch(group_ends, a + _BIT)
            for k in range(BLOCK_GROUPS):
                prefetch(groups, (a + _BIT) * n_groups + uint64(k))
            scale = _ONE // whole
            slot = state_a & _ZERO_MASK
            # The last place that has more than is left is the next with a count, or behind all
            # genes: first in which group of places it is. Rounding may be one off.
            level = np.int32((slot * whole) >> _ZERO_BITS)
            group = count_8_above(group_ends, a, level)
            r = count_16_above(groups, a * n_groups + group, level)
            r += group * group_places - _BIT
            start = (uint64(survival[a, r + _BIT]) * scale) >> _ZERO_BITS
            while slot < start:
                r += _BIT
                start = (uint64(survival[a, r + _BIT]) * scale) >> _ZERO_BITS
            is_first = uint64(r <= c_a)
            stop = (uint64(survival[a, r]) * scale) >> _ZERO_BITS
            stop = stop * (_BIT - is_first) | is_first << _ZERO_BITS
            while slot >= stop:
                r -= _BIT
                start = stop
                stop = (uint64(survival[a, r]) * scale) >> _ZERO_BITS
                stop = stop if r > c_a else uint64(1 << ZERO_BITS)
            state_a = (stop - start) * (state_a >> _ZERO_BITS) + (slot - start)
            is_low = uint64(state_a < FLOOR)
            state_a = (state_a << (is_low << _5)) | (uint64(words[min(at_a, last)]) * is_low)
            at_a += np.int64(is_low)
            gene, end = uint64(begins[a]) + r, uint64(ends[a])
            found[0, n_a] = n_direct + gene
            n_a += gene < end
            is_over = gene + _BIT >= end
            a += uint64(is_over)
            c_a = uint64(0) if is_over else r + _BIT
        if b < last_b:
            whole = uint64(survival[b, c_b])
            prefetch(group_ends, b + _BIT)
            for k in range(BLOCK_GROUPS):
                prefetch(groups, (b + _BIT) * n_groups + uint64(k))
            scale = _ONE // whole
            slot = state_b & _ZERO_MASK
            # The last place that has more than is left is the next with a count, or behind all
            # genes: first in which group of places it is. Rounding may be one off.
            level = np.int32((slot * whole) >> _ZERO_BITS)
            group = count_8_above(group_ends, b, level)
            r = count_16_above(groups, b * n_groups + group, level)
            r += group * group_places - _BIT
            start = (uint64(survival[b, r + _BIT]) * scale) >> _ZERO_BITS
            while slot < start:
                r += _BIT
                start = (uint64(survival[b, r + _BIT]) * scale) >> _ZERO_BITS
            is_first = uint64(r <= c_b)
            stop = (uint64(survival[b, r]) * scale) >> _ZERO_BITS
            stop = stop * (_BIT - is_first) | is_first << _ZERO_BITS
            while slot >= stop:
                r -= _BIT
                start = stop
                stop = (uint64(survival[b, r]) * scale) >> _ZERO_BITS
                stop = stop if r > c_b else uint64(1 << ZERO_BITS)
            state_b = (stop - start) * (state_b >> _ZERO_BITS) + (slot - start)
            is_low = uint64(state_b < FLOOR)
            state_b = (state_b << (is_low << _5)) | (uint64(words[max(at_b, 0)]) * is_low)
            at_b -= np.int64(is_low)
            gene, end = uint64(begins[b]) + r, uint64(ends[b])
            found[1, n_b] = n_direct + gene
            n_b += gene < end
            is_over = gene + _BIT >= end
            b += uint64(is_over)
            c_b = uint64(0) if is_over else r + _BIT
    return (n_a, n_b), (state_a, state_b), (at_a, at_b)


@njit(forceinline=True)
def _pop_far(state, words, at, step, row, e, model):  # type: ignore[no-untyped-def]
    """A value that is not among the first ones of its table, or loses bits or escapes."""
    _, _, ranges, _, guide, pool = model
    slot = np.int32(state & _VALUE_MASK)
    here, n_kept = ranges[row, 0], ranges[row, 1]
    # From where its upper bits say, the next places are all compared.
    i = guide[row, slot >> GUIDE_SHIFT]
    after = np.int32(0)
    for k in range(1, NEXT_PLACES + 1):
        after = np.int32(after + np.int32(pool[here + i + k] <= slot))
    i = np.int32(i + after)
    if after == NEXT_PLACES:
        while pool[here + i + 1] <= slot:
            i = np.int32(i + 1)
    start, stop = pool[here + i], pool[here + i + 1]
    state = uint64(stop - start) * (state >> _VALUE_BITS) + uint64(slot - start)
    if state < FLOOR:
        state = (state << _32) | uint64(words[min(max(at, 0), words.shape[0] - 1)])
        at += step
    value = np.int64(ranges[row, 2] + i)
    if i == n_kept:
        length, state, at = _pop_raw(state, words, at, step, 6)
        value, state, at = _pop_raw(state, words, at, step, length)
    lost = lost_bits(min(e, E_MAX))
    if lost:
        rest, state, at = _pop_raw(state, words, at, step, lost)
        value = (value << lost) | rest
    return value, state, at


@njit(cache=True)
def _pop_values(  # type: ignore[no-untyped-def]
    states, words, places, n, model, rows, found, eta, rare_levels, b_rare, values, is_wrong
):
    """The values above zero of all counts of a cell of each lane."""
    near = model[3]
    state_a, state_b = states
    at_a, at_b = places
    last = words.shape[0] - 1
    n_a, n_b = n
    n_direct = eta.shape[1]
    for j in range(max(n_a, n_b)):
        if j < n_a:
            row = rows[0, j]
            slot = np.int32(state_a & _VALUE_MASK)
            more = count_16_below(near, uint64(row), np.uint16(slot))
            if more < uint64(NEAR_PLACES - 1) and slot != NEVER and near[row, 0] == NEVER:
                start = np.uint16(near[row, more] + 1)
                size = np.uint16(near[row, more + _BIT] + 1 - start)
                state_a = uint64(size) * (state_a >> _VALUE_BITS) + uint64(slot - start)
                if state_a < FLOOR:
                    state_a = (state_a << _32) | uint64(words[min(at_a, last)])
                    at_a += 1
                values[0, j] = more + _BIT
            else:
                r = found[0, j]
                e = eta[0, r] if r < n_direct else rare_levels[0] + b_rare[r - n_direct]
                value, state_a, at_a = _pop_far(state_a, words, at_a, 1, row, e, model)
                is_wrong[0] |= not 0 < value <= 0x7FFFFFFF
                values[0, j] = value
        if j < n_b:
            row = rows[1, j]
            slot = np.int32(state_b & _VALUE_MASK)
            more = count_16_below(near, uint64(row), np.uint16(slot))
            if more < uint64(NEAR_PLACES - 1) and slot != NEVER and near[row, 0] == NEVER:
                start = np.uint16(near[row, more] + 1)
                size = np.uint16(near[row, more + _BIT] + 1 - start)
                state_b = uint64(size) * (state_b >> _VALUE_BITS) + uint64(slot - start)
                if state_b < FLOOR:
                    state_b = (state_b << _32) | uint64(words[max(at_b, 0)])
                    at_b -= 1
                values[1, j] = more + _BIT
            else:
                r = found[1, j]
                e = eta[1, r] if r < n_direct else rare_levels[1] + b_rare[r - n_direct]
                value, state_b, at_b = _pop_far(state_b, words, at_b, -1, row, e, model)
                is_wrong[1] |= not 0 < value <= 0x7FFFFFFF
                values[1, j] = value
    return (state_a, state_b), (at_a, at_b)


@njit(cache=True, nogil=True)
def decode_chunks(  # type: ignore[no-untyped-def]
    words, word_at, cell_at, at, head_starts, head_values, genes, direct, rare, model,
    n_vars, indptr, indices, data,
):  # fmt: skip
    """Cells of chunks, as CSR into `indptr`, `indices` and `data`; why it could not be done.

    Where the words, cells and counts of each chunk begin and the last ones end is in `word_at`,
    `cell_at` and `at`, of which the words alone are counted from the first of these chunks.
    """
    for i in range(len(word_at) - 1):
        here = slice(at[i], at[i + 1])
        ends = indptr[cell_at[i] + 1 : cell_at[i + 1] + 1]
        problem = _decode_chunk(
            words[word_at[i] : word_at[i + 1]], head_starts, head_values,
            genes, direct, rare, model, n_vars, at[i], ends, indices[here], data[here],
        )  # fmt: skip
        if problem != OK:
            return problem
    return OK


@njit(cache=True)
def _decode_chunk(  # type: ignore[no-untyped-def]
    words, head_starts, head_values, genes, direct, rare, model,
    n_vars, begin, ends, indices, data,
):  # fmt: skip
    """Cells of a chunk; `ends` are those of its cells, before which there are `begin` counts."""
    e_first, nonzero, _, _, _, _ = model
    b, base, w = direct
    b_rare, row_rare, _, _, first_place, first, _, _ = rare
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
    eta, rows = np.empty((LANES, n_direct), np.int32), np.empty((LANES, n_direct), np.uint16)
    n_genes = genes.shape[0]
    found = np.empty((LANES, n_genes + 1), np.uint32)
    value_rows = np.empty((LANES, n_genes), np.uint16)
    values = np.empty((LANES, n_genes), np.int32)
    is_wrong = np.zeros(LANES, np.bool_)
    # Bit by bit which genes a cell has, and how many it has before each word.
    seen, before = np.empty((n_vars >> 6) + 1, np.uint64), np.empty((n_vars >> 6) + 1, np.int64)
    rare_levels, blocks = np.empty(LANES, np.int64), np.empty((LANES, 2), np.uint64)
    capacity = data.shape[0]
    filled = 0
    n_cells = ends.shape[0]
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
        n, states, places = _pop_rare(
            states, words, places, rare,
            ((blocks[0, 0], blocks[0, 1]), (blocks[1, 0], blocks[1, 1])),
            uint64(n_direct), n, found,
        )  # fmt: skip
        if filled + n[0] + is_pair * n[1] > capacity:
            return WRONG_COUNT
        for lane in range(LANES):
            for j in range(n_by_one[lane]):
                r = found[lane, j]
                value_rows[lane, j] = rows[lane, r]
            for j in range(n_by_one[lane], n[lane]):
                r = uint64(found[lane, j]) - uint64(n_direct)
                e = min(max(rare_levels[lane] + b_rare[r], e_first), E_MAX)
                value_rows[lane, j] = row_rare[r] + table_mean(e)
        states, places = _pop_values(
            states, words, places, n, model, value_rows, found, eta, rare_levels, b_rare, values,
            is_wrong,
        )  # fmt: skip
        if not is_pair:
            states, places = (states[0], last_state), (places[0], last_place)
        if places[0] > places[1] + 1:
            return TOO_SHORT
        for lane in range(1 + is_pair):
            if is_wrong[lane]:
                return TOO_LARGE
            seen[:] = uint64(0)
            for j in range(n[lane]):
                gene = genes[found[lane, j]]
                seen[gene >> 6] |= _BIT << uint64(gene & 63)
            for word in range(seen.shape[0]):
                before[word] = filled
                filled += count_bits(seen[word])
            # A gene goes behind those with a lower number, of which there are so many.
            for j in range(n[lane]):
                gene = genes[found[lane, j]]
                lower = (_BIT << uint64(gene & 63)) - _BIT
                at = before[gene >> 6] + count_bits(seen[gene >> 6] & lower)
                indices[at] = gene
                data[at] = values[lane, j]
            ends[i + lane] = begin + filled
    if places[0] < places[1] + 1:
        return TOO_LONG
    if states[0] != FLOOR or states[1] != FLOOR:
        return WRONG_END
    return OK if filled == capacity else WRONG_COUNT
