"""The compiled loops that turn cells into words and back."""

import numpy as np
from numba import njit, uint64

from scpress.archive.numpy_reader import E_MAX, HEAD_BITS, VALUE_BITS, ZERO_BITS
from scpress.archive.probabilities import BLOCK_PLACES, lost_bits, table_mean

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


# Arrays are handed to functions a few times a cell, and to none in an inner loop: numba counts the
# references to them at each call, and that took four times the work itself.


# to words ----------------------------------------------------------------------------------------


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
def encode_chunk(  # type: ignore[no-untyped-def]
    indptr, indices, data, heads, levels, latents, head_starts, rank, direct, rare, model, words
):
    """Words of a chunk of cells, written backwards from the end of `words`; how many."""
    n_e, e_first, nonzero, ranges, pool = model
    b, t, w = direct
    b_rare, row_rare, survival, first, ends = rare
    n_direct, n_rare = b.shape[0], b_rare.shape[0]
    n_cells = indptr.shape[0] - 1
    capacity = n_cells * (heads.shape[1] + n_direct + n_rare + 1)
    capacity += 8 * (indptr[n_cells] - indptr[0])
    symbols = np.empty(capacity, np.uint64)
    at = 0
    row_values = np.zeros(n_direct, np.int64)
    eta = np.empty(n_direct, np.int32)
    rows = np.empty(n_direct, np.int32)
    for i in range(n_cells):
        for k in range(heads.shape[1]):
            symbol = heads[i, k]
            start, end = head_starts[k, symbol], head_starts[k, symbol + 1]
            if end - start < 1 << HEAD_BITS:
                symbols[at] = _symbol(start, end - start, HEAD_BITS)
                at += 1
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
                symbols[at] = _symbol(0, z, ZERO_BITS)
                at += 1
            else:
                symbols[at] = _symbol(z, f, ZERO_BITS)
                at += 1
                values[n_values] = row_values[d]
                value_rows[n_values] = rows[d]
                value_lost[n_values] = lost_bits(eta[d])
                n_values += 1
                row_values[d] = 0
        ordered = np.sort(ranks[:n])
        place = heads[i, 0]
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
                    e = min(max(level + b_rare[r], e_first), E_MAX)
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
    return _push(symbols, at, words)


@njit(cache=True, nogil=True)
def _push(symbols, n, words):  # type: ignore[no-untyped-def]
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


@njit(cache=True)
def _pop_raw(state, words, at, end, n_bits):  # type: ignore[no-untyped-def]
    value = np.int64(0)
    shift = 0
    while n_bits > 0:
        part = min(n_bits, 16)
        value |= np.int64(state & uint64((1 << part) - 1)) << shift
        state >>= uint64(part)
        if state < FLOOR:
            state = (state << _32) | uint64(words[min(at, end)])
            at += 1
        shift += part
        n_bits -= part
    return value, state, at


@njit(cache=True)
def _pop_values(  # type: ignore[no-untyped-def]
    state, words, at, end, ranges, pool, rows, lost, values
):
    """The values above zero of all counts of a cell; whether each can be one."""
    good = True
    for j in range(rows.shape[0]):
        row = rows[j]
        here, n = ranges[row, 0], ranges[row, 1]
        slot = np.int32(state & _VALUE_MASK)
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
        if state < FLOOR:
            state = (state << _32) | uint64(words[min(at, end)])
            at += 1
        value = np.int64(ranges[row, 2] + i)
        if i == n:
            length, state, at = _pop_raw(state, words, at, end, 6)
            value, state, at = _pop_raw(state, words, at, end, length)
        if lost[j]:
            rest, state, at = _pop_raw(state, words, at, end, lost[j])
            value = (value << lost[j]) | rest
        if not 0 < value <= 0x7FFFFFFF:
            good = False
        values[j] = value
    return good, state, at


@njit(forceinline=True)
def _places_above(left, most):  # type: ignore[no-untyped-def]
    """How many places of a block hold more: all are compared, which is quicker than a search."""
    n, level = np.int32(0), np.int32(most)
    for k in range(BLOCK_PLACES):
        n = np.int32(n + np.int32(left[k] > level))
    return np.int64(n)


