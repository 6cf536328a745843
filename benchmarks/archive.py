"""The archive beside what people store counts in: bytes a cell, and speed both ways.

    python benchmarks/archive.py counts.h5ad [more.h5ad ...]
    python benchmarks/archive.py counts.h5ad --speed [--repeats 5]
    python benchmarks/archive.py counts.h5ad --million

Bytes hold everything of the AnnData for the archive and for h5ad, the counts alone (as int32) for
the others: zstd -19 of CSR, BP-128 as BPCells packs (its wheel, if it is installed, else computed),
and the best layout made by hand, genes sorted by detection, gaps and values as bytes, xz -9e.
Speed is in bytes of CSR, 8 for each nonzero, of one thread, and of two; the median of repeats.
With --million, cells are drawn from the file again to a million by 2,000 genes and packed, unpacked
and read at random, with the peak of anonymous memory.
"""

import argparse
import lzma
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from numcodecs import Zstd
from scipy import sparse

from scpress import open_archive
from scpress.archive.codec import CountsCodec
from scpress.archive.numpy_reader import CountsReader
from scpress.io.h5ad import write_h5ad_streamed


def main() -> None:
    """Print tables of bytes, and of speed where asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", help="h5ad files with counts in X")
    parser.add_argument("--speed", action="store_true", help="read and write, too")
    parser.add_argument("--million", action="store_true", help="a million cells, too")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(
            "| file | archive | without names | h5ad, gzip | ratio | zstd -19 | BP-128 | by hand |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for path in arguments.files:
            print(row_of_bytes(path, folder), flush=True)
        for path in arguments.files if arguments.speed else ():
            tell_speed(path, folder, arguments.repeats)
        if arguments.million:
            tell_million(arguments.files[0], folder)


def counts_of(path: Path) -> sparse.csr_matrix:
    """[cells, genes] X as int32, canonical."""
    X = sparse.csr_matrix(ad.read_h5ad(path).X).astype(np.int32)
    X.eliminate_zeros()
    X.sort_indices()
    return X


def row_of_bytes(path: Path, folder: Path) -> str:
    """A line of the table, in bytes a cell."""
    packed, zipped = folder / "a.scp", folder / "a.h5ad"
    scpress("pack", path, "--output", packed)
    ad.read_h5ad(path).write_h5ad(zipped, compression="gzip")
    X = counts_of(path)
    with open_archive(packed) as archive:
        rest = archive.describe()["sections"]["REST"]
    n = X.shape[0]
    size, gzip = packed.stat().st_size / n, zipped.stat().st_size / n
    csr = X.data.tobytes() + X.indices.astype(np.int32).tobytes()
    zstd, hand = len(Zstd(19).encode(csr)) / n, by_hand(X) / n
    packing = bit_packed(X, folder) / n
    values = (size, size - rest / n, gzip, gzip / size, zstd, packing, hand)
    cells = " | ".join(f"{value:.{2 if value == gzip / size else 1}f}" for value in values)
    return f"| {path.stem} ({n:,} x {X.shape[1]:,}) | {cells} |"


def by_hand(X: sparse.csr_matrix) -> int:
    """Bytes of gaps between genes sorted by detection, and of values, each byte with its like."""
    order = np.argsort(-np.bincount(X.indices, minlength=X.shape[1]), kind="stable")
    sorted_genes = sparse.csr_matrix(X[:, order])
    sorted_genes.sort_indices()
    gaps = np.diff(sorted_genes.indices.astype(np.int64), prepend=0)
    starts = sorted_genes.indptr[:-1][np.diff(sorted_genes.indptr) > 0]
    gaps[starts] = sorted_genes.indices[starts]
    total = 2 * X.shape[0]  # nonzeros of each cell
    for values in (gaps, sorted_genes.data.astype(np.int64) - 1):
        by_byte = values.astype("<u4").view(np.uint8).reshape(-1, 4).T.tobytes()
        total += len(lzma.compress(by_byte, preset=9 | lzma.PRESET_EXTREME))
    return total


def bit_packed(X: sparse.csr_matrix, folder: Path) -> int:
    """Bytes of BPCells' packing, cell by cell; without its wheel, blocks of 128 in enough bits."""
    try:
        from bpcells.experimental import DirMatrix
    except ImportError:
        # Differences within 128 of the genes, the first as it is; values less 1.
        padded = np.pad(X.indices.astype(np.int64), (0, -X.nnz % 128), "edge").reshape(-1, 128)
        steps = np.diff(padded, axis=1, prepend=padded[:, :1])
        steps = np.where(steps >= 0, 2 * steps, -2 * steps - 1)
        ones = np.pad(X.data.astype(np.int64) - 1, (0, -X.nnz % 128)).reshape(-1, 128)
        tops = [int(top) for values in (steps, ones) for top in values.max(axis=1)]
        return sum(16 * top.bit_length() + 4 for top in tops) + 8 * X.shape[0]
    place = folder / "bp"
    DirMatrix.from_scipy_sparse(X, str(place))
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())


