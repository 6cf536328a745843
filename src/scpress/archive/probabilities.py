"""Probabilities of counts in integers alone, so that every machine decodes with the same ones.

A mean is 2^(e / 16) for an integer e; theta is a power of two. docs/archive.md has the definitions.
"""

import numpy as np
from numba import njit

from scpress.archive.numpy_reader import (
    BLOCK_FLOOR,
    BLOCK_GENES,
    CUT_BITS,
    E_MAX,
    E_TOP,
    MOST_VALUES,
    RARE_SHIFT,
    STEPS,
    T_LOW,
    T_POISSON,
    VALUE_BITS,
    ZERO_BITS,
)  # fmt: skip

# As the compiled loops know it.
_STEPS = np.array(STEPS, dtype=np.int64)
N_T = T_POISSON + 1
# One before the first gene of a block, one after each, and zero.
BLOCK_PLACES = BLOCK_GENES + 2
# They are searched by groups, each a cache line.
BLOCK_GROUPS = 8
GROUP_PLACES = BLOCK_PLACES // BLOCK_GROUPS
# A value is looked for from a place on that the upper bits of a slot say; so many starts after that
# are read at once, whether a table has them or not.
GUIDE_SHIFT, NEXT_PLACES = VALUE_BITS - 4, 3
# Nearly all values are among a table's first ones, whose starts stand together in a cache line.
NEAR_PLACES, NEVER = 16, (1 << VALUE_BITS) - 1


@njit(cache=True)
def ratio(c, t, x):  # type: ignore[no-untyped-def]
    """P(x + 1) / P(x) in units of 2^-30; `c` is theta mu / (mu + theta) in such units."""
    if t == T_POISSON:
        return c // (x + 1)
    k = t + T_LOW
    more = (c * x) >> k if k >= 0 else (c * x) << -k
    return (c + more) // (x + 1)


@njit(cache=True)
def scaled_mean(e, t):  # type: ignore[no-untyped-def]
    """`theta mu / (mu + theta)` in units of 2^-30."""
    octave = e >> 4
    mu = _STEPS[e & 15] << octave if octave >= 0 else _STEPS[e & 15] >> -octave
    if t == T_POISSON:
        return mu
    k = t + T_LOW
    return (mu << 20) // ((1 << 20) + (mu >> (10 + k)))


@njit(cache=True)
def _mode(c, t):  # type: ignore[no-untyped-def]
    """First value that is more probable than the next one; so are all values after it."""
    below, above = 0, 1024
    while below < above:
        middle = (below + above) >> 1
        if ratio(c, t, middle) < 1 << 30:
            above = middle
        else:
            below = middle + 1
    return below


@njit(cache=True)
def weigh_values(e, t, weights):  # type: ignore[no-untyped-def]
    """Write the weights of the values above zero that are kept.

    Returns the first value, how many there are, and P(> 0) in units of 2^-28.
    """
    c = scaled_mean(e, t)
    mode = _mode(c, t)
    top = max(mode, 1)
    cut = 1 << (30 - CUT_BITS)
    # Downwards from the most probable value; zero is only needed for its own probability.
    at_zero = 0
    n = 0
    w = 1 << 30
    for x in range(top - 1, -1, -1):
        w = (w << 30) // max(ratio(c, t, x), 1)
        if x == 0:
            at_zero = w
        elif w >= cut:
            weights[n] = w
            n += 1
        else:
            break
    low = top - n
    for i in range(n >> 1):
        weights[i], weights[n - 1 - i] = weights[n - 1 - i], weights[i]
    w = 1 << 30
    x = top
    while n < MOST_VALUES and w >= cut:
        weights[n] = w
        n += 1
        w = (w * ratio(c, t, x)) >> 30
        x += 1
    total = 0
    for i in range(n):
        total += weights[i]
    if mode == 0:
        odds = (c * (total >> 12)) >> 18
        if odds < 1 << 30:
            nonzero = (odds << ZERO_BITS) // ((1 << 30) + odds)
        else:
            nonzero = (1 << ZERO_BITS) - (1 << (ZERO_BITS + 30)) // ((1 << 30) + odds)
    else:
        nonzero = (1 << ZERO_BITS) - (at_zero << ZERO_BITS) // (total + at_zero)
    return low, n, min(max(nonzero, 1), (1 << ZERO_BITS) - 1)


