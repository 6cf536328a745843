"""The fused step on a GPU: the same as the CPU's, how quick, and what a whole training takes.

    python benchmarks/gpu.py [--device cuda]            # all of it in under 5 minutes
    python benchmarks/gpu.py --device cpu --brief       # every line of it, on small shapes

Counts are drawn, gamma and Poisson, so that no file is needed. Parts:

- equality: largest difference of loss, gradient, draws and Adam from autograd on the device, of the
  gradient from the CPU's step, both relative to the largest value of a parameter; and whether two
  trainings give the same bits.
- steps: microseconds and kernels a step, by shape and by what matrices are multiplied in, beside
  the graph of what autograd does; seconds until the first step.
- whole: seconds from the start of a process to its weights, and their held-out loss, twice: what
  was compiled is in the cache the second time; float32, the TF32 it is by default, bfloat16.
- scvi-tools: cells/s of the same network, batch 128, if it is installed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scale import name_machine
from scipy import sparse

# Batch size by genes, and cells of the drawn counts.
SHAPES = ((128, 2000), (128, 15_000), (1024, 2000))
BRIEF_SHAPES = ((32, 50),)
PRODUCTS = ("float32", "TF32", "bfloat16")
LIKELIHOODS = ("zinb", "nb", "poisson", "multinomial")
N_TEST = 1000


def draw_counts(n_cells: int, n_genes: int) -> sparse.csr_matrix:
    """[n_cells, n_genes] Counts of cells of ten types, sorted by gene."""
    rng = np.random.default_rng(0)
    shares = rng.gamma(0.3, 1, n_genes) * rng.gamma(2, 0.5, (10, n_genes))
    shares /= shares.sum(axis=1, keepdims=True)
    parts = []
    for start in range(0, n_cells, 500):
        n = min(500, n_cells - start)
        mean = rng.integers(800, 3000, (n, 1)) * shares[rng.integers(0, 10, n)]
        parts.append(sparse.csr_matrix(rng.poisson(mean).astype(np.int32)))
    return sparse.vstack(parts).tocsr()


def _data(X: sparse.csr_matrix) -> Any:
    from scpress.model.modelled import ModelledCounts

    library = np.maximum(np.asarray(X.sum(axis=1)).ravel(), 1)
    return ModelledCounts(X, library / np.median(library), np.arange(X.shape[0]) % 2)


def _model(data: Any, options: Any, device: str, batches: tuple[str, ...] = ()) -> Any:
    import torch

    from scpress.model.axes import resolve_config
    from scpress.model.fitted import TrainedModel
    from scpress.model.network import CountAutoencoder

    torch.manual_seed(0)
    config = resolve_config(options, n_genes=data.X.shape[1], batches=batches)
    network = CountAutoencoder(config).to(device).train()
    network.products = options.products
    return TrainedModel(network, [f"g{i}" for i in range(data.X.shape[1])], [], 1.0)


def _operations(device: str) -> dict[str, Any]:
    from scpress.training.fused.choice import has_triton, operations

    names = ["plain"]
    # On a CPU kernels run in triton's interpreter alone, which the environment asks for.
    if has_triton() and (device == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"):
        names.insert(0, "kernels")
    return {name: operations(name) for name in names}


def show_equality(arguments: argparse.Namespace) -> None:
    """Print the differences, and whether bits repeat."""
    import torch

    from scpress.config.options import TrainOptions
    from scpress.training.fused.choice import largest_error
    from scpress.training.fused.source import Step
    from scpress.training.fused.stepper import FusedStepper
    from scpress.training.loop import stepper

    batch, n_genes = (32, 50) if arguments.brief else (128, 2000)
    data, rows = _data(draw_counts(4 * batch, n_genes)), np.arange(batch)
    print("| likelihood | theta of | products | operations | autograd | CPU's gradient | bits |")
    print("|---|---|---|---|---|---|---|")
    for likelihood in LIKELIHOODS[:1] if arguments.brief else LIKELIHOODS:
        for dispersion in ("gene", "gene-batch", "gene-cell"):
            has_theta = likelihood in ("zinb", "nb")
            if dispersion != "gene" and (arguments.brief or not has_theta):
                continue
            for products in ("float32", "bfloat16"):
                options = TrainOptions(
                    likelihood=likelihood,
                    dispersion=dispersion,
                    products=products,
                    batch_size=batch,
                )
                for name, ops in _operations(arguments.device).items():
                    found, moved = [], []
                    for _ in range(2):
                        model = _model(data, options, arguments.device, ("a", "b"))
                        step = FusedStepper(model, data, options, ops)
                        found.append(largest_error(step))
                        for i in range(10):
                            step(rows + batch * (i % 3), kl_weight=1.0, seed=i)
                        moved.append(step.weights.values.clone())
                    # Without dropout, whose draws are others.
                    plain_options = TrainOptions(
                        **vars(options) | {"dropout_rate": 0.0, "clip_norm": 1e9}
                    )
                    cpu = _model(data, plain_options, "cpu", ("a", "b"))
                    on_cpu = stepper(cpu, data, plain_options)
                    model = _model(data, plain_options, arguments.device, ("a", "b"))
                    step = FusedStepper(model, data, plain_options, ops)
                    step.source.choose([Step(rows, 0.5, 1)])
                    step.draw(1)
                    noise = step.noise[0].cpu()
                    step.gradients.heads.cast()
                    step.differentiate(0, tensor_cores=False)
                    on_cpu.update(data.cells_at(cpu, rows), noise, 0.5)
                    errors = []
                    largest = max(float(p.grad.abs().max()) for p in cpu.network.parameters())
                    for key, p in cpu.network.named_parameters():
                        difference = (step.weights.gradient_of(key).cpu() - p.grad).abs().max()
                        size = max(float(p.grad.abs().max()), 1e-2 * largest)
                        errors.append(float(difference) / size)
                    same = "same" if torch.equal(*moved) else "OTHER"
                    print(
                        f"| {likelihood} | {dispersion} | {products} | {name} | {found[0]:.1e} "
                        f"| {max(errors):.1e} | {same} |",
                        flush=True,
                    )
    print()


def _timed(step: Any, rows: list[np.ndarray], device: str) -> tuple[float, float, float, float]:
    """(microseconds a step, its kernels, seconds until the first, the last loss)."""
    import torch

    def run(n: int) -> float:
        total = 0.0
        for i in range(n):
            total += step(rows[i % len(rows)], kl_weight=1.0, seed=i)
        return float(total + step.finish()) / n

    start = time.perf_counter()
    run(5)
    first = time.perf_counter() - start
    n = 300 if device == "cuda" else 5
    run(n // 5)
    start = time.perf_counter()
    loss = run(n)
    microseconds = (time.perf_counter() - start) / n * 1e6
    kernels = 0.0
    if device == "cuda":
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            run(10)
            torch.cuda.synchronize()
        kernels = sum(e.count for e in profiled.key_averages()) / 10
        show_kernels(profiled, 10)
    return microseconds, kernels, first, loss


def show_kernels(profiled: Any, n_steps: int) -> None:
    """Print to the error stream where the time of a step goes."""
    events = sorted(profiled.key_averages(), key=lambda e: -e.self_device_time_total)
    for event in events[:14]:
        print(
            f"  {event.self_device_time_total / n_steps:7.1f} us {event.count / n_steps:5.1f}x "
            f"{event.key[:80]}",
            file=sys.stderr,
        )


def show_steps(arguments: argparse.Namespace) -> None:
    """Print the time of a step by shape, beside the graph of autograd's."""
    from scpress.config.options import TrainOptions
    from scpress.training.cuda_graph import GraphStepper
    from scpress.training.fused.stepper import FusedStepper
    from scpress.training.loop import stepper
    from scpress.training.split import Order

    on_gpu = arguments.device == "cuda"
    print("| batch x genes | step | products | us | cells/s | kernels | first, s | loss |")
    print("|---|---|---|---|---|---|---|---|")
    for batch, n_genes in BRIEF_SHAPES if arguments.brief else SHAPES:
        data = _data(draw_counts(4 * batch if arguments.brief else 3000, n_genes))
        order = Order(len(data), batch, 0)
        rows = [order.rows(i) for i in range(50)]
        kinds = [(name, p) for name in _operations(arguments.device) for p in PRODUCTS]
        kinds += [("copied counts", "TF32"), ("autograd", "float32"), ("autograd", "bfloat16")]
        for name, multiplied in kinds:
            products = "bfloat16" if multiplied == "bfloat16" else "float32"
            options = TrainOptions(batch_size=batch, products=products)
            model = _model(data, options, arguments.device)
            start = time.perf_counter()
            if name == "autograd":
                step = (GraphStepper if on_gpu else stepper)(model, data, options)
            else:
                operations = _operations(arguments.device)
                step = FusedStepper(
                    model,
                    data,
                    options,
                    operations.get(name, next(iter(operations.values()))),
                    resident=name != "copied counts",
                    tensor_cores=multiplied != "float32",
                )
            made = time.perf_counter() - start
            us, kernels, first, loss = _timed(step, rows, arguments.device)
            print(
                f"| {batch} x {n_genes:,} | {name} | {multiplied} | {us:,.0f} "
                f"| {batch / us * 1e6:,.0f} | {kernels:.0f} | {made + first:.1f} | {loss:.2f} |",
                flush=True,
            )
            del step
    print()


