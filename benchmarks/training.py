"""How fast a model trains and how soon it is good: scpress beside scvi-tools, and DCA if there.

    python benchmarks/training.py pbmc3k_raw_2700.h5ad [--part speed quality ...] [--device cpu]

Cells are resampled from the given raw counts at their own density: each new cell takes every
molecule of two cells of one type (obs['cell_type']) with probability one half. Every measurement is
a process of its own with the same number of threads, whose engine has trained a few cells before
the clock starts; medians are printed.

- speed: the same network (128 hidden, 10 latent, zinb), batch size 128, same epochs: cells/s, peak
  memory, held-out importance-weighted NLL; 10,000 x 2,000 and 5,000 x 15,000.
- quality: the shipped defaults beside scvi-tools with early stopping: seconds until training has
  ended and its held-out NLL, and seconds until scvi-tools' final NLL was first that of its weights
  (the median over its seeds). The weights at each validation that was the best so far are scored
  afterwards, by bisection, so that scoring takes none of the time.
- defaults: the same of the --variants of the shipped options, by which these were chosen.
- scale: cells/s and an epoch from files of 10,000 to 1,000,000 cells, 160 nonzeros each.
"""

import argparse
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from instruments import Peak, Watch, resample, scale_files
from scale import name_machine
from scipy import sparse

SHAPES = {2000: 10_000, 15_000: 5_000}  # genes: cells
ENGINES = ("scvi-tools", "scpress", "scpress bfloat16", "scpress torch", "dca")
N_TEST = 1000
VARIANTS = [
    "batch_size=128",  # as shipped
    "batch_size=64",
    "batch_size=256",
    "learning_rate=0.002",
    "learning_rate=0.016",
    "epsilon=0.01",
    "averaged_steps=0",
    "averaged_steps=0 learning_rate=0.002",
]


# one measurement, in a process of its own ------------------------------------------------------


def _model(n_genes: int, options: Any, device: str) -> Any:
    import torch

    from scpress.model.axes import resolve_config
    from scpress.model.fitted import TrainedModel
    from scpress.model.network import CountAutoencoder

    torch.manual_seed(0)
    network = CountAutoencoder(resolve_config(options, n_genes=n_genes)).to(device)
    return TrainedModel(network, [f"g{i}" for i in range(n_genes)], [], 1.0)