@njit(cache=True)
def _fill(used, e_first, n_e, nonzero, ranges, near, guide, pool):  # type: ignore[no-untyped-def]
    """Fill the tables; the pool's length that they need, whether it was enough or not."""
    weights = np.empty(MOST_VALUES, np.int64)
    at = 0
    for k in range(used.shape[0]):
        for i in range(n_e):
            row = used[k] * n_e + i
            low, n, nonzero[row] = weigh_values(e_first + i, used[k], weights)
            ranges[row, 0], ranges[row, 1], ranges[row, 2] = at, n, low
            room = n + 2 + NEXT_PLACES
            if at + room <= pool.shape[0]:
                total = 0
                most = 0
                for j in range(n):
                    total += weights[j]
                    if weights[j] > weights[most]:
                        most = j
                # One of 2^16 is the escape's, and none is zero.
                left = (1 << VALUE_BITS) - (n + 1)
                given = n + 1
                for j in range(n):
                    given += (weights[j] * left) // total
                start = 0
                for j in range(n):
                    pool[at + j] = start
                    start += 1 + (weights[j] * left) // total
                    if j == most:
                        start += (1 << VALUE_BITS) - given
                pool[at + n] = start
                pool[at + n + 1 : at + room] = 1 << VALUE_BITS
                j = 0
                for q in range(guide.shape[1]):
                    while pool[at + j + 1] <= q << GUIDE_SHIFT:
                        j += 1
                    guide[row, q] = j
                is_plain = low == 1 and e_first + i < E_TOP - 16
                near[row, 0] = NEVER if is_plain else 0
                for j in range(1, NEAR_PLACES):
                    near[row, j] = pool[at + min(j, n + 1)] - 1
            at += room
    return at


class Tables:
    """Frequencies of all means and thetas that a file can need.

    Parameters
    ----------
    thetas
        Which ones, as they are coded.
    e_first, e_last
        The range of means, as they are coded, below `E_TOP`.

    Attributes
    ----------
    nonzero
        [theta * means] Of 2^28, how often a count is not zero.
    ranges
        [theta * means, 4] Where its starts stand in the pool, how many values are kept, the first
        of them, and nothing.
    near
        [theta * means, 16] What is below the starts of the first values, for a table whose first
        one is 1 and whose counts lose no bits; of others the first place is 0.
    guide
        [theta * means, 16] By the upper bits of a slot: the last value whose start is not above
        them.
    pool
        Starts, of 2^16: one for each value kept, one for the escape, and the end.
    """

    def __init__(self, thetas: np.ndarray, e_first: int, e_last: int):
        self.e_first = e_first
        self.n_e = e_last - e_first + 1
        used = np.unique(np.asarray(thetas, dtype=np.int64))
        rows = N_T * self.n_e
        self.nonzero = np.zeros(rows, np.int32)
        self.ranges = np.zeros((rows, 4), np.int32)
        self.near = np.zeros((rows, NEAR_PLACES), np.uint16)
        self.guide = np.zeros((rows, 1 << (VALUE_BITS - GUIDE_SHIFT)), np.int16)
        self.pool = np.zeros(300 * rows, np.int32)
        needed = 1 << 60
        while needed > len(self.pool):
            if needed < 1 << 60:
                self.pool = np.zeros(needed, np.int32)
            needed = _fill(
                used, self.e_first, self.n_e,
                self.nonzero, self.ranges, self.near, self.guide, self.pool,
            )  # fmt: skip


# where the next count is --------------------------------------------------------------------------


@njit(cache=True)
def fill_survival(level, b, t, n_e, e_first, nonzero, survival, ends):  # type: ignore[no-untyped-def]
    """Write of 2^28 how often no gene of a block so far has a count, for cells of one level.

    A block of genes [first, last) fills the first `last - first + 1` places of a row of `survival`
    [blocks, BLOCK_PLACES], with 2^28 in the first of them and zeros after the last.
    Returns the number of blocks; their ends go to `ends`.
    """
    n = b.shape[0]
    n_blocks = 0
    j = 0
    while j < n:
        left = 1 << ZERO_BITS
        row = survival[n_blocks]
        row[:] = 0
        row[0] = left
        first = j
        while j < n and j - first < BLOCK_GENES and left >= BLOCK_FLOOR:
            e = min(max(level + b[j], e_first), E_MAX)
            left -= max(1, (left * nonzero[t[j] * n_e + table_mean(e) - e_first]) >> ZERO_BITS)
            j += 1
            row[j - first] = left
        ends[n_blocks] = j
        n_blocks += 1
    return n_blocks


@njit(inline="always")
def table_mean(e):  # type: ignore[no-untyped-def]
    """Give the mean whose tables stand for a mean."""
    return e if e < E_TOP else (e & 15) + E_TOP - 16


@njit(inline="always")
def lost_bits(e):  # type: ignore[no-untyped-def]
    """Give how many low bits of a count are coded as they are."""
    return 0 if e < E_TOP else (e >> 4) - (E_TOP >> 4) + 1


@njit(inline="always")
def rare_place(level):  # type: ignore[no-untyped-def]
    """Give which one of all possible levels of rare genes a level is."""
    return level >> RARE_SHIFT


@njit(inline="always")
def rare_level_of(level, more):  # type: ignore[no-untyped-def]
    """Give the level of the rare genes of a cell."""
    return (((level + (1 << RARE_SHIFT >> 1)) >> RARE_SHIFT) + more) << RARE_SHIFT