@njit(cache=True)
def _pop_flags(state, words, at, end, nonzero, rows, found):  # type: ignore[no-untyped-def]
    """Which of the genes that are coded one by one have a count."""
    n = 0
    for d in range(rows.shape[0]):
        f = uint64(nonzero[rows[d]])
        z = uint64(1 << ZERO_BITS) - f
        slot = state & _ZERO_MASK
        found[n] = d
        if slot < z:
            state = z * (state >> _ZERO_BITS) + slot
        else:
            state = f * (state >> _ZERO_BITS) + slot - z
            n += 1
        if state < FLOOR:
            state = (state << _32) | uint64(words[min(at, end)])
            at += 1
    return n, state, at


@njit(cache=True)
def _pop_rare(  # type: ignore[no-untyped-def]
    state, words, at, end, survival, ends, blocks, n_direct, n, found
):
    """Which of the rare genes have a count, block by block, after the `n` that were found."""
    begin = 0
    for block in range(blocks[0], blocks[1]):
        left = survival[block]
        stop_gene = ends[block]
        n_genes = stop_gene - begin
        least = uint64(left[n_genes])
        c = 0
        whole, scale = uint64(1 << ZERO_BITS), uint64(1 << ZERO_BITS)
        while c < n_genes:
            slot = state & _ZERO_MASK
            none = (least * scale) >> _ZERO_BITS
            if slot < none:
                state = none * (state >> _ZERO_BITS) + slot
                if state < FLOOR:
                    state = (state << _32) | uint64(words[min(at, end)])
                    at += 1
                break
            # The last gene before which more than that is left; rounding may be one gene off.
            r = min(_places_above(left, (slot * whole) >> _ZERO_BITS), n_genes) - 1
            start = (uint64(left[r + 1]) * scale) >> _ZERO_BITS
            while slot < start:
                r += 1
                start = (uint64(left[r + 1]) * scale) >> _ZERO_BITS
            stop = uint64(1 << ZERO_BITS)
            if r > c:
                stop = (uint64(left[r]) * scale) >> _ZERO_BITS
                while slot >= stop:
                    r -= 1
                    start = stop
                    stop = uint64(1 << ZERO_BITS)
                    if r > c:
                        stop = (uint64(left[r]) * scale) >> _ZERO_BITS
            state = (stop - start) * (state >> _ZERO_BITS) + slot - start
            if state < FLOOR:
                state = (state << _32) | uint64(words[min(at, end)])
                at += 1
            found[n] = n_direct + begin + r
            n += 1
            c = r + 1
            whole = uint64(left[c])
            scale = _ONE // whole
        begin = stop_gene
    return n, state, at


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

    `words` has one more at its end, which is zero and is read where a damaged chunk ends too early.
    `dense` [genes] is zeros, and is left so.
    """
    n_e, e_first, nonzero, ranges, pool = model
    b, t, w = direct
    b_rare, row_rare, survival, first, ends = rare
    n_direct = b.shape[0]
    end = words.shape[0] - 1
    if end < 2:
        return TOO_SHORT
    state = (uint64(words[1]) << _32) | uint64(words[0])
    at = 2
    n_heads = head_starts.shape[0]
    latent = np.zeros(n_heads, np.int64)
    eta = np.empty(n_direct, np.int32)
    rows = np.empty(n_direct, np.int32)
    found = np.empty(genes.shape[0] + 1, np.int32)
    value_rows, lost = np.empty(genes.shape[0], np.int32), np.empty(genes.shape[0], np.uint8)
    values = np.empty(genes.shape[0], np.int32)
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
                if state < FLOOR:
                    state = (state << _32) | uint64(words[min(at, end)])
                    at += 1
            if k:
                latent[k - 1] = latent_of[k, symbol]
            else:
                place = symbol
        level = level_of[place]
        _predict(level, b, t, w, latent, n_e, e_first, eta, rows)
        n, state, at = _pop_flags(state, words, at, end, nonzero, rows, found)
        n_by_one = n
        blocks = first[place], first[place + 1]
        n, state, at = _pop_rare(state, words, at, end, survival, ends, blocks, n_direct, n, found)
        if at > end:
            return TOO_SHORT
        if filled + n > capacity:
            return WRONG_COUNT
        for j in range(n_by_one):
            r = found[j]
            value_rows[j], lost[j] = rows[r], lost_bits(eta[r])
        for j in range(n_by_one, n):
            r = found[j] - n_direct
            e = min(max(level + b_rare[r], e_first), E_MAX)
            value_rows[j], lost[j] = row_rare[r] + table_mean(e), lost_bits(e)
        good, state, at = _pop_values(
            state, words, at, end, ranges, pool, value_rows[:n], lost[:n], values
        )
        if not good:
            return TOO_LARGE
        for j in range(n):
            gene = genes[found[j]]
            dense[gene] = values[j]
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
