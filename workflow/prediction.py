"""How large the data are, read from file headers, and what a job on them needs.

The rules ask a cluster for these amounts, `scpress doctor` prints them, and
benchmarks/resources.py compares them with what real jobs took. Nothing here needs scpress, and
h5py only where it is installed: without it the size of a file is the guide.
"""

import functools
import gzip
import json
from pathlib import Path
from typing import NamedTuple


class Size(NamedTuple):
    """Cells, and stored values of the count matrix; a file without a matrix has none."""

    cells: int
    nonzeros: int


class Cost(NamedTuple):
    """What a rule needs: MB and minutes at the start, then by the cell and by the stored value."""

    mb: int
    bytes_per_cell: int
    bytes_per_nonzero: int
    minutes: int
    minutes_per_1000_cells: float


# Measured by benchmarks/scale.py on 10,000 to 200,000 cells (docs/benchmarks.md), then rounded up
# by a third for memory and by three for time: other processors are slower, file systems too.
COSTS = {
    # A text file whose entries are not sorted by cell is held in memory as a whole.
    "ingest": Cost(1000, 2_000, 24, 10, 0.1),
    # A few copies of the counts, and 30 components of each cell and its two simulated doublets.
    "qc": Cost(1500, 5_000, 40, 10, 0.15),
    "merge": Cost(1500, 2_000, 2, 20, 0.1),
    # As `likelihood`, with all genes.
    "genes": Cost(2000, 2_000, 80, 720, 3.0),
    "normalize": Cost(1500, 3_000, 8, 20, 0.1),
    # Sparse counts of the modelled genes, at most all of them.
    "train": Cost(1500, 1_000, 24, 120, 0.5),
    "embed": Cost(1500, 1_000, 12, 20, 0.1),
    "denoise": Cost(1500, 1_000, 12, 20, 0.5),
    # Scores are of a subsample of the cells; latents are of all.
    "evaluate": Cost(2000, 1_000, 4, 30, 0.2),
    # As a training, with one fold beside it; the folds are trained one after the other.
    "thin": Cost(1500, 2_000, 16, 20, 0.1),
    "likelihood": Cost(1500, 1_000, 40, 720, 3.0),
    "search": Cost(1500, 1_000, 24, 30, 0.1),
    # At most as long as the trainings of a score.
    "trial": Cost(1500, 1_000, 40, 240, 1.0),
    "rank": Cost(1000, 0, 0, 10, 0.0),
    "score": Cost(1500, 1_000, 40, 240, 1.0),
    "ensemble": Cost(1500, 1_000, 40, 30, 0.5),
    "baselines": Cost(1500, 1_000, 40, 60, 0.5),
    "choose": Cost(1000, 0, 0, 10, 0.0),
    # Some trainings, one after the other, on all cells and on parts of them.
    "learning_curve": Cost(1500, 1_500, 60, 720, 6.0),
    # All modelled counts, as `score`, and the neighbours of the cells that were held out.
    "recommend": Cost(1500, 1_000, 40, 60, 1.0),
    "cluster": Cost(1500, 8_000, 0, 30, 0.5),
    "annotate": Cost(1500, 2_000, 14, 20, 0.1),
    "subtype": Cost(1500, 2_000, 20, 30, 0.3),
    # A training, `cluster` and `subtype` for each copy, and some copies of the modelled counts.
    "false_signals": Cost(1500, 10_000, 60, 240, 3.0),
    # Counts of every donor and type, which are fewer than those of cells.
    "cohort": Cost(1500, 2_000, 16, 20, 0.1),
    # The file has no cells: the same for all cohorts, of hundreds of donors at most.
    "biomarkers": Cost(4000, 0, 8, 120, 0.0),
    "classify": Cost(4000, 0, 8, 120, 0.0),
    "survival": Cost(4000, 0, 8, 120, 0.0),
    # Cells are walked over once, and twenty draws of them are kept beside it.
    "donor_subtypes": Cost(4000, 200, 8, 120, 0.1),
    "drug_response": Cost(4000, 0, 8, 240, 0.0),
    "perturbation": Cost(4000, 0, 8, 60, 0.0),
    # Cells that are drawn are moved, some hundred of them; latents of all seeds are read.
    "programs": Cost(1500, 500, 0, 30, 0.5),
    # Two data sets in memory, a short training, and distances in the latent.
    "reference": Cost(2000, 3_000, 60, 60, 0.5),
    "transfer": Cost(2000, 3_000, 60, 60, 0.5),
    # A training for each seed and fold, on a part of the cells, and two scores of all of them.
    "anomaly": Cost(1500, 2_000, 60, 240, 3.0),
    # A pass over the sequences of 1,000 cells takes seconds, and there are up to 150.
    "receptors": Cost(1500, 10_000, 0, 60, 10.0),
    "compress": Cost(1500, 2_000, 24, 30, 0.2),
    "pack": Cost(1500, 2_000, 8, 20, 0.5),
    "assemble": Cost(1500, 2_000, 10, 20, 0.1),
    "report": Cost(1500, 2_000, 10, 20, 0.1),
}
# Rules of one submitted job, one after the other: the most memory of any, the time of all.
GROUPS = {"sample": ("ingest", "qc")}

# A matrix that is not stored sparsely is taken to be filled to a fifth, more than any real one.
_DENSE_FILL = 5
# Compressed bytes of one stored value and its index, and stored values of one cell: for files
# whose header cannot be read. Both err on the side of a larger request.
_BYTES_PER_NONZERO, _NONZEROS_PER_CELL = 2, 1000
# What gzip saves on a table of small numbers.
_GZIP_RATIO = 8


