"""Small raw files of every format, damaged by chance, read in another process, and judged."""

import gzip
import json
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
from raw_files import write_all

# Case of raw_files.write_all -> the reader that judges it.
CASES = {
    "h5ad_csr": "h5ad",
    "h5ad_csc": "h5ad",
    "h5ad_dense": "h5ad",
    "h5ad_float32": "h5ad",
    "zarr_csr": "zarr",
    "zarr_dense": "zarr",
    "10x_v3": "10x",
    "10x_v2": "10x",
    "mtx_v2": "mtx",
    "mtx_v3": "mtx",
    "loom": "loom",
    "csv": "csv",
    "tsv": "tsv",
}
TIMEOUT = 20.0


def write_cases(folder):
    counts = np.random.default_rng(0).poisson(0.8, (23, 11)).astype(np.int32)
    return {name: path for name, (path, _) in write_all(folder, counts).items() if name in CASES}


def damage_bytes(data, rng):
    """Bytes changed, zeroed, cut off, left out or written twice."""
    data = bytearray(data)
    at, n = int(rng.integers(len(data))), int(rng.integers(1, 9))
    kind = rng.integers(6)
    if kind <= 1:
        data[at] = int(rng.integers(256))
    elif kind == 2:
        data[at : at + n] = bytes(len(data[at : at + n]))
    elif kind == 3:
        del data[at:]
    elif kind == 4:
        del data[at : at + n]
    else:
        data[at:at] = data[at : at + n]
    return bytes(data)


def damage_text(data, rng):
    """One character of a text is another one, or a line is gone, twice or elsewhere."""
    text = data.decode()
    kind = rng.integers(4)
    if kind <= 1:
        at = int(rng.integers(len(text)))
        letters = "0123456789.-eE \t\n,\0\"'x%"
        return (text[:at] + letters[rng.integers(len(letters))] + text[at + 1 :]).encode()
    lines = text.splitlines(keepends=True)
    first, second = (int(i) for i in rng.integers(len(lines), size=2))
    if kind == 2:
        lines[first], lines[second] = lines[second], lines[first]
    elif rng.integers(2):
        del lines[first]
    else:
        lines.insert(second, lines[first])
    return "".join(lines).encode()


def damage_hdf5(path, rng):
    """A value, a type, a length or a place of one of the datasets is wrong."""
    with h5py.File(path, "a") as file:
        found = []
        file.visititems(lambda n, o: found.append(n) if isinstance(o, h5py.Dataset) else None)
        matrix = [n for n in found if n.rsplit("/")[-1] in ("data", "indices", "indptr", "shape")]
        names = [n for n in [*matrix, "X", "matrix"] if n in found] if rng.integers(4) else found
        name = names[rng.integers(len(names))]
        attributes, kind = dict(file[name].attrs), rng.integers(8)
        values = file[name][...]
        if not values.size or values.dtype.kind not in "iuf":
            kind = min(kind, 1)
        if kind == 0:
            del file[name]
            return
        if kind == 1:
            other = names[rng.integers(len(names))]
            file.move(name, "held_aside")
            if other != name:
                file.move(other, name)
            file.move("held_aside", other)
            return
        if kind == 2 and "X" in file and "shape" in file["X"].attrs:
            shape = file["X"].attrs["shape"]
            words = {"csr_matrix": "csc_matrix", "csc_matrix": "csr_matrix"}
            if rng.integers(2):
                file["X"].attrs["shape"] = (
                    shape[::-1] if rng.integers(2) else shape + np.array([0, 1])
                )
            else:
                file["X"].attrs["encoding-type"] = words[file["X"].attrs["encoding-type"]]
            return
        at = int(rng.integers(values.size))
        if kind <= 4:
            extremes = [0, 1, 2, 10, 11, 12, 13, 23, 24, 2**31 - 1]
            extreme = np.array([*extremes, -1, -(2**31)])[rng.integers(len(extremes) + 2)]
            values.ravel()[at] = extreme.astype(values.dtype)
        elif kind == 5:
            values = values[:-1] if rng.integers(2) else np.concatenate([values, values[-1:]])
        elif kind == 6:
            values = values.astype(["f8", "i8", "u1", "f4"][rng.integers(4)])
        else:
            values.ravel()[at:] = values.ravel()[at:][::-1].copy()
        del file[name]
        file[name] = values
        file[name].attrs.update(attributes)


def damage(source, target, rng):
    """Copy a file or folder with one damage.

    HDF5 files are cut off or changed inside their datasets: what becomes of any other byte is up to
    the HDF5 library.
    """
    if source.is_dir():
        shutil.copytree(source, target)
        files = sorted(path for path in target.rglob("*") if path.is_file())
        one = files[rng.integers(len(files))]
        kind = rng.integers(6) if "zarr" in source.suffix else 2
        if kind == 0:
            one.unlink()
            return
        if kind == 1:
            other = files[rng.integers(len(files))]
            one_data, other_data = one.read_bytes(), other.read_bytes()
            one.write_bytes(other_data)
            other.write_bytes(one_data)
            return
    else:
        shutil.copy(source, target)
        one = target
    data = one.read_bytes()
    if h5py.is_hdf5(one):
        if rng.integers(8) == 0:
            one.write_bytes(data[: int(rng.integers(len(data)))])
        else:
            damage_hdf5(one, rng)
    elif one.suffix == ".gz":
        whole = rng.integers(2)
        text = data if whole else gzip.decompress(data)
        changed = damage_bytes(text, rng) if whole else damage_text(text, rng)
        one.write_bytes(changed if whole else gzip.compress(changed, mtime=0))
    elif one.suffix in (".json", ".mtx", ".tsv", ".csv", ".txt") or one.name[:2] == ".z":
        one.write_bytes(damage_text(data, rng) if rng.integers(3) else damage_bytes(data, rng))
    else:
        one.write_bytes(damage_bytes(data, rng))


class Worker:
    """A script that answers a line with a line, in a process that is begun again when it ends."""

    def __init__(self, script):
        self._script, self._process = Path(__file__).with_name(script), None

    def ask(self, question, *, timeout=TIMEOUT):
        """The answer, or what became of the process: signal or hang, and why."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-u", self._script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            self._process.stdout.readline()
        self._process.stdin.write((json.dumps(question) + "\n").encode())
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            self.close()
            return "hang", f"{timeout:g} s"
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self.close()
            return "signal", f"exit code {code}"
        return tuple(json.loads(line))

    def close(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None


class Readers(Worker):
    """The package and the judge."""

    def __init__(self):
        super().__init__("worker.py")

    def judge(self, path, case):
        """One of right, refused, wrong, traceback, signal, hang; and why."""
        return self.ask([str(path), CASES[case]])


def outcomes(folder, n, *, seed):
    """Damage and judge files of all formats in turn: case, seed of the damage, outcome, why."""
    sources = write_cases(folder / "sources")
    readers = Readers()
    try:
        for i in range(n):
            case = list(CASES)[i % len(CASES)]
            target = folder / f"{i}{sources[case].suffix}"
            if sources[case].name.endswith(".gz"):
                target = folder / f"{i}.{sources[case].name}"
            rng = np.random.default_rng([seed, i])
            damage(sources[case], target, rng)
            yield (case, i, *readers.judge(target, case))
            shutil.rmtree(target) if target.is_dir() else target.unlink()
    finally:
        readers.close()