def child(task: dict[str, Any]) -> dict[str, float]:
    """Train one engine once; what it took."""
    import torch

    from scpress.config.options import TrainOptions
    from scpress.model.modelled import ModelledCounts
    from scpress.model.scoring import importance_weighted_nll
    from scpress.training.engines import fit_model

    torch.set_num_threads(task["threads"])
    X = sparse.load_npz(task["counts"])
    library = np.maximum(np.asarray(X.sum(axis=1)).ravel(), 1)
    data = ModelledCounts(X, library / np.median(library))
    stops_early = task["part"] != "speed"
    n_train = X.shape[0] - 2 * N_TEST
    training, test = data.take(slice(0, n_train)), data.take(slice(X.shape[0] - N_TEST, None))
    # Without early stopping nothing looks at the validation cells but the end of the training.
    validation = (
        data.take(slice(n_train, n_train + N_TEST)) if stops_early else test.take(slice(0, 64))
    )
    engine = task["engine"]
    options: dict[str, Any] = {"batch_key": None} | task.get("options", {})
    # The speed of scvi-tools is measured without an epoch's unfilled last batch.
    steps = (math.ceil(n_train / 128) if stops_early else n_train // 128) * task["epochs"]
    if engine == "scvi-tools":
        options |= {"engine": "scvi-tools", "max_steps": steps}
        options |= {"patience": math.ceil(n_train / 128) * 45}
    if engine == "scpress torch":
        options |= {"kernels": "torch"}
    if engine == "scpress bfloat16":
        options |= {"products": "bfloat16"}
    if not stops_early:
        never = 10**9
        options |= {"max_steps": steps, "validate_every": never, "patience": never}
    if engine == "dca":
        return _dca(X[:n_train], task)
    chosen = TrainOptions(**options)
    # Imported, compiled or read from numba's cache, and run once, before the clock starts.
    warm, few = _model(X.shape[1], chosen, task["device"]), training.take(slice(0, 300))
    if engine == "scvi-tools":
        _train_scvi(warm, few, chosen, 1)
    else:
        fit_model(warm, few, validation, TrainOptions(**(options | {"max_steps": 3})), seed=0)
    model = _model(X.shape[1], chosen, task["device"])
    peak, watch = Peak(), Watch() if "target" in task else None
    start = time.perf_counter()
    if engine == "scvi-tools" and not stops_early:
        _train_scvi(model, training, chosen, task["epochs"])
    else:
        fitted = fit_model(model, training, validation, chosen, seed=task["seed"])
    seconds = time.perf_counter() - start
    peak.running = False
    if stops_early:
        steps = fitted.history[-1]["step"]
    found = {
        "seconds": seconds,
        "cells_per_second": steps * chosen.batch_size / seconds,
        "epochs": steps * chosen.batch_size / n_train,
        "steps": steps,
        "peak_mb": peak.mb,
        "nll": float(importance_weighted_nll(model, test).mean()),
    }
    if watch:
        target = found["nll"] if task["target"] is None else task["target"]
        found["to_target"] = watch.seconds_to(target, model, test)
    return found


def _train_scvi(model: Any, training: Any, options: Any, epochs: int) -> None:
    """scvi-tools' own `train` at its quickest: no validation, no logging, no progress bar."""
    import scvi

    from scpress.training.scvi_tools import _Quiet, build_scvi, from_scvi_module, scvi_adata

    with _Quiet():
        scvi.settings.seed = 0
        adata = scvi_adata(model, training.X.astype(np.float32), None, None)
        theirs = build_scvi(adata, model.config)
        theirs.train(
            max_epochs=epochs,
            accelerator="gpu" if model.network.input_mean.device.type == "cuda" else "cpu",
            devices=1,
            batch_size=128,
            train_size=1.0,
            datasplitter_kwargs={"drop_last": True},
            plan_kwargs={
                "lr": options.first_rate,
                "n_epochs_kl_warmup": None,
                "n_steps_kl_warmup": options.kl_warmup_steps,
            },
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            logger=False,
        )
    from_scvi_module(theirs.module, model.network)


def _dca(X: sparse.csr_matrix, task: dict[str, Any]) -> dict[str, float]:
    """DCA 0.3.4's own training (batch 128), where its old TensorFlow can be installed."""
    import anndata as ad
    from dca.api import dca

    peak, start = Peak(), time.perf_counter()
    dca(
        ad.AnnData(X.astype(np.float32)),
        mode="latent",
        ae_type="zinb",
        hidden_size=(128, 10, 128),
        epochs=task["epochs"],
        batch_size=128,
        early_stop=10**6,
        threads=task["threads"],
    )
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "cells_per_second": task["epochs"] * X.shape[0] / seconds,
        "epochs": task["epochs"],
        "peak_mb": peak.mb,
        "nll": math.nan,  # a deterministic model has none
    }


def scale_child(task: dict[str, Any]) -> dict[str, float]:
    """One epoch from an h5ad, through the step that the pipeline calls."""
    import torch

    from scpress.config.options import TrainOptions
    from scpress.io.h5ad import read_h5ad
    from scpress.steps import train as step

    torch.set_num_threads(task["threads"])
    peak = Peak()
    start = time.perf_counter()
    counts = read_h5ad(Path(task["counts"]), backed=True)
    steps = math.ceil(0.9 * counts.n_obs / 128)
    options = TrainOptions(batch_key=None, max_steps=steps, patience=10**9, allow_failed_fit=True)
    step.train(counts, read_h5ad(Path(task["normalized"])), options, seed=0, device="cpu")
    return {"seconds": time.perf_counter() - start, "peak_mb": peak.mb}