def memory_mb(rule: str, size: Size) -> int:
    """Memory of a job of the rule, MB."""
    cost = COSTS[rule]
    data = cost.bytes_per_cell * size.cells + cost.bytes_per_nonzero * size.nonzeros
    return cost.mb + round(data / 1e6)


def runtime_minutes(rule: str, size: Size) -> int:
    """Time of a job of the rule, minutes."""
    cost = COSTS[rule]
    return cost.minutes + round(cost.minutes_per_1000_cells * size.cells / 1000)


def largest(sizes: list[Size]) -> Size:
    """Size of the largest of some files, for rules whose inputs are of the same cells."""
    return Size(*map(max, zip(*sizes, strict=True))) if sizes else Size(0, 0)


def total(sizes: list[Size]) -> Size:
    """Size of files that will be joined."""
    return Size(*map(sum, zip(*sizes, strict=True)))


def measure(path) -> Size:
    """Cells and stored values of a raw file, a folder or an h5ad file, from its header.

    Raises
    ------
    FileNotFoundError
        It is not there (yet): Snakemake then asks again when it is.
    """
    path = Path(path)
    modified = path.stat().st_mtime_ns
    return _measure(path, modified)


# One file is asked about for several resources of several jobs.
@functools.cache
def _measure(path: Path, modified: int) -> Size:
    try:
        return read_header(path) or _guess(path)
    except FileNotFoundError:
        raise
    except Exception:
        # A damaged or unknown file: its own job says what is wrong with it, in one line.
        return _guess(path)


def read_header(path: Path) -> Size | None:
    """Size by the header alone; None where nothing here can read it. Damage raises anything."""
    name = path.name.lower().removesuffix(".gz")
    if path.is_dir():
        matrices = sorted(path.glob("*matrix.mtx*"))
        return _read_mtx(matrices[0]) if matrices else _read_zarr(path)
    if name.endswith(".mtx"):
        return _read_mtx(path)
    if name.endswith((".csv", ".tsv", ".txt")):
        return _read_table(path)
    return _read_hdf5(path)


def _guess(path: Path) -> Size:
    files = path.rglob("*") if path.is_dir() else [path]
    nonzeros = sum(file.stat().st_size for file in files) // _BYTES_PER_NONZERO
    return Size(nonzeros // _NONZEROS_PER_CELL, nonzeros)


def _read_hdf5(path: Path) -> Size | None:
    """AnnData, 10x of both versions, loom."""
    try:
        import h5py
    except ImportError:
        return None
    # Without locks, which many network file systems refuse: nothing is written.
    with h5py.File(path, "r", locking=False) as file:
        if "obs" in file and "var" in file:
            obs = file["obs"]
            index = obs[obs.attrs["_index"]] if hasattr(obs, "keys") else obs
            found = [file[name] for name in ("X", "raw/X") if name in file]
            found += list(file["layers"].values()) if "layers" in file else []
            # Text of pandas 3 is a group of values and which are missing.
            index = index["values"] if hasattr(index, "keys") else index
            return Size(len(index), max((_count_stored(one) for one in found), default=0))
        if "matrix" in file and hasattr(file["matrix"], "shape"):
            genes, cells = file["matrix"].shape
            return Size(cells, genes * cells // _DENSE_FILL)
        group = file["matrix"] if "matrix" in file else next(iter(file.values()))
        return Size(len(group["barcodes"]), len(group["data"]))


def _count_stored(element) -> int:
    if hasattr(element, "keys"):
        return len(element["data"]) if "data" in element else 0
    return element.size // _DENSE_FILL


def _read_zarr(path: Path) -> Size:
    """AnnData in a zarr folder of format 2 or 3, whose headers are JSON."""

    def shape_of(folder: Path) -> list[int]:
        header = folder / ".zarray"
        header = header if header.exists() else folder / "zarr.json"
        return json.loads(header.read_text())["shape"]

    stored = []
    for matrix in [path / "X", path / "raw/X", *path.glob("layers/*")]:
        if (matrix / "data").is_dir():
            stored.append(shape_of(matrix / "data")[0])
            cells = max(shape_of(matrix / "indptr")[0] - 1, 0)
        elif (matrix / ".zarray").exists() or (matrix / "zarr.json").exists():
            cells, genes = shape_of(matrix)
            stored.append(cells * genes // _DENSE_FILL)
    return Size(cells, max(stored))


def _open_text(path: Path):
    return gzip.open(path, "rt") if path.suffix == ".gz" else path.open()


def _read_mtx(path: Path) -> Size:
    with _open_text(path) as file:
        line = next(line for line in file if not line.startswith("%"))
    rows, columns, nonzeros = (int(word) for word in line.split())
    # Genes are the rows of all but a few; of the two, cells are what costs.
    return Size(max(columns, min(rows, nonzeros // _NONZEROS_PER_CELL)), nonzeros)


def _read_table(path: Path) -> Size:
    """A dense table, by its first line and its bytes; two of them at least are one value."""
    separator = "," if ".csv" in path.name.lower() else "\t"
    with _open_text(path) as file:
        columns = max(file.readline().count(separator), 1)
    values = path.stat().st_size * (_GZIP_RATIO if path.suffix == ".gz" else 1) // 2
    rows = values // columns
    return Size(max(rows, columns), values // _DENSE_FILL)