def scpress(*words: object) -> None:
    """Run a verb quietly."""
    command = [sys.executable, "-m", "scpress", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True)


# speed -------------------------------------------------------------------------------------------


def tell_speed(path: Path, folder: Path, repeats: int) -> None:
    """Print MB of CSR a second: the codec alone, and h5py reading the gzipped h5ad."""
    X = counts_of(path)
    zipped = folder / "a.h5ad"
    ad.AnnData(X).write_h5ad(zipped, compression="gzip")
    speed = {}
    for threads in (1, 2):
        codec = CountsCodec.fit(lambda: iter([X]), X.shape, threads=threads)
        chunks = codec.encode(X)
        step = codec.cells_per_chunk
        bounds = np.array([*range(0, X.shape[0], step), X.shape[0]])
        cells, nonzeros = np.diff(bounds).tolist(), np.diff(X.indptr[bounds]).tolist()

        def fit(threads: int = threads) -> None:
            CountsCodec.fit(lambda: iter([X]), X.shape, threads=threads)

        speed[f"fit, {threads}"] = megabytes(X, repeats, fit)
        speed[f"encode, {threads}"] = megabytes(X, repeats, lambda c=codec: c.encode(X))
        speed[f"decode, {threads}"] = megabytes(
            X, repeats, lambda c=codec, k=chunks, n=cells, m=nonzeros: c.decode(k, n, m)
        )
    reader = CountsReader(codec.to_bytes(), X.shape[1])
    speed["decode, numpy alone"] = megabytes(X, 1, lambda: reader.decode(chunks, cells))

    def read_gzip() -> None:
        with h5py.File(zipped) as file:
            for name in ("data", "indices", "indptr"):
                file[f"X/{name}"][:]

    speed["h5py, gzip"] = megabytes(X, repeats, read_gzip)
    print(f"\n{path.stem}: MB of CSR a second")
    for name, value in speed.items():
        print(f"  {name:<22} {value:7.1f}")
    print(f"  decode: two threads are {speed['decode, 2'] / speed['decode, 1']:.2f} of one")
    both = 1 / (1 / speed["fit, 1"] + 1 / speed["encode, 1"])
    print(f"  fit and encode: {both:.1f}")


def megabytes(X: sparse.csr_matrix, repeats: int, work: object) -> float:
    """MB of CSR a second, the median."""
    took = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()  # type: ignore[operator]
        took.append(time.perf_counter() - begun)
    return X.nnz * 8e-6 / statistics.median(took)


# a million cells ---------------------------------------------------------------------------------


def tell_million(path: Path, folder: Path, n_cells: int = 1_000_000, n_genes: int = 2000) -> None:
    """Print time, bytes and memory of packing, unpacking, and reading 1,000 cells at random."""
    X = counts_of(path)
    top = np.sort(np.argsort(-np.asarray(X.sum(axis=0)).ravel())[:n_genes])
    X = X[:, top]
    source, packed, back = folder / "m.h5ad", folder / "m.scp", folder / "back.h5ad"
    rng = np.random.default_rng(0)
    rest = ad.AnnData(
        obs=pd.DataFrame(index=[f"cell{i}" for i in range(n_cells)]),
        var=pd.DataFrame(index=[f"gene{i}" for i in range(len(top))]),
    )
    blocks = (X[rng.integers(0, X.shape[0], 10_000)] for _ in range(n_cells // 10_000))
    write_h5ad_streamed(source, rest, {"X": blocks}, dtypes={"X": np.int32})
    for words in (("pack", source, "--output", packed), ("unpack", packed, "--output", back)):
        begun = time.perf_counter()
        peak = anonymous_peak(*words)
        print(f"{words[0]}: {time.perf_counter() - begun:.0f} s, {peak:.0f} MB of anonymous memory")
    with open_archive(packed) as archive:
        rows = np.sort(rng.choice(n_cells, 1000, replace=False))
        begun = time.perf_counter()
        found = archive[rows]
        part = archive.count_nonzeros(rows) / archive.header.nnz
        print(f"{packed.stat().st_size / n_cells:.1f} bytes a cell")
        print(
            f"1,000 random cells ({found.nnz:,} nonzeros): {time.perf_counter() - begun:.2f} s, "
            f"{100 * part:.2f} % of the nonzeros decoded"
        )


def anonymous_peak(*words: object) -> float:
    """Peak of the anonymous memory of a verb and its child, MB."""
    command = [sys.executable, "-m", "scpress", *map(str, words)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, sum(map(anonymous, [process.pid, *children(process.pid)])))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{words[0]} failed")
    return peak


def children(process: int) -> list[int]:
    """Numbers of the processes that a process has started."""
    try:
        return [
            int(n) for n in Path(f"/proc/{process}/task/{process}/children").read_text().split()
        ]
    except OSError:
        return []


def anonymous(process: int) -> float:
    """Anonymous memory of a process, MB."""
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1e3
    except OSError:
        pass
    return 0.0


if __name__ == "__main__":
    main()