def turns_child(task: dict[str, Any]) -> dict[str, float]:
    """Cells/s of the steps of one network over each file, a hundred steps of each in turn.

    In turn and over the same memory, as a shared machine is quicker at one minute than at the next
    and one process is quicker than another.
    """
    import torch

    from scpress.config.options import TrainOptions
    from scpress.io.h5ad import read_h5ad
    from scpress.steps import train as step
    from scpress.training.allocator import large_blocks_stay
    from scpress.training.loop import stepper
    from scpress.training.split import Order

    class DividedError(Exception):
        """What training would be given."""

    def stop(model: Any, training: Any, *_: Any, **__: Any) -> Any:
        raise DividedError(model, training)

    torch.set_num_threads(task["threads"])
    options = TrainOptions(batch_key=None)
    step.fit_model = stop
    data, orders = {}, {}
    for name, paths in task["files"].items():
        counts = read_h5ad(Path(paths["counts"]), backed=True)
        try:
            step.train(counts, read_h5ad(Path(paths["normalized"])), options, seed=0, device="cpu")
        except DividedError as divided:
            model, data[name] = divided.args
        orders[name] = Order(len(data[name]), options.batch_size, 0)
    model.network.train()
    step_of = stepper(model, data[name], options)
    seconds: dict[str, list[float]] = {name: [] for name in data}
    with large_blocks_stay():
        for turn in range(task["turns"]):
            for name, training in data.items():
                step_of.training = training
                start = time.perf_counter()
                for i in range(100):
                    rows = orders[name].rows(100 * turn + i)
                    step_of(rows, kl_weight=1.0, seed=100 * turn + i)
                seconds[name].append(time.perf_counter() - start)
    # The first turn reads the file for the first time and compiles.
    return {
        name: 100 * options.batch_size / statistics.median(t[1:]) for name, t in seconds.items()
    }


# all of them ------------------------------------------------------------------------------------


