"""The archive's coder beside constriction's (`pip install constriction`): bytes and speed.

    python benchmarks/coders.py counts.h5ad [--repeats 5]

Both code the same symbols with the same chances: for each cell and each gene that the archive codes
one by one, whether the gene has a count. One thread; the median of repeats.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
from archive import counts_of

from scpress.archive import loops
from scpress.archive.codec import CountsCodec
from scpress.archive.encoding import push
from scpress.archive.numpy_reader import E_MAX, LANES, ZERO_BITS
from scpress.archive.survey import level_of, library_of


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="h5ad with counts in X")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    flags, nonzero = symbols_of(arguments.file)
    p = nonzero / 2.0**ZERO_BITS
    entropy = -np.log2(np.where(flags, p, 1 - p)).sum() / 8
    print(
        f"{len(flags):,} symbols, of which {flags.mean():.0%} are ones; ideal {entropy:,.0f} bytes"
    )
    print("| coder | bytes | encode, symbols/us | decode, symbols/us |\n|---|---|---|---|")
    coders = {"scpress, rANS in compiled loops": rans(flags, nonzero)}
    coders |= constrictions(flags, p)
    for name, (encode, decode) in coders.items():
        words = encode()
        assert np.array_equal(decode(words), flags), name
        speeds = [
            len(flags) / 1e6 / seconds(work, arguments.repeats)
            for work in (encode, lambda decode=decode, words=words: decode(words))
        ]
        print(f"| {name} | {4 * len(words):,} | {speeds[0]:.1f} | {speeds[1]:.1f} |")


def symbols_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Whether each direct gene of each cell has a count, and its chance, of 2^28."""
    X = counts_of(path)
    codec = CountsCodec.fit(lambda: iter([X]), X.shape)
    p = codec.parameters
    e_first, nonzero = codec._model[:2]
    e = level_of(library_of(X))[:, None] + p.b[p.direct]
    # A second lane has as many symbols as the first.
    e = e[: len(e) // LANES * LANES]
    rows = codec._direct[1] + np.clip(e, e_first, E_MAX)
    flags = (X[: len(e), p.direct] > 0).toarray().ravel()
    return flags, np.clip(nonzero[rows].ravel(), 1 << 6, (1 << ZERO_BITS) - (1 << 6))


def rans(flags: np.ndarray, nonzero: np.ndarray) -> tuple:
    """Encode and decode by the loops of the archive, half of the symbols in each lane."""
    zero = (1 << ZERO_BITS) - nonzero
    rows = np.arange(len(flags)).reshape(LANES, -1)

    def encode() -> np.ndarray:
        start, size = np.where(flags, zero, 0), np.where(flags, nonzero, zero)
        symbols = start.astype(np.uint64) | size.astype(np.uint64) << np.uint64(28)
        symbols |= np.uint64(ZERO_BITS) << np.uint64(57)
        words, lanes = np.empty(len(flags) + 2, np.uint32), []
        for lane in symbols.reshape(LANES, -1):
            used = push(lane, len(lane), words)
            lanes.append(words[len(words) - used :].copy())
        return np.concatenate([lanes[0], lanes[1][::-1]])

    def decode(words: np.ndarray) -> np.ndarray:
        ends = ((words[1], words[0]), (words[-2], words[-1]))
        states = tuple(np.uint64(int(high) << 32 | int(low)) for high, low in ends)
        found = np.empty((LANES, rows.shape[1] + 1), np.int32)
        places = 2, len(words) - 3
        n, _, _ = loops._pop_flags(states, words, places, nonzero, rows, found)
        out = np.zeros(rows.shape, bool)
        for lane in range(LANES):
            out[lane, found[lane, : n[lane]]] = True
        return out.ravel()

    return encode, decode


def constrictions(flags: np.ndarray, p: np.ndarray) -> dict[str, tuple]:
    """Encode and decode by constriction's stack and queue, where it is installed."""
    try:
        import constriction
    except ImportError:
        print("constriction is not installed, so scpress stands alone")
        return {}
    model, queue, stack = (getattr(constriction.stream, n) for n in ("model", "queue", "stack"))
    symbols, family = flags.astype(np.int32), model.Bernoulli(perfect=False)

    def encode_stack() -> np.ndarray:
        coder = stack.AnsCoder()
        coder.encode_reverse(symbols, family, p)
        return coder.get_compressed()

    def encode_queue() -> np.ndarray:
        coder = queue.RangeEncoder()
        coder.encode(symbols, family, p)
        return coder.get_compressed()

    return {
        "constriction, ANS": (encode_stack, lambda w: stack.AnsCoder(w).decode(family, p) == 1),
        "constriction, range": (
            encode_queue,
            lambda w: queue.RangeDecoder(w).decode(family, p) == 1,
        ),
    }


def seconds(work: object, repeats: int) -> float:
    """Median seconds."""
    took = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()  # type: ignore[operator]
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


if __name__ == "__main__":
    main()
