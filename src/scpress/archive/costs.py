"""What counts cost in bits by the tables that will code them, for fitting to be judged by it."""

import numpy as np
from numba import njit

from scpress.archive.numpy_reader import (
    ABSENT,
    E_LOW,
    E_MAX,
    E_TOP,
    T_POISSON,
    VALUE_BITS,
    ZERO_BITS,
)
from scpress.archive.probabilities import N_T, Tables, lost_bits, table_mean

# Bits that a theta of its own costs a gene, by the tables of the files that were looked at.
THETA_BITS = 5.0
# An entry that no table has: the escape and, about, its bits.
_ESCAPE_BITS = 34.0


class Costs:
    """Bits of everything that the tables of a file's means and all thetas have."""

    def __init__(self, b: np.ndarray, levels: np.ndarray, reach: int):
        low = int(levels[0] + b[b > ABSENT].min()) - reach
        high = int(levels[-1] + b.max()) + reach
        low, high = min(max(low, E_LOW), E_TOP - 16), min(max(high, E_LOW), E_TOP - 1)
        tables = Tables(np.arange(N_T), low, max(low, high))
        self.n_e, self.e_first, self.ranges = tables.n_e, tables.e_first, tables.ranges
        self.zero = ZERO_BITS - np.log2(2.0**ZERO_BITS - tables.nonzero)
        self.nonzero = ZERO_BITS - np.log2(np.maximum(tables.nonzero, 1))
        sizes = np.diff(tables.pool, append=0)
        self.bits = VALUE_BITS - np.log2(np.maximum(sizes, 1).astype(np.float32))

    @property
    def arrays(self) -> tuple:
        """As the loops take them."""
        return self.n_e, self.e_first, self.zero, self.nonzero, self.ranges, self.bits


# What they need of a table is taken out by hand: a call that hands arrays on counts references to
# each of them, which takes longer than the sum.
@njit(cache=True)
def dense_bits(  # type: ignore[no-untyped-def]
    counts, levels, b, t, w, z, tables, out
):
    """Add the bits of dense counts to `out` [genes, thetas]: a gene's theta and the next ones."""
    n_e, e_first, zero, nonzero, ranges, bits = tables
    means = np.empty(counts.shape[1], np.int64)
    for i in range(counts.shape[0]):
        for j in range(counts.shape[1]):
            means[j] = levels[i] + b[j]
        for k in range(w.shape[0]):
            for j in range(counts.shape[1]):
                means[j] += z[i, k] * w[k, j]
        for j in range(counts.shape[1]):
            e = min(max(means[j], e_first), E_MAX)
            place, lost = table_mean(e) - e_first, lost_bits(e)
            value = int(counts[i, j])
            for k in range(out.shape[1]):
                row = min(t[j] + k, T_POISSON) * n_e + place
                if value == 0:
                    out[j, k] += zero[row]
                    continue
                x = (value >> lost) - ranges[row, 2]
                more = bits[ranges[row, 0] + x] if 0 <= x < ranges[row, 1] else _ESCAPE_BITS
                out[j, k] += nonzero[row] + lost + more


@njit(cache=True)
def sparse_bits(  # type: ignore[no-untyped-def]
    indptr, indices, data, levels, level_values, level_counts, b, tried, tables, out
):
    """Add the bits of all counts with each of the thetas tried: [genes, thetas] both.

    The counts are those of one gene after the other, so that its tables are at hand: CSC.
    """
    n_e, e_first, zero, nonzero, ranges, bits = tables
    for gene in range(b.shape[0]):
        if b[gene] == ABSENT:
            continue
        for k in range(tried.shape[1]):
            table = tried[gene, k] * n_e - e_first
            total = 0.0
            for i in range(level_values.shape[0]):
                e = min(max(level_values[i] + b[gene], e_first), E_MAX)
                total += level_counts[i] * zero[table + table_mean(e)]
            for j in range(indptr[gene], indptr[gene + 1]):
                e = min(max(levels[indices[j]] + b[gene], e_first), E_MAX)
                row, lost = table + table_mean(e), lost_bits(e)
                x = (data[j] >> lost) - ranges[row, 2]
                more = bits[ranges[row, 0] + x] if 0 <= x < ranges[row, 1] else _ESCAPE_BITS
                total += nonzero[row] + lost + more - zero[row]
            out[gene, k] += total