def whole_child(task: dict[str, Any]) -> None:
    """Train with the shipped options, from a file of counts to weights; print its losses."""
    from functools import partial

    from scpress.config.options import TrainOptions
    from scpress.training.engines import fit_model
    from scpress.training.fused import choice

    if task["products"] == "float32":
        plain: Any = partial(choice.FusedStepper, tensor_cores=False)
        plain.is_for = choice.FusedStepper.is_for
        choice.FusedStepper = plain  # type: ignore[misc]
    data = _data(sparse.load_npz(task["counts"]))
    n_train = len(data) - 2 * N_TEST
    options = TrainOptions(
        batch_key=None,
        products="bfloat16" if task["products"] == "bfloat16" else "float32",
        kernels="torch" if task["products"] == "autograd" else "fused",
        **task["options"],
    )
    model = _model(data, options, task["device"])
    parts = data.take(slice(n_train)), data.take(slice(n_train, n_train + N_TEST))
    fitted = fit_model(model, *parts, options, seed=task["seed"])
    print(json.dumps({"loss": fitted.best_loss, "steps": fitted.history[-1]["step"]}))


def show_whole(arguments: argparse.Namespace, counts: Path) -> None:
    """Print seconds from the start of a process to weights."""
    print("| training | seed | seconds | steps | held-out loss |")
    print("|---|---|---|---|---|")
    options: dict[str, Any] = {"max_steps": 20, "validate_every": 10} if arguments.brief else {}
    for products in ("TF32", "float32", "bfloat16", "autograd"):
        for seed in range(2):
            task = {"products": products, "seed": seed, "device": arguments.device}
            task |= {"counts": str(counts), "options": options}
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, __file__, "--child", json.dumps(task)],
                capture_output=True,
                text=True,
            )
            seconds = time.perf_counter() - start
            if done.returncode:
                print(f"| {products} | {seed} | failed: {done.stderr.strip()[-300:]} |")
                continue
            said = [line for line in done.stderr.splitlines() if "fused step" in line]
            found = json.loads(done.stdout.splitlines()[-1])
            print(
                f"| {products} | {seed} | {seconds:.1f} | {found['steps']} | {found['loss']:.2f} |"
                + "".join(f" {line}" for line in said),
                flush=True,
            )
    print()


