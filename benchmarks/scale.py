"""How much time and memory every verb takes as the cells become many.

    python benchmarks/scale.py [--cells 10000 50000 200000] [--quick] [--only train compress ...]

writes a sparse matrix of 2,000 genes (160 of them in each cell) to a temporary folder, runs the
chain on it, each verb in a process of its own with one thread, and prints seconds and the peak of
the resident memory. `--quick` trains few steps and subsamples little, as tests/test_scale.py does;
without it every option is as shipped. `--only` still runs what comes before the last of its verbs.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

N_GENES = 2000
GENES_PER_CELL = 160
TYPES = ("B", "NK", "T", "monocyte")

# VmHWM is the peak of this process image alone; the kernel's ru_maxrss of a child starts from the
# size of the process that forked it, which hides what a small child needs.
_CHILD = """
import pathlib, sys
from scpress.cli import main
code = main(sys.argv[2:])
status = pathlib.Path("/proc/self/status").read_text()
peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
pathlib.Path(sys.argv[1]).write_text(peak.split()[1])
sys.exit(code)
"""

# The pipeline on one sample; a backslash goes on to the next line.
_CHAIN = """
ingest {raw} --sample s1 --output {to}/sample.h5ad
qc --counts {to}/sample.h5ad --min-genes 100 --output {to}/qc.h5ad
merge --counts {to}/sample.h5ad --qc {to}/qc.h5ad --output {to}/counts.h5ad
normalize --counts {to}/counts.h5ad --batch-key run --output {to}/normalized.h5ad
train {both} --model scvi --preset scvi --batch-key run --device cpu \
 --output {run}/0/model.safetensors --history {run}/0/history.tsv
embed {both} --model scvi --model-file {run}/0/model.safetensors --device cpu \
 --output {run}/0/latent.h5ad
denoise {both} --model-file {run}/0/model.safetensors --genes GENE0 GENE1000 --device cpu \
 --output {to}/denoised.h5ad
evaluate --counts {to}/counts.h5ad --latent {run}/0/latent.h5ad --model scvi --batch-key run \
 --output {run}/evaluation.json
cluster --latent {run}/0/latent.h5ad --model scvi --output {to}/clusters.h5ad
annotate {both} --clusters {to}/clusters.h5ad --labels-column kind \
 --output {to}/annotation.h5ad --markers {to}/markers.tsv
subtype {both} --annotation {to}/annotation.h5ad \
 --output {to}/subtypes.h5ad --markers {to}/subtype_markers.tsv
compress {both} --latent {run}/0/latent.h5ad --model scvi \
 --model-file {run}/0/model.safetensors --output {run}/0/compression.json
pack {to}/counts.h5ad --output {to}/counts.scp --summary {to}/archive.json
export {both} --model-file {run}/0/model.safetensors --output {to}/scvi-tools
assemble {both} --latents {run}/0/latent.h5ad --clusters {to}/clusters.h5ad \
 --annotation {to}/annotation.h5ad --subtypes {to}/subtypes.h5ad --output {to}/scpress.h5ad
report --input {to}/scpress.h5ad --samples-qc {to}/qc.h5ad --histories {run}/0/history.tsv \
 --evaluations {run}/evaluation.json --compressions {run}/0/compression.json \
 --archive {to}/archive.json --markers {to}/markers.tsv \
 --output {to}/report.html --metrics {to}/metrics.json
