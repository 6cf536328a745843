"""Read the counts of an archive with numpy alone: one file, to be copied to wherever it is needed.

It follows docs/archive.md line by line, and the compiled reader of scpress is tested against it.
"""

import json
import zlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

FLOOR = 1 << 32
HEAD_BITS, ZERO_BITS, VALUE_BITS = 14, 28, 16
LANES = 2  # coders of a chunk: its cells are dealt out to them in turn

# Means are 2^(e / 16) for whole numbers e; these are round(2^(k / 16) * 2^30).
STEPS = [
    1073741824, 1121280436, 1170923762, 1222764986, 1276901417, 1333434672,
    1392470869, 1454120821, 1518500250, 1585730000, 1655936265, 1729250827,
    1805811301, 1885761398, 1969251188, 2056437387,
]  # fmt: skip
# The tables' means, and the largest; larger means than the tables' lose low bits of their counts.
E_LOW, E_TOP, E_MAX = -24 * 16, 9 * 16, 31 * 16
ABSENT = E_LOW - 1
# theta = 2^(t + T_LOW); the last is none, that is Poisson.
T_LOW, T_POISSON = -6, 19
CUT_BITS, MOST_VALUES = 20, 4096
# Where a block of rare genes ends.
BLOCK_FLOOR, BLOCK_GENES = 1 << 22, 126
RARE_SHIFT = 2  # the level of rare genes is a multiple of 4
# Chunks that are decoded side by side.
_LANES = 512