def show_scvi(arguments: argparse.Namespace, counts: Path) -> None:
    """Print cells/s of scvi-tools and of scpress, each in a process that has trained before."""
    import importlib.util

    if importlib.util.find_spec("scvi") is None:
        print("scvi-tools is not installed")
        return
    from training import measure

    print("| engine | cells/s | epochs | seconds | test NLL |")
    print("|---|---|---|---|---|")
    common = {"part": "speed", "threads": 2, "device": arguments.device, "seed": 0}
    for engine, epochs in (("scvi-tools", 3), ("scpress", 3 if arguments.brief else 60)):
        row = measure(common | {"engine": engine, "epochs": epochs, "counts": str(counts)})
        print(
            f"| {engine} | {row['cells_per_second']:,.0f} | {row['epochs']:.0f} "
            f"| {row['seconds']:.1f} | {row['nll']:.2f} |",
            flush=True,
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parts = ("equality", "steps", "whole", "scvi-tools")
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--brief", action="store_true", help="small shapes and few steps")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        whole_child(json.loads(arguments.child))
        return
    import torch

    card = torch.cuda.get_device_name() if arguments.device == "cuda" else "no GPU"
    print(f"{name_machine()}; {card}; torch {torch.__version__}\n")
    start = time.perf_counter()
    if "equality" in arguments.part:
        show_equality(arguments)
    if "steps" in arguments.part:
        show_steps(arguments)
    if {"whole", "scvi-tools"} & set(arguments.part):
        # Cells of validation and test stand behind those of training, as `measure` wants them.
        n_cells = 2300 if arguments.brief else 10_000 + 2 * N_TEST
        with tempfile.TemporaryDirectory(prefix="scpress-gpu-") as folder:
            counts = Path(folder) / "counts.npz"
            n_genes = 50 if arguments.brief else 2000
            sparse.save_npz(counts, draw_counts(n_cells, n_genes), compressed=False)
            if "whole" in arguments.part:
                show_whole(arguments, counts)
            if "scvi-tools" in arguments.part:
                show_scvi(arguments, counts)
    print(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