"""

# What keeps the chain short where only its memory is asked for.
QUICK = {
    "qc": ["--no-doublets"],
    "train": [
        "--validation-fraction",
        "0.02",
        "--max-steps",
        "600",
        "--validate-every",
        "100",
        "--learning-rate",
        "0.008",
    ],
    "cluster": ["--n-subsamples", "2", "--resolutions", "0.4", "--max-cells", "5000", "--no-umap"],
    "evaluate": ["--resolutions", "0.4", "--max-cells", "3000"],
    "subtype": ["--max-subtypes", "2", "--n-subsamples", "2", "--max-cells", "2000"],
    "compress": [
        *("--pca-ranks", "10", "--nmf-ranks", "10", "--precisions", "float32"),
        *("--max-cells", "2000"),
    ],
}


@dataclass(frozen=True)
class Usage:
    """What one verb took: seconds, bytes of memory at its peak, and what it printed."""

    seconds: float
    peak_bytes: int
    output: str


def write_counts(path: Path, n_cells: int, *, n_genes: int = N_GENES, seed: int = 0) -> None:
    """Write an h5ad of `n_cells` cells, quickly: one gene of each of 160 windows of genes per cell.

    Which gene of a window is preferred depends on the cell's type, so that a model has something to
    learn; obs has `kind`, the type, and `run`, one of two batches.
    """
    import anndata as ad
    import pandas as pd
    from scipy import sparse

    rng = np.random.default_rng(seed)
    edges = np.linspace(0, n_genes, GENES_PER_CELL + 1).astype(np.int32)
    kind = rng.integers(0, len(TYPES), n_cells)
    # u ** power prefers the first genes of a window (power > 1), or the last ones.
    powers = rng.choice(np.array([0.15, 1.0, 7.0], np.float32), (len(TYPES), GENES_PER_CELL))
    place = rng.random((n_cells, GENES_PER_CELL), dtype=np.float32)
    np.power(place, powers[kind], out=place)
    np.minimum(place, np.float32(1 - 1e-6), out=place)
    columns = edges[:-1] + (place * np.diff(edges).astype(np.float32)).astype(np.int32)
    counts = 1 + rng.poisson(np.float32(1.5), columns.size).astype(np.int32)
    indptr = np.arange(0, columns.size + 1, GENES_PER_CELL, dtype=np.int32)
    X = sparse.csr_matrix((counts, columns.ravel(), indptr), shape=(n_cells, n_genes))
    obs = pd.DataFrame(
        {
            "kind": pd.Categorical(np.array(TYPES)[kind]),
            "run": pd.Categorical(np.where(rng.random(n_cells) < 0.5, "first", "second")),
        },
        index=[f"cell{number}" for number in range(n_cells)],
    )
    var = pd.DataFrame(index=[f"GENE{number}" for number in range(n_genes)])
    ad.AnnData(X, obs=obs, var=var).write_h5ad(path)


def chain(raw: Path, folder: Path) -> dict[str, list[str]]:
    """List the command line of every verb, in the order of the pipeline."""
    words = {"raw": str(raw), "to": str(folder), "run": str(folder / "models/scvi/all")}
    words["both"] = "--counts {to}/counts.h5ad --normalized {to}/normalized.h5ad"
    return {
        line.split()[0]: [
            word.format_map(words) for word in line.replace("{both}", words["both"]).split()
        ]
        for line in _CHAIN.strip().splitlines()
    }


def measure(arguments: list[str], folder: Path) -> Usage:
    """Run one verb in a process of its own.

    Raises
    ------
    RuntimeError
        The verb failed.
    """
    peak = folder / "peak"
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(peak), *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"scpress {' '.join(arguments)} failed:\n{done.stdout}")
    return Usage(seconds, int(peak.read_text()) * 1024, done.stdout)


def name_machine() -> str:
    """Processor, its cores and the system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of every verb.")
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 50_000, 200_000])
    parser.add_argument("--quick", action="store_true", help="few steps, few subsamples")
    parser.add_argument("--only", nargs="+", default=[], help="verbs to print [all]")
    arguments = parser.parse_args()
    print(f"{name_machine()}; one thread; {N_GENES} genes, {GENES_PER_CELL} detected in each cell")
    print(f"{'cells':>8}  {'verb':<10}{'seconds':>9}{'peak, MB':>10}")
    for n_cells in arguments.cells:
        with tempfile.TemporaryDirectory(prefix="scpress-scale-") as name:
            folder = Path(name)
            write_counts(folder / "raw.h5ad", n_cells)
            left = set(arguments.only)
            for verb, line in chain(folder / "raw.h5ad", folder).items():
                used = measure([*line, *(QUICK.get(verb, []) if arguments.quick else [])], folder)
                if arguments.only and verb not in arguments.only:
                    continue
                megabytes = used.peak_bytes / 1e6
                print(f"{n_cells:>8}  {verb:<10}{used.seconds:>9.1f}{megabytes:>10.0f}", flush=True)
                left.discard(verb)
                if arguments.only and not left:
                    break


if __name__ == "__main__":
    main()
