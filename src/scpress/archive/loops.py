"""The compiled loops that turn cells into words and back."""

import numpy as np
from numba import njit, uint64

from scpress.archive.numpy_reader import E_MAX, HEAD_BITS, VALUE_BITS, ZERO_BITS
from scpress.archive.probabilities import GUIDE, GUIDE_SHIFT, lost_bits, table_mean

# The coder's state is at least this between two symbols; it begins and ends with it.
FLOOR = uint64(1 << 32)
_32 = uint64(32)
_ONE = uint64(1 << (2 * ZERO_BITS))
_ZERO_BITS, _VALUE_BITS = uint64(ZERO_BITS), uint64(VALUE_BITS)
_ZERO_MASK, _VALUE_MASK = uint64((1 << ZERO_BITS) - 1), uint64((1 << VALUE_BITS) - 1)
_HEAD_BITS, _HEAD_MASK = uint64(HEAD_BITS), uint64((1 << HEAD_BITS) - 1)
# Why a chunk does not decode.
OK, TOO_SHORT, TOO_LONG, WRONG_END, WRONG_COUNT, TOO_LARGE = range(6)


@njit(inline="always")
def _scaled(part, whole):  # type: ignore[no-untyped-def]
    """`part / whole` of 2^28, rounded down twice."""
    return (part * ((1 << (2 * ZERO_BITS)) // whole)) >> ZERO_BITS


# to words ----------------------------------------------------------------------------------------


@njit(inline="always")
def _note(starts, sizes, bits, at, start, size, n_bits):  # type: ignore[no-untyped-def]
    starts[at] = start
    sizes[at] = size
    bits[at] = n_bits
    return at + 1


@njit(cache=True)
def _note_raw(starts, sizes, bits, at, value, n_bits):  # type: ignore[no-untyped-def]
    """Bits as they are, the lowest first, at most 16 at a time."""
    while n_bits > 0:
        part = min(n_bits, 16)
        at = _note(starts, sizes, bits, at, value & ((1 << part) - 1), 1, part)
        value >>= part
        n_bits -= part
    return at


@njit(cache=True)
def _note_value(starts, sizes, bits, at, value, row, lost, tables):  # type: ignore[no-untyped-def]
    """A value above zero."""
    ranges, pool = tables
    here, n = ranges[row, 0], ranges[row, 1]
    kept = value >> lost
    i = kept - ranges[row, 2]
    if 0 <= i < n:
        start, end = pool[here + i], pool[here + i + 1]
        at = _note(starts, sizes, bits, at, start, end - start, VALUE_BITS)
    else:
        start = pool[here + n]
        at = _note(starts, sizes, bits, at, start, (1 << VALUE_BITS) - start, VALUE_BITS)
        length = 0
        while kept >> length:
            length += 1
        at = _note_raw(starts, sizes, bits, at, length, 6)
        at = _note_raw(starts, sizes, bits, at, kept, length)
    return _note_raw(starts, sizes, bits, at, value & ((1 << lost) - 1), lost)


@njit(cache=True, nogil=True)
def encode_chunk(  # type: ignore[no-untyped-def]
    indptr, indices, data, heads, levels, latents, head_starts, rank, direct, rare, model, words
):
    """Words of a chunk of cells, written backwards from the end of `words`; how many."""
    n_e, e_first, nonzero, ranges, pool = model
    tables = (ranges, pool)
    b, t, w = direct
    b_rare, t_rare, survival, survival_first, ends, ends_first, _ = rare
    n_direct, n_rare = b.shape[0], b_rare.shape[0]
    n_cells = indptr.shape[0] - 1
    capacity = n_cells * (heads.shape[1] + n_direct + n_rare + 1)
    capacity += 8 * (indptr[n_cells] - indptr[0])
    starts = np.empty(capacity, np.uint32)
    sizes = np.empty(capacity, np.uint32)
    bits = np.empty(capacity, np.uint8)
    at = 0
    row_values = np.zeros(n_direct, np.int64)
    eta = np.empty(n_direct, np.int32)
    rows = np.empty(n_direct, np.int32)
    for i in range(n_cells):
        for k in range(heads.shape[1]):
            symbol = heads[i, k]
            start, end = head_starts[k, symbol], head_starts[k, symbol + 1]
            if end - start < 1 << HEAD_BITS:
                at = _note(starts, sizes, bits, at, start, end - start, HEAD_BITS)
        level = levels[i]
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
        _predict(level, b, t, w, latents[i], n_e, e_first, eta, rows)
        for d in range(n_direct):
            f = nonzero[rows[d]]
            z = (1 << ZERO_BITS) - f
            if row_values[d] == 0:
                at = _note(starts, sizes, bits, at, 0, z, ZERO_BITS)
            else:
                at = _note(starts, sizes, bits, at, z, f, ZERO_BITS)
                values[n_values] = row_values[d]
                value_rows[n_values] = rows[d]
                value_lost[n_values] = lost_bits(eta[d])
                n_values += 1
                row_values[d] = 0
        ordered = np.sort(ranks[:n])
        place = heads[i, 0]
        g = survival_first[place]
        j = 0
        begin = 0
        for block in range(ends_first[place], ends_first[place + 1]):
            end = ends[block]
            c = begin
            while c < end:
                whole = survival[g + c - begin]
                if j < n and ordered[j] >> 32 < end:
                    r = ordered[j] >> 32
                    start = _scaled(survival[g + r + 1 - begin], whole)
                    stop = 1 << ZERO_BITS
                    if r > c:
                        stop = _scaled(survival[g + r - begin], whole)
                    at = _note(starts, sizes, bits, at, start, stop - start, ZERO_BITS)
                    e = min(max(level + b_rare[r], e_first), E_MAX)
                    values[n_values] = ordered[j] & 0xFFFFFFFF
                    value_rows[n_values] = t_rare[r] * n_e + table_mean(e) - e_first
                    value_lost[n_values] = lost_bits(e)
                    n_values += 1
                    j += 1
                    c = r + 1
                else:
                    size = _scaled(survival[g + end - begin], whole)
                    at = _note(starts, sizes, bits, at, 0, size, ZERO_BITS)
                    break
            g += end - begin + 1
            begin = end
        for j in range(n_values):
            at = _note_value(
                starts, sizes, bits, at, values[j], value_rows[j], value_lost[j], tables
            )
    return _push(starts, sizes, bits, at, words)


@njit(cache=True, nogil=True)
def _push(starts, sizes, bits, n, words):  # type: ignore[no-untyped-def]
    """Push the symbols, the last one first, so that they are popped in order."""
    state = FLOOR
    at = words.shape[0]
    for i in range(n - 1, -1, -1):
        size, n_bits = uint64(sizes[i]), uint64(bits[i])
        if state >= size << (uint64(64) - n_bits):
            at -= 1
            words[at] = np.uint32(state & uint64(0xFFFFFFFF))
            state >>= _32
        state = ((state // size) << n_bits) + state % size + uint64(starts[i])
    words[at - 1] = np.uint32(state >> _32)
    words[at - 2] = np.uint32(state & uint64(0xFFFFFFFF))
    return words.shape[0] - at + 2


@njit(cache=True)
def _predict(level, b, t, w, latent, n_e, e_first, eta, rows):  # type: ignore[no-untyped-def]
    """Log2 means, in sixteenths, of the genes that are coded one by one, and their tables."""
    for d in range(b.shape[0]):
        eta[d] = level + b[d]
    for k in range(w.shape[0]):
        z = np.int32(latent[k])
        if z:
            for d in range(w.shape[1]):
                eta[d] += z * w[k, d]
    for d in range(b.shape[0]):
        e = min(max(eta[d], e_first), E_MAX)
        eta[d] = e
        rows[d] = t[d] * n_e + table_mean(e) - e_first


# back --------------------------------------------------------------------------------------------


@njit(inline="always")
def _refill(state, words, at, end):  # type: ignore[no-untyped-def]
    """The state at its floor or above, and the next word; past the end it reads zeros."""
    if state < FLOOR:
        word = uint64(words[at]) if at < end else uint64(0)
        state = (state << _32) | word
        at += 1
    return state, at


@njit(cache=True)
def _pop_raw(state, words, at, end, n_bits):  # type: ignore[no-untyped-def]
    value = np.int64(0)
    shift = 0
    while n_bits > 0:
        part = min(n_bits, 16)
        value |= np.int64(state & uint64((1 << part) - 1)) << shift
        state >>= uint64(part)
        state, at = _refill(state, words, at, end)
        shift += part
        n_bits -= part
    return value, state, at


@njit(cache=True)
def _pop_value(state, words, at, end, row, lost, tables):  # type: ignore[no-untyped-def]
    ranges, pool = tables
    here, n = ranges[row, 0], ranges[row, 1]
    slot = np.int64(state & _VALUE_MASK)
    i = 0
    if n > 16:
        top = n
        while i < top:
            middle = (i + top + 1) >> 1
            if pool[here + middle] <= slot:
                i = middle
            else:
                top = middle - 1
    else:
        while pool[here + i + 1] <= slot:
            i += 1
    start, stop = pool[here + i], pool[here + i + 1]
    state = uint64(stop - start) * (state >> _VALUE_BITS) + uint64(slot - start)
    state, at = _refill(state, words, at, end)
    if i < n:
        value = np.int64(ranges[row, 2] + i)
    else:
        length, state, at = _pop_raw(state, words, at, end, 6)
        value, state, at = _pop_raw(state, words, at, end, length)
    if lost:
        rest, state, at = _pop_raw(state, words, at, end, lost)
        value = (value << lost) | rest
    return value, state, at


# Where the lowest bit of a word is set, by a de Bruijn sequence.
_DE_BRUIJN = uint64(0x03F79D71B4CB0A89)
_PLACES = np.zeros(64, np.uint8)
for _place in range(64):
    _PLACES[((0x03F79D71B4CB0A89 << _place) & 0xFFFFFFFFFFFFFFFF) >> 58] = _place


@njit(cache=True, nogil=True)
def decode_chunk(  # type: ignore[no-untyped-def]
    words, n_cells, head_starts, level_of, latent_of, genes, direct, rare, model,
    dense, indptr, indices, data,
):  # fmt: skip
    """Cells of a chunk, as CSR into `indptr`, `indices` and `data`; why it could not be done.

    `dense` [genes] is zeros, and is left so.
    """
    n_e, e_first, nonzero, ranges, pool = model
    tables = (ranges, pool)
    b, t, w = direct
    b_rare, t_rare, survival, survival_first, ends, ends_first, guide = rare
    n_direct = b.shape[0]
    end = words.shape[0]
    if end < 2:
        return TOO_SHORT
    state = (uint64(words[1]) << _32) | uint64(words[0])
    at = 2
    n_heads = head_starts.shape[0]
    latent = np.zeros(n_heads, np.int64)
    eta = np.empty(n_direct, np.int32)
    rows = np.empty(n_direct, np.int32)
    found = np.empty(genes.shape[0], np.int64)
    seen = np.zeros((dense.shape[0] >> 6) + 1, np.uint64)
    capacity = data.shape[0]
    filled = 0
    indptr[0] = 0
    for i in range(n_cells):
        place = 0
        for k in range(n_heads):
            symbol = 0
            slot = np.int64(state & _HEAD_MASK)
            while head_starts[k, symbol + 1] <= slot:
                symbol += 1
            start, stop = head_starts[k, symbol], head_starts[k, symbol + 1]
            if stop - start < 1 << HEAD_BITS:
                state = uint64(stop - start) * (state >> _HEAD_BITS) + uint64(slot - start)
                state, at = _refill(state, words, at, end)
            if k:
                latent[k - 1] = latent_of[k, symbol]
            else:
                place = symbol
        level = level_of[place]
        _predict(level, b, t, w, latent, n_e, e_first, eta, rows)
        n = 0
        for d in range(n_direct):
            f = uint64(nonzero[rows[d]])
            z = uint64(1 << ZERO_BITS) - f
            slot = state & _ZERO_MASK
            if slot < z:
                state = z * (state >> _ZERO_BITS) + slot
            else:
                state = f * (state >> _ZERO_BITS) + slot - z
                found[n] = d
                n += 1
            state, at = _refill(state, words, at, end)
        n_by_one = n
        g = survival_first[place]
        guide_at = ends_first[place] * GUIDE
        begin = 0
        for block in range(ends_first[place], ends_first[place + 1]):
            stop_gene = ends[block]
            c = begin
            last = uint64(survival[g + stop_gene - begin])
            while c < stop_gene:
                whole = uint64(survival[g + c - begin])
                scale = _ONE // whole
                slot = state & _ZERO_MASK
                none = (last * scale) >> _ZERO_BITS
                if slot < none:
                    state = none * (state >> _ZERO_BITS) + slot
                    state, at = _refill(state, words, at, end)
                    break
                # The last gene before which more than that is left; rounding may be one gene off.
                most = np.int64((slot * whole) >> _ZERO_BITS)
                near = guide_at + (most >> GUIDE_SHIFT)
                r = max(c, begin + guide[near + 1])
                left = begin + guide[near] + 1 - r
                while left > 1:
                    half = left >> 1
                    r += half if survival[g + r + half - begin] > most else 0
                    left -= half
                start = (uint64(survival[g + r + 1 - begin]) * scale) >> _ZERO_BITS
                while slot < start:
                    r += 1
                    start = (uint64(survival[g + r + 1 - begin]) * scale) >> _ZERO_BITS
                stop = uint64(1 << ZERO_BITS)
                if r > c:
                    stop = (uint64(survival[g + r - begin]) * scale) >> _ZERO_BITS
                    while slot >= stop:
                        r -= 1
                        start = stop
                        stop = uint64(1 << ZERO_BITS)
                        if r > c:
                            stop = (uint64(survival[g + r - begin]) * scale) >> _ZERO_BITS
                state = (stop - start) * (state >> _ZERO_BITS) + slot - start
                state, at = _refill(state, words, at, end)
                found[n] = n_direct + r
                n += 1
                c = r + 1
            g += stop_gene - begin + 1
            guide_at += GUIDE
            begin = stop_gene
        if at > end:
            return TOO_SHORT
        if filled + n > capacity:
            return WRONG_COUNT
        for j in range(n):
            r = found[j]
            if j < n_by_one:
                row, lost = rows[r], lost_bits(eta[r])
            else:
                e = min(max(level + b_rare[r - n_direct], e_first), E_MAX)
                row = t_rare[r - n_direct] * n_e + table_mean(e) - e_first
                lost = lost_bits(e)
            value, state, at = _pop_value(state, words, at, end, row, lost, tables)
            if value <= 0 or value > 0x7FFFFFFF:
                return TOO_LARGE
            gene = genes[r]
            dense[gene] = value
            seen[gene >> 6] |= uint64(1) << uint64(gene & 63)
        for word in range(seen.shape[0]):
            bits = seen[word]
            while bits:
                lowest = bits & (~bits + uint64(1))
                gene = (word << 6) + _PLACES[(lowest * _DE_BRUIJN) >> uint64(58)]
                indices[filled] = gene
                data[filled] = dense[gene]
                dense[gene] = 0
                filled += 1
                bits ^= lowest
            seen[word] = uint64(0)
        indptr[i + 1] = filled
    if at > end:
        return TOO_SHORT
    if at < end:
        return TOO_LONG
    if state != FLOOR:
        return WRONG_END
    return OK if filled == capacity else WRONG_COUNT