def read_counts(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    """Read all counts of an archive: indptr, indices and data of a CSR matrix, and its shape.

    Raises
    ------
    ValueError
        It is no archive of version 1, or damaged.
    """
    with open(path, "rb") as file:
        whole = file.read()
    if whole[:12] != b"\x89SCP\r\n\x1a\n\1\0\0\0" or whole[-8:] != b"SCP end\n":
        raise ValueError("it is no archive of version 1, or not whole")
    parts: dict[str, list[bytes]] = {}
    at = 12
    while at < len(whole) - 20:
        n = int.from_bytes(whole[at + 4 : at + 12], "little")
        section, checksum = whole[at : at + 12 + n], whole[at + 12 + n : at + 16 + n]
        if zlib.crc32(section) != int.from_bytes(checksum, "little") or len(checksum) < 4:
            raise ValueError(f"the section at byte {at} is damaged")
        parts.setdefault(section[:4].decode("ascii", "replace"), []).append(section[12:])
        at += 16 + n
    head = json.loads(parts["HEAD"][0])
    shape = head["n_obs"], head["n_vars"]
    step = head["cells_per_chunk"]
    n_chunks = -(-shape[0] // step)
    columns, at = [], 4
    for _ in range(2):
        width = parts["INDX"][0][at]
        bytes_of = np.frombuffer(parts["INDX"][0], np.uint8, n_chunks * width, at + 1)
        columns.append(bytes_of.reshape(-1, width) @ (1 << 8 * np.arange(width, dtype=np.int64)))
        at += 1 + n_chunks * width
    cells, ends = b"".join(parts.get("CELL", [])), np.cumsum([0, *columns[0]])
    chunks = [cells[a:b] for a, b in pairwise(ends.tolist())]
    n_cells = [min(step, shape[0] - first) for first in range(0, shape[0], step)]
    found = CountsReader(parts["MODL"][0], shape[1]).decode(chunks, n_cells)
    if (np.add.reduceat(np.diff(found[0]), range(0, shape[0], step)) != columns[1]).any():
        raise ValueError("a chunk has another number of entries than the index says")
    return *found, shape


class Reader:
    """Bytes that are read from the front.

    Raises
    ------
    ValueError
        More is asked for than there is.
    """

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, n: int) -> bytes:
        """Read the next n bytes."""
        if n > len(self.data) - self.at:
            raise ValueError("it ends too early")
        self.at += n
        return self.data[self.at - n : self.at]

    def varint(self) -> int:
        """Read one of `write_varint`."""
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a number has too many bytes")

    def signed(self) -> int:
        """Read one of `write_signed`."""
        value = self.varint()
        return (value >> 1) ^ -(value & 1)


def unpack_table(reader: Reader, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and starts of `pack_table`.

    Raises
    ------
    ValueError
        More values than `most`, or starts that leave the scale.
    """
    n = reader.varint()
    if n > min(most, 1 << HEAD_BITS):
        raise ValueError(f"a table has {n} values")
    if not n:
        return np.empty(0, np.int64), np.zeros(1, np.int64)
    values = [reader.signed()]
    for _ in range(n - 1):
        values.append(values[-1] + reader.varint() + 1)
    starts = [0]
    for _ in range(n - 1):
        starts.append(starts[-1] + reader.varint() + 1)
    if starts[-1] >= 1 << HEAD_BITS or abs(values[0]) > 1 << 31 or abs(values[-1]) > 1 << 31:
        raise ValueError("a table leaves its scale")
    return np.array(values), np.array([*starts, 1 << HEAD_BITS])


def unpack_numbers(reader: Reader, n: int) -> np.ndarray:
    """Read [n] numbers of `pack_numbers`.

    Raises
    ------
    ValueError
        What is there is no such thing.
    """
    values, starts = unpack_table(reader, 1 << HEAD_BITS)
    if len(values) < 2:
        if n and not len(values):
            raise ValueError("a table is empty")
        return np.repeat(values, n) if len(values) else values
    words = np.frombuffer(reader.take(4 * reader.varint()), dtype="<u4").tolist()
    if len(words) < 2:
        raise ValueError("it ends too early")
    state, at, n_words = words[1] << 32 | words[0], 2, len(words)
    symbol_at = np.repeat(np.arange(len(values)), np.diff(starts)).tolist()
    starts = starts.tolist()
    out = []
    for _ in range(n):
        slot = state & ((1 << HEAD_BITS) - 1)
        symbol = symbol_at[slot]
        out.append(symbol)
        start = starts[symbol]
        state = (starts[symbol + 1] - start) * (state >> HEAD_BITS) + slot - start
        if state < FLOOR:
            if at == n_words:
                raise ValueError("it ends too early")
            state = state << 32 | words[at]
            at += 1
    if state != FLOOR or at != n_words:
        raise ValueError("it does not end where it should")
    return values[np.array(out, dtype=np.int64)]


class Parameters:
    """All that the probabilities of a file are made of.

    Attributes
    ----------
    b, t
        [genes] Log2 share in sixteenths, `ABSENT` for a gene without a count; theta.
    w
        [n_latent, genes] Weights.
    direct_b
        From this b on, or with a weight, a gene is coded in every cell.
    tables
        Values and starts of the numbers at the head of a cell: the level, how much higher that of
        its rare genes is, in steps, and the latents.

    Raises
    ------
    ValueError
        They are damaged.
    """

    def __init__(self, data: bytes, n_vars: int):
        reader = Reader(data)
        n_latent, self.direct_b = reader.varint(), reader.signed()
        if n_latent > 255:
            raise ValueError(f"{n_latent} latent dimensions")
        b = self.b = unpack_numbers(reader, n_vars)
        order = self.order = order_of(b)
        n_octaves = int((b[order[0]] >> 4) - (b[order[-1]] >> 4)) + 1 if len(order) else 0
        usual = unpack_numbers(reader, n_octaves)
        t = self.t = np.zeros(n_vars, np.int64)
        if len(order):
            t[order] = usual[(b[order[0]] >> 4) - (b[order] >> 4)]
        t[order] += unpack_numbers(reader, len(order))
        self.w = np.zeros((n_latent, n_vars), np.int64)
        n_weighted = reader.varint()
        if n_weighted > len(order):
            raise ValueError(f"weights of {n_weighted} genes, of {len(order)}")
        for row in self.w:
            row[order[:n_weighted]] = unpack_numbers(reader, n_weighted)
        self.tables = [unpack_table(reader, 1 << HEAD_BITS) for _ in range(2 + n_latent)]
        if reader.at < len(data):
            raise ValueError("bytes are left over")
        if n_vars and (b.min() < ABSENT or b.max() > E_MAX or t.min() < 0 or t.max() > T_POISSON):
            raise ValueError("a gene's parameters are out of range")
        largest = [np.abs(values).max(initial=0) for values, _ in self.tables]
        most = [1 << 10, 1 << 6] + [1 << 15] * n_latent
        if (np.array(largest) > most).any() or np.abs(self.w).max(initial=0) >= 1 << 15:
            raise ValueError("a weight, a latent or a level is out of range")
        if not all(len(values) for values, _ in self.tables):
            raise ValueError("a table is empty")
        is_direct = (b[order] >= self.direct_b) | self.w[:, order].any(axis=0)
        self.direct, self.rare = order[is_direct], order[~is_direct]

    def rare_levels(self) -> np.ndarray:
        """All levels that rare genes can have, rising without a gap."""
        (levels, _), (more, _) = self.tables[:2]
        first, last = rare_level_of(levels[[0, -1]], more[[0, -1]]) >> RARE_SHIFT
        return np.arange(first, last + 1) << RARE_SHIFT

    def mean_range(self) -> tuple[int, int]:
        """The lowest and the highest mean that its tables are needed for."""
        levels = np.concatenate([self.tables[0][0], self.rare_levels()])
        reach = np.zeros(len(self.b), np.int64)
        for row, (values, _) in zip(self.w, self.tables[2:], strict=True):
            reach += np.abs(row) * int(np.abs(values).max())
        b, reach = self.b[self.order], reach[self.order]
        low = int((b - reach).min() + levels.min()) if len(b) else 0
        high = int((b + reach).max() + levels.max()) if len(b) else 0
        low, high = min(max(low, E_LOW), E_MAX), min(max(high, E_LOW), E_MAX)
        if high >= E_TOP:
            return min(low, E_TOP - 16), E_TOP - 1
        return low, high


def rare_level_of(level: np.ndarray, more: np.ndarray) -> np.ndarray:
    """The level of the rare genes of a cell."""
    return (((level + (1 << RARE_SHIFT >> 1)) >> RARE_SHIFT) + more) << RARE_SHIFT


def order_of(b: np.ndarray) -> np.ndarray:
    """Genes with a count, the most abundant first."""
    return np.argsort(-b, kind="stable")[: int((b > ABSENT).sum())]


# probabilities -----------------------------------------------------------------------------------


def _ratio(c: np.ndarray, t: int, x: np.ndarray | int) -> np.ndarray:
    """P(x + 1) / P(x) in units of 2^-30."""
    if t == T_POISSON:
        return c // (x + 1)
    k = t + T_LOW
    more = (c * x) >> k if k >= 0 else (c * x) << -k
    return (c + more) // (x + 1)


class Tables:
    """Frequencies of values, for one theta after the other and a range of means.

    Attributes
    ----------
    nonzero
        [20, means] Of 2^28, how often a count is not zero.
    low
        [20, means] The smallest value above zero that has a frequency of its own.
    starts
        [20, means] The starts of the values from there on, of the escape, and the end, of 2^16;
        None for a theta that is not used.
    """

    def __init__(self, thetas: np.ndarray, e_first: int, e_last: int):
        self.e_first = e_first
        n = e_last - e_first + 1
        self.nonzero = np.zeros((T_POISSON + 1, n), np.int64)
        self.low = np.ones((T_POISSON + 1, n), np.int64)
        self.starts: list[list[np.ndarray] | None] = [None] * (T_POISSON + 1)
        for t in np.unique(thetas):
            self._fill(int(t), np.arange(e_first, e_last + 1))

    def _fill(self, t: int, e: np.ndarray) -> None:
        octave = e >> 4
        mu = np.array(STEPS, np.int64)[e & 15]
        c = mu = np.where(octave >= 0, mu << np.maximum(octave, 0), mu >> np.maximum(-octave, 0))
        if t != T_POISSON:
            c = (mu << 20) // ((1 << 20) + (mu >> (10 + t + T_LOW)))
        # The first value that is more probable than the next one; so are all values after it.
        mode, above = np.zeros(len(e), np.int64), np.full(len(e), 1024)
        while (mode < above).any():
            middle = (mode + above) >> 1
            falls = _ratio(c, t, middle) < 1 << 30
            above = np.where(falls, middle, above)
            mode = np.where(falls | (mode >= above), mode, middle + 1)
        top = np.maximum(mode, 1)
        cut = 1 << (30 - CUT_BITS)
        at_zero = np.zeros(len(e), np.int64)
        down: list[list[int]] = [[] for _ in e]
        w = np.full(len(e), 1 << 30)
        x, active = top - 1, np.arange(len(e))
        while len(active):
            w[active] = (w[active] << 30) // np.maximum(_ratio(c[active], t, x[active]), 1)
            is_zero = x[active] == 0
            at_zero[active[is_zero]] = w[active[is_zero]]
            active = active[~is_zero & (w[active] >= cut)]
            for i, weight in zip(active.tolist(), w[active].tolist(), strict=True):
                down[i].append(weight)
            x[active] -= 1
        n_down = np.array([len(one) for one in down])
        self.low[t] = top - n_down
        columns, counts = [], n_down.copy()
        w, x, active = np.full(len(e), 1 << 30), top.copy(), np.arange(len(e))
        while len(active):
            column = np.zeros(len(e), np.int64)
            column[active] = w[active]
            columns.append(column)
            counts[active] += 1
            w[active] = (w[active] * _ratio(c[active], t, x[active])) >> 30
            x[active] += 1
            active = active[(counts[active] < MOST_VALUES) & (w[active] >= cut)]
        up = np.array(columns).T
        starts = []
        totals = np.zeros(len(e), np.int64)
        for i in range(len(e)):
            weights = np.concatenate([down[i][::-1], up[i, : counts[i] - n_down[i]]]).astype(int)
            totals[i] = weights.sum()
            sizes = 1 + weights * ((1 << VALUE_BITS) - (len(weights) + 1)) // totals[i]
            sizes[weights.argmax()] += (1 << VALUE_BITS) - 1 - sizes.sum()
            starts.append(np.concatenate([[0], np.cumsum(sizes), [1 << VALUE_BITS]]))
        self.starts[t] = starts
        odds = (np.where(mode == 0, c, 0) * (totals >> 12)) >> 18
        small = (np.minimum(odds, 1 << 30) << ZERO_BITS) // ((1 << 30) + odds)
        large = (1 << ZERO_BITS) - (1 << (ZERO_BITS + 30)) // ((1 << 30) + odds)
        other = (1 << ZERO_BITS) - (at_zero << ZERO_BITS) // (totals + at_zero)
        nonzero = np.where(mode > 0, other, np.where(odds < 1 << 30, small, large))
        self.nonzero[t] = np.clip(nonzero, 1, (1 << ZERO_BITS) - 1)


def table_mean(e: np.ndarray) -> np.ndarray:
    """The mean whose tables stand for a mean."""
    return np.where(e < E_TOP, e, (e & 15) + E_TOP - 16)


def lost_bits(e: np.ndarray) -> np.ndarray:
    """How many low bits of a count are coded as they are."""
    return np.where(e < E_TOP, 0, (e >> 4) - (E_TOP >> 4) + 1)


class Blocks:
    """Blocks of rare genes, of the cells of each level.

    Attributes
    ----------
    bounds
        [levels, 2] First block of a level and the one after its last.
    first, n, at
        [blocks] First gene of a block, how many it has, and where its first place stands.
    left
        What is left of 2^28 before each gene and after the last one of a block.
    keys
        [as `left`] Rising throughout: for all blocks to be searched at once.
    """

    def __init__(self, nonzero: np.ndarray):
        bounds: list[tuple[int, int]] = []
        first_genes: list[int] = []
        n_genes: list[int] = []
        left: list[int] = []
        for of_level in nonzero.tolist():
            j, begin = 0, len(first_genes)
            while j < len(of_level):
                first, now = j, 1 << ZERO_BITS
                left.append(now)
                while j < len(of_level) and j - first < BLOCK_GENES and now >= BLOCK_FLOOR:
                    now -= max(1, (now * of_level[j]) >> ZERO_BITS)
                    left.append(now)
                    j += 1
                first_genes.append(first)
                n_genes.append(j - first)
            bounds.append((begin, len(first_genes)))
        self.bounds = np.array(bounds, np.int64).reshape(-1, 2)
        self.first, self.n = np.array(first_genes, np.int64), np.array(n_genes, np.int64)
        self.at = np.cumsum(self.n + 1) - (self.n + 1)
        self.left = np.array(left, np.int64)
        block = np.repeat(np.arange(len(self.n)), self.n + 1)
        self.keys = self.key(block, self.left)

    @staticmethod
    def key(block: np.ndarray, left: np.ndarray) -> np.ndarray:
        """Where in `keys` so much is left in a block."""
        return (block << (ZERO_BITS + 1)) + (1 << ZERO_BITS) - left


# cells -------------------------------------------------------------------------------------------


class _Lanes:
    """The coders of several chunks, side by side; the second of a chunk reads from its end.

    A cell can take `room` words at most: so many may be read past the end before it is noticed.
    """

    def __init__(self, chunks: Sequence[bytes], room: int):
        words = [np.frombuffer(chunk, dtype="<u4") for chunk in chunks]
        if any(len(one) < 2 * LANES for one in words):
            raise ValueError("a chunk ends too early")
        self.n_words = np.array([len(one) for one in words])
        both = [lane for one in words for lane in (one, one[::-1])]
        self.words = np.concatenate([*both, np.zeros(room, np.uint32)]).astype(np.uint64)
        self.first = np.cumsum([0, *np.repeat(self.n_words, LANES)])[:-1]
        self.at = self.first + 2
        self.state = (self.words[self.first + 1] << np.uint64(32)) | self.words[self.first]

    def slot(self, lanes: np.ndarray, bits: int) -> np.ndarray:
        """Where in the scale of 2^bits the next symbol of some lanes lies."""
        return (self.state[lanes] & np.uint64((1 << bits) - 1)).astype(np.int64)

    def pop(
        self, lanes: np.ndarray, slot: np.ndarray, start: np.ndarray, size: np.ndarray, bits: int
    ) -> None:
        """Take from each of some lanes the symbol that lies there, with this start and size."""
        state = size.view(np.uint64) * (self.state[lanes] >> np.uint64(bits))
        state += (slot - start).view(np.uint64)
        self.state[lanes] = self.refill(lanes, state)

    def refill(self, lanes: np.ndarray, state: np.ndarray) -> np.ndarray:
        """The states of some lanes, with the next word where one is too low."""
        short = (state < FLOOR).nonzero()[0]
        if len(short):
            of = lanes[short]
            at = self.at[of]
            state[short] = (state[short] << np.uint64(32)) | self.words[at]
            self.at[of] = at + 1
        return state

    def left(self) -> np.ndarray:
        """Words of each chunk that were not read yet, below 0 for too few."""
        return self.n_words - (self.at - self.first).reshape(-1, LANES).sum(axis=1)

    def check(self) -> None:
        """Notice that a chunk ended too early, after each cell."""
        if (self.left() < 0).any():
            raise ValueError("a chunk ends too early")

    def raw(self, lanes: np.ndarray, n_bits: np.ndarray) -> np.ndarray:
        """Take bits as they are, the lowest first and at most 16 at a time."""
        value = np.zeros(len(lanes), np.int64)
        for shift in range(0, int(n_bits.max(initial=0)), 16):
            part = np.clip(n_bits - shift, 0, 16)
            for bits in np.unique(part[part > 0]):
                here = part == bits
                slot = self.slot(lanes[here], bits)
                value[here] |= slot << shift
                self.pop(lanes[here], slot, slot, np.ones(len(slot), np.int64), int(bits))
        return value


class CountsReader:
    """What decodes chunks of one file.

    Raises
    ------
    ValueError
        The parameters, or a chunk, are damaged.
    """

    def __init__(self, parameters: bytes, n_vars: int):
        p = self.parameters = Parameters(parameters, n_vars)
        self.tables = Tables(p.t[p.order], *p.mean_range())
        e = np.clip(p.rare_levels()[:, None] + p.b[p.rare], self.tables.e_first, E_MAX)
        row = table_mean(e) - self.tables.e_first
        self._blocks = Blocks(self.tables.nonzero[p.t[p.rare], row])

    def decode(
        self, chunks: Sequence[bytes], n_cells: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Decode chunks into a CSR matrix: indptr, indices and data."""
        cells: list[np.ndarray] = []
        genes: list[np.ndarray] = []
        values: list[np.ndarray] = []
        first = np.cumsum([0, *n_cells])
        for at in range(0, len(chunks), _LANES):
            part = slice(at, at + _LANES)
            found = self._decode_side_by_side(chunks[part], np.array(n_cells[part]), first[at:])
            for whole, some in zip((cells, genes, values), found, strict=True):
                whole.append(some)
        cell, gene, value = (
            np.concatenate([*one, np.empty(0, int)]) for one in (cells, genes, values)
        )
        order = np.argsort(cell * len(self.parameters.b) + gene)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=first[-1]))])
        return indptr, gene[order], value[order]

    def _decode_side_by_side(self, chunks, n_cells, first):  # type: ignore[no-untyped-def]
        lanes = _Lanes(chunks, 8 * len(self.parameters.b) + 300)
        lane_of = np.arange(LANES * len(n_cells)) % LANES
        first = np.repeat(first[: len(n_cells)], LANES) + lane_of
        n_cells = (np.repeat(n_cells, LANES) - lane_of + LANES - 1) // LANES
        found = []
        for i in range(max(n_cells, default=0)):
            active = np.flatnonzero(n_cells > i)
            lane, gene, value = self._decode_cells(lanes, active)
            lanes.check()
            found.append((first[lane] + LANES * i, gene, value))
        if lanes.left().any() or (lanes.state != FLOOR).any():
            raise ValueError("a chunk does not end as it should")
        return [np.concatenate(parts) for parts in zip(*found, strict=True)] or [
            np.empty(0, int)
        ] * 3

    def _decode_cells(self, lanes: _Lanes, active: np.ndarray):  # type: ignore[no-untyped-def]
        """One cell of each active lane: lanes, genes and values of its counts above zero."""
        p = self.parameters
        heads = []
        for values, starts in p.tables:
            symbol = np.zeros(len(active), np.int64)
            if len(values) > 1:
                slot = lanes.slot(active, HEAD_BITS)
                symbol = np.searchsorted(starts, slot, side="right") - 1
                size = starts[symbol + 1] - starts[symbol]
                lanes.pop(active, slot, starts[symbol], size, HEAD_BITS)
            heads.append(values[symbol])
        level, z = heads[0], np.array(heads[2:], np.int64).reshape(len(heads) - 2, len(active))
        rare_level = rare_level_of(level, heads[1])
        e_direct = level[:, None] + p.b[p.direct] + z.T @ p.w[:, p.direct]
        e_direct = np.clip(e_direct, self.tables.e_first, E_MAX)
        hits = self._pop_flags(lanes, active, e_direct), self._pop_rare(lanes, active, rare_level)
        place, gene_at = (np.concatenate(both) for both in zip(*hits, strict=True))
        # In the order in which they were found, lane by lane.
        order = np.argsort(place, kind="stable")
        place, gene_at = place[order], gene_at[order]
        n_direct = len(p.direct)
        genes = np.concatenate([p.direct, p.rare])[gene_at]
        is_direct = gene_at < n_direct
        e = np.clip(rare_level[place] + p.b[genes], self.tables.e_first, E_MAX)
        e[is_direct] = e_direct[place[is_direct], gene_at[is_direct]]
        values = self._pop_values(lanes, active, place, e, p.t[genes])
        return active[place], genes, values

    def _pop_flags(self, lanes, active, e_direct):  # type: ignore[no-untyped-def]
        """Places of lanes and of genes that are coded one by one, where there is a count."""
        p = self.parameters
        row = table_mean(e_direct) - self.tables.e_first
        nonzero = self.tables.nonzero[p.t[p.direct], row].T.astype(np.uint64)
        zero = np.uint64(1 << ZERO_BITS) - nonzero
        mask, bits = np.uint64((1 << ZERO_BITS) - 1), np.uint64(ZERO_BITS)
        state = lanes.state[active]
        places = []
        for d in range(len(p.direct)):
            slot = state & mask
            hit = slot >= zero[d]
            state = np.where(hit, nonzero[d], zero[d]) * (state >> bits) + slot - hit * zero[d]
            state = lanes.refill(active, state)
            places.append(hit.nonzero()[0])
        lanes.state[active] = state
        genes = np.repeat(np.arange(len(places)), [len(place) for place in places])
        return np.concatenate([*places, genes[:0]]), genes

    def _pop_rare(self, lanes, active, level):  # type: ignore[no-untyped-def]
        """Places of lanes and of rare genes where there is a count."""
        blocks, n_direct = self._blocks, len(self.parameters.direct)
        block, end = blocks.bounds[(level - self.parameters.rare_levels()[0]) >> RARE_SHIFT].T
        place = np.flatnonzero(block < end)
        block, end = block[place], end[place]
        c = np.zeros(len(place), np.int64)
        places, genes = [], []
        while len(place):
            lane, at, n = active[place], blocks.at[block], blocks.n[block]
            scale = (1 << (2 * ZERO_BITS)) // blocks.left[at + c]
            slot = lanes.slot(lane, ZERO_BITS)
            none = (blocks.left[at + n] * scale) >> ZERO_BITS
            most = (((slot + 1) << ZERO_BITS) - 1) // scale
            # The first gene after which no more than that is left.
            is_none = slot < none
            r = np.where(is_none, c, blocks.keys.searchsorted(blocks.key(block, most)) - at - 1)
            start = (blocks.left[at + r + 1] * scale) >> ZERO_BITS
            stop = np.where(r > c, (blocks.left[at + r] * scale) >> ZERO_BITS, 1 << ZERO_BITS)
            start, stop = np.where(is_none, 0, start), np.where(is_none, none, stop)
            lanes.pop(lane, slot, start, stop - start, ZERO_BITS)
            hit = (~is_none).nonzero()[0]
            places.append(place[hit])
            genes.append((blocks.first[block] + r)[hit])
            c = r + 1
            is_over = is_none | (c == n)
            block = block + is_over
            c[is_over] = 0
            goes_on = block < end
            if not goes_on.all():
                place, block, end, c = (one[goes_on] for one in (place, block, end, c))
        return np.concatenate([*places, c]), np.concatenate([*genes, c]) + n_direct

    def _pop_values(self, lanes, active, place, e, t):  # type: ignore[no-untyped-def]
        """Values of what was found, of which each lane has its own in a row."""
        n_each = np.bincount(place, minlength=len(active))
        number = np.arange(len(place)) - np.repeat(np.cumsum(n_each) - n_each, n_each)
        # The first of each lane, then the second of each, and so on.
        order = np.argsort(number, kind="stable")
        bounds = np.cumsum([0, *np.bincount(number)])
        row = (table_mean(e) - self.tables.e_first)[order]
        low, lost, lane = self.tables.low[t[order], row], lost_bits(e)[order], active[place[order]]
        pool, base, first, n = self._pool(t[order], row)
        found_values = np.zeros(len(place), np.int64)
        any_lost = lost.any()
        for a, b in pairwise(bounds):
            here = lane[a:b]
            slot = lanes.slot(here, VALUE_BITS)
            found = pool.searchsorted(base[a:b] + slot, side="right") - 1
            start = pool[found]
            lanes.pop(here, slot, start - base[a:b], pool[found + 1] - start, VALUE_BITS)
            i = found - first[a:b]
            value = low[a:b] + i
            out = (i == n[a:b]).nonzero()[0]
            if len(out):
                length = lanes.raw(here[out], np.full(len(out), 6))
                value[out] = lanes.raw(here[out], length)
            if any_lost:
                large = lost[a:b].nonzero()[0]
                rest = lanes.raw(here[large], lost[a:b][large])
                value[large] = (value[large] << lost[a:b][large]) | rest
            found_values[a:b] = value
        if len(place) and (found_values.min() < 1 or found_values.max() >= 1 << 31):
            raise ValueError("a chunk has a count that is none")
        values = np.empty(len(place), np.int64)
        values[order] = found_values
        return values

    def _pool(self, t, row):  # type: ignore[no-untyped-def]
        """Starts of all tables that some values need, one table 2^17 above the one before.

        Then for each value by how much its table is raised, where that begins and what it has.
        """
        tables, at = np.unique(t * (1 << 20) + row, return_inverse=True)
        starts = [self.tables.starts[one >> 20][one & ((1 << 20) - 1)] for one in tables.tolist()]
        raised = [one + (number << 17) for number, one in enumerate(starts)]
        lengths = np.array([len(one) for one in starts], dtype=np.int64)
        first = np.cumsum(lengths) - lengths
        pool = np.concatenate([*raised, np.empty(0, np.int64)])
        return pool, at << 17, first[at], lengths[at] - 2
