"""How much time and memory every verb takes as the cells become many.

    python benchmarks/scale.py [--cells 10000 50000 200000] [--quick] [--only train compress ...]
    python benchmarks/scale.py --source pbmc3k_raw_2700.h5ad --cells 1000000 --threads 2 --scanpy

The first writes a sparse matrix of 2,000 genes (160 of them in each cell) to a temporary folder,
the second 20 samples of cells that are drawn again from real counts, and both run the chain on it,
each verb in a process of its own, and print seconds, those of the processors, and the peak of the
resident memory; of a verb that runs once for each sample the sum and the largest. `--quick` trains
few steps and subsamples little, as tests/test_scale.py does; without it every option is as shipped.
`--only` still runs what comes before the last of its verbs. `--scanpy` does what scanpy can do of
the same, by the recipe of its tutorials, in one more process. `--keep` names a folder where the
files stay: the raw files there are used again, and so is what a verb made that `--only` does not
name. So one step of another version of the code (PYTHONPATH) is timed on the same input.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
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
# Of cells drawn again from real counts.
_SOURCE_GENES, _KEPT_MOLECULES = 20_000, 0.25

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
    """What one verb took: seconds, bytes of memory at its peak, what it printed, and of CPUs."""

    seconds: float
    peak_bytes: int
    output: str
    cpu_seconds: float = 0.0


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


# What differs where there are several samples: these run once for each, and types are found.
_OF_SAMPLES = """
ingest {raw} --sample {sample} --label-key kind --output {to}/samples/{sample}.h5ad
qc --counts {to}/samples/{sample}.h5ad --output {to}/samples/{sample}_qc.h5ad
"""
# On request alone, and of genes that real data do not have.
_NOT_OF_SAMPLES = ("denoise", "export")
_FOR_SAMPLES = {
    "merge": "merge --counts {counts} --qc {qc} --output {to}/counts.h5ad",
    "annotate": "annotate {both} --clusters {to}/clusters.h5ad"
    " --output {to}/annotation.h5ad --markers {to}/markers.tsv",
}


def sample_chain(raws: dict[str, Path], folder: Path) -> dict[str, list[list[str]]]:
    """List the command lines of every verb on several samples, in the order of the pipeline."""
    (folder / "samples").mkdir(exist_ok=True)
    lines = {}
    for verb, line in chain(folder / "raw.h5ad", folder).items():
        if verb not in _NOT_OF_SAMPLES:
            lines[verb] = [["sample" if word == "run" else word for word in line]]
    lists = {
        "counts": [f"{folder}/samples/{sample}.h5ad" for sample in raws],
        "qc": [f"{folder}/samples/{sample}_qc.h5ad" for sample in raws],
    }
    both = "--counts {to}/counts.h5ad --normalized {to}/normalized.h5ad"
    for verb, text in _FOR_SAMPLES.items():
        words = []
        for word in text.replace("{both}", both).split():
            name = word.strip("{}")
            words += lists[name] if name in lists else [word.format(to=folder)]
        lines[verb] = [words]
    for text in _OF_SAMPLES.strip().splitlines():
        lines[text.split()[0]] = [
            text.format(raw=raw, sample=sample, to=folder).split() for sample, raw in raws.items()
        ]
    report = lines["report"][0]
    at = report.index("--samples-qc")
    report[at + 1 : at + 2] = lists["qc"]
    return lines


def output_of(line: list[str]) -> Path:
    """File that a command line ends with."""
    return Path(line[line.index("--output") + 1])


def measure(arguments: list[str], folder: Path, *, threads: int = 1) -> Usage:
    """Run one verb in a process of its own.

    Raises
    ------
    RuntimeError
        The verb failed.
    """
    peak = folder / "peak"
    start, before = time.perf_counter(), _children_seconds()
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(peak), *arguments, "--threads", str(threads)],
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"scpress {' '.join(arguments)} failed:\n{done.stdout}")
    cpu_seconds = _children_seconds() - before
    return Usage(seconds, int(peak.read_text()) * 1024, done.stdout, cpu_seconds)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def name_machine() -> str:
    """Processor, its cores and the system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def write_samples(
    source: Path, folder: Path, n_cells: int, *, n_samples: int, seed: int = 0
) -> dict[str, Path]:
    """Write samples of cells drawn again from real counts; name -> file.

    A new cell takes each molecule of two cells of a type by a chance that leaves some 500 detected
    genes, so that its type is all there is to find; obs has `kind`, the type. Of the source's genes
    the 20,000 that most cells have stay.
    """
    import anndata as ad
    import pandas as pd
    from scipy import sparse

    raw = ad.read_h5ad(source)
    X = sparse.csr_matrix(raw.X)
    genes = np.sort(np.argsort(-np.bincount(X.indices, minlength=X.shape[1]))[:_SOURCE_GENES])
    X, var = X[:, genes], raw.var.iloc[genes]
    kinds = raw.obs["cell_type"].astype(str).to_numpy()
    sizes = np.full(n_samples, n_cells // n_samples)
    sizes[: n_cells % n_samples] += 1
    folder.mkdir(exist_ok=True)
    paths = {}
    for number, size in enumerate(sizes):
        paths[f"s{number}"] = path = folder / f"s{number}.h5ad"
        if path.exists():
            continue
        rng = np.random.default_rng([seed, number])
        first = rng.integers(0, len(kinds), size)
        second = np.empty_like(first)
        for kind in np.unique(kinds):
            here = kinds[first] == kind
            second[here] = rng.choice(np.flatnonzero(kinds == kind), here.sum())
        mixed = sparse.csr_matrix((size, len(genes)), dtype=np.int32)
        for rows in (first, second):
            half = X[rows].astype(np.int32)
            half.data = rng.binomial(half.data, _KEPT_MOLECULES).astype(np.int32)
            mixed = mixed + half
        mixed.eliminate_zeros()
        mixed.sort_indices()
        names = [f"cell{one}" for one in range(size)]
        obs = pd.DataFrame({"kind": pd.Categorical(kinds[first])}, index=names)
        ad.AnnData(mixed, obs=obs, var=var).write_h5ad(path)
    return paths


def scanpy_recipe(paths: list[str]) -> None:
    """What scanpy does of the same, printed as a line of JSON after every step."""
    import warnings

    import anndata as ad
    import scanpy as sc

    warnings.simplefilter("ignore")
    state: dict[str, ad.AnnData] = {}

    def read() -> None:
        parts = [sc.read_h5ad(path) for path in paths]
        state["all"] = ad.concat(parts, keys=[Path(path).stem for path in paths], label="sample")
        state["all"].obs_names_make_unique()

    def filter_cells() -> None:
        sc.pp.calculate_qc_metrics(state["all"], inplace=True, percent_top=None)
        sc.pp.filter_cells(state["all"], min_genes=200)

    def normalize() -> None:
        data = state["all"]
        data.layers["counts"] = data.X.copy()
        sc.pp.normalize_total(data)
        sc.pp.log1p(data)
        sc.pp.highly_variable_genes(data, n_top_genes=2000, batch_key="sample")

    steps = {
        "read": read,
        "filter_cells": filter_cells,
        "scrublet": lambda: sc.pp.scrublet(state["all"], batch_key="sample"),
        "normalize": normalize,
        "pca": lambda: sc.tl.pca(state["all"]),
        "neighbors": lambda: sc.pp.neighbors(state["all"]),
        "leiden": lambda: sc.tl.leiden(
            state["all"], flavor="igraph", n_iterations=2, directed=False
        ),
        "umap": lambda: sc.tl.umap(state["all"]),
        "rank_genes": lambda: sc.tl.rank_genes_groups(state["all"], "leiden", method="wilcoxon"),
    }
    for name, step in steps.items():
        start, cpu = time.perf_counter(), time.process_time()
        step()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        took = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
        print(json.dumps({"step": name, **took, "peak_bytes": peak * 1024}), flush=True)


def show(n_cells: int, verb: str, seconds: float, cpu: float, peak_bytes: float) -> None:
    print(
        f"{n_cells:>8}  {verb:<20}{seconds:>9.1f}{cpu:>9.1f}{peak_bytes / 1e6:>10.0f}", flush=True
    )


def run_chain(
    lines: dict[str, list[list[str]]], folder: Path, n_cells: int, arguments: argparse.Namespace
) -> None:
    """Run the verbs, or those whose files are missing, and print what each took."""
    left, total = set(arguments.only), 0.0
    for verb, of_verb in lines.items():
        wanted = not arguments.only or verb in arguments.only
        quick = QUICK.get(verb, []) if arguments.quick else []
        used = [
            measure([*line, *quick], folder, threads=arguments.threads)
            for line in of_verb
            if wanted or not arguments.keep or not output_of(line).exists()
        ]
        if wanted:
            cpu = sum(one.cpu_seconds for one in used)
            total += cpu
            seconds, peak = sum(one.seconds for one in used), max(one.peak_bytes for one in used)
            show(n_cells, verb, seconds, cpu, peak)
        left.discard(verb)
        if arguments.only and not left:
            break
    print(f"{n_cells:>8}  {'all':<29}{total:>9.1f}", flush=True)


def run_scanpy(raws: dict[str, Path], n_cells: int, threads: int) -> None:
    """Print what each step of scanpy's recipe took."""
    child = "import json, sys; sys.path.insert(0, sys.argv[1]); import scale; "
    child += "scale.scanpy_recipe(sys.argv[2:])"
    words = [sys.executable, "-c", child, str(Path(__file__).parent), *map(str, raws.values())]
    variables = {name: str(threads) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
    with subprocess.Popen(
        words, env=os.environ | variables, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                took = json.loads(line)
                name = f"scanpy {took['step']}"
                show(n_cells, name, took["seconds"], took["cpu"], took["peak_bytes"])
    if process.returncode:
        print(f"{n_cells:>8}  scanpy ended with code {process.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of every verb.")
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 50_000, 200_000])
    parser.add_argument("--quick", action="store_true", help="few steps, few subsamples")
    parser.add_argument("--only", nargs="+", default=[], help="verbs to print [all]")
    parser.add_argument("--source", type=Path, help="real counts that cells are drawn from")
    parser.add_argument("--samples", type=int, default=20, help="samples of such cells")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scanpy", action="store_true", help="scanpy's own steps, too")
    parser.add_argument("--keep", type=Path, help="folder where files stay and are used again")
    arguments = parser.parse_args()
    what = f"{N_GENES} genes, {GENES_PER_CELL} detected in each cell"
    if arguments.source:
        what = f"{arguments.source.name} drawn again, {arguments.samples} samples"
    print(f"{name_machine()}; threads: {arguments.threads}; {what}")
    print(f"{'cells':>8}  {'verb':<20}{'seconds':>9}{'CPU':>9}{'peak, MB':>10}")
    for n_cells in arguments.cells:
        with contextlib.ExitStack() as stack:
            temporary = tempfile.TemporaryDirectory(prefix="scpress-scale-")
            parent = arguments.keep or Path(stack.enter_context(temporary))
            folder = parent / f"{n_cells}_in_{arguments.samples}"
            folder.mkdir(parents=True, exist_ok=True)
            if arguments.source:
                raws = write_samples(
                    arguments.source, folder / "raw", n_cells, n_samples=arguments.samples
                )
                lines = sample_chain(raws, folder)
            else:
                raws = {"s1": folder / "raw.h5ad"}
                write_counts(raws["s1"], n_cells)
                lines = {verb: [line] for verb, line in chain(raws["s1"], folder).items()}
            run_chain(lines, folder, n_cells, arguments)
            if arguments.scanpy:
                run_scanpy(raws, n_cells, arguments.threads)


if __name__ == "__main__":
    main()