def measure(task: dict[str, Any]) -> dict[str, float]:
    """Run a task in a process of its own."""
    threads = str(task["threads"])
    done = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(task)],
        env=os.environ | dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), threads),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """Median of every number over the repeats."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def parse_options(words: list[str]) -> dict[str, Any]:
    """Options of training from words such as batch_size=64."""
    chosen: dict[str, Any] = {}
    for name, _, value in (word.partition("=") for word in words):
        try:
            chosen[name] = json.loads(value)
        except json.JSONDecodeError:
            chosen[name] = value
    return chosen


def _has_dca() -> bool:
    import importlib.util

    return importlib.util.find_spec("dca") is not None


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", help="h5ad of raw counts with cell_type")
    parts = ("speed", "quality", "defaults", "scale")
    parser.add_argument("--part", nargs="+", choices=parts, default=["speed", "quality", "scale"])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10, help="of each speed run")
    parser.add_argument("--genes", type=int, nargs="+", default=list(SHAPES))
    parser.add_argument("--engines", nargs="+", default=list(ENGINES))
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument(
        "--variants", nargs="+", default=VARIANTS, help="other options of scpress's training"
    )
    parser.add_argument(
        "--target", type=float, help="held-out NLL to reach; scvi-tools is left out"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        task = json.loads(arguments.child)
        children = {"scale": scale_child, "turns": turns_child}
        print(json.dumps(children.get(task["part"], child)(task)))
        return
    resampled = {"speed", "quality", "defaults"} & set(arguments.part)
    if resampled and arguments.source is None:
        parser.error(f"--part {' '.join(sorted(resampled))} resamples a file of counts: name it")
    print(f"{name_machine()}; {arguments.threads} threads; {arguments.device}\n")
    engines = [e for e in arguments.engines if e != "dca" or _has_dca()]
    common = {"threads": arguments.threads, "device": arguments.device}
    with tempfile.TemporaryDirectory(prefix="scpress-training-") as name:
        folder = Path(name)
        for n_genes in arguments.genes if resampled else ():
            X = resample(arguments.source, SHAPES[n_genes] + 2 * N_TEST, n_genes)
            sparse.save_npz(folder / "counts.npz", X, compressed=False)
            common["counts"] = str(folder / "counts.npz")
            shape = f"{SHAPES[n_genes]:,} x {n_genes:,}"
            print(f"{shape}, of which {X.nnz / np.prod(X.shape):.3f} are not zero\n")
            if "speed" in arguments.part:
                show_speed(shape, engines, arguments, common)
            if {"quality", "defaults"} & set(arguments.part):
                show_quality(shape, engines, arguments, common)
        if "scale" in arguments.part:
            show_scale(folder, arguments, common)


def show_scale(folder: Path, arguments: argparse.Namespace, common: dict[str, Any]) -> None:
    """Print cells/s by the number of cells, and what an epoch takes from file to weights."""
    files = {
        str(n_cells): scale_files(folder / str(n_cells), n_cells) for n_cells in arguments.cells
    }
    turns = 1 + 20 * arguments.repeats
    speeds = measure(common | {"part": "turns", "files": files, "turns": turns})
    print("| cells | cells/s | seconds of an epoch, in all | anonymous memory, MB |")
    print("|---|---|---|---|")
    for name, paths in files.items():
        task = common | {"part": "scale"} | paths
        row = medians([measure(task) for _ in range(arguments.repeats)])
        print(
            f"| {int(name):,} | {speeds[name]:,.0f} | {row['seconds']:.0f} "
            f"| {row['peak_mb']:,.0f} |",
            flush=True,
        )


def show_speed(
    shape: str, engines: list[str], arguments: argparse.Namespace, common: dict[str, Any]
) -> None:
    """Print cells/s of the same epochs; engines take turns."""
    runs: dict[str, list[Any]] = {engine: [] for engine in engines}
    for seed, engine in itertools.product(range(arguments.repeats), engines):
        one = common | {"part": "speed", "engine": engine, "epochs": arguments.epochs, "seed": seed}
        runs[engine].append(measure(one))
    rows = {engine: medians(found) for engine, found in runs.items()}
    base = rows.get("scvi-tools", next(iter(rows.values())))["cells_per_second"]
    print("| cells x genes | engine | cells/s | ratio | epochs | seconds | test NLL | MB |")
    print("|---|---|---|---|---|---|---|---|")
    for engine, row in rows.items():
        print(
            f"| {shape} | {engine} | {row['cells_per_second']:,.0f} "
            f"| {row['cells_per_second'] / base:.2f} | {row['epochs']:.0f} | {row['seconds']:.1f} "
            f"| {row['nll']:.2f} | {row['peak_mb']:,.0f} |",
            flush=True,
        )
    print()


def show_quality(
    shape: str, engines: list[str], arguments: argparse.Namespace, common: dict[str, Any]
) -> None:
    """Print when training was as good as scvi-tools', and when it ended."""
    print("| cells x genes | engine | seconds to target | ratio | steps | seconds | test NLL |")
    print("|---|---|---|---|---|---|---|")

    def train(engine: str, options: dict[str, Any], **more: Any) -> dict[str, float]:
        one = common | {"part": "quality", "engine": engine, "options": options, "epochs": 400}
        return medians([measure(one | more | {"seed": i}) for i in range(arguments.repeats)])

    def show(name: str, row: dict[str, float], base: float) -> None:
        print(
            f"| {shape} | {name} | {row['to_target']:.1f} | {base / row['to_target']:.1f} "
            f"| {row['steps']:.0f} | {row['seconds']:.1f} | {row['nll']:.2f} |",
            flush=True,
        )

    target, base = arguments.target, math.nan
    if target is None:
        row = train("scvi-tools", {}, target=None)
        target, base = row["nll"], row["to_target"]
        show("scvi-tools", row, base)
    if "quality" in arguments.part:
        for engine in engines:
            if engine.startswith("scpress"):
                show(engine, train(engine, {}, target=target), base)
    if "defaults" in arguments.part:
        for variant in arguments.variants:
            row = train("scpress", parse_options(variant.split()), target=target)
            show(variant, row, base)
    print()


if __name__ == "__main__":
    main()
