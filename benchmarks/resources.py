"""What jobs asked for beside what they took, from the benchmark files of real runs.

    python benchmarks/resources.py [results]

reads results/benchmarks of a finished run, its files' headers and its sample sheet, and prints
memory and time per job as predicted by workflow/prediction.py and as Snakemake measured them. Ends
with code 1 where a job took more than was predicted for its first attempt.
"""

import argparse
import csv
import sys
from pathlib import Path

from scpress.steps.doctor import load_module

ROOT = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description="Predicted and measured memory and time.")
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"))
    parser.add_argument("--samples", type=Path, default=Path("config/samples.tsv"))
    arguments = parser.parse_args()
    prediction = load_module(ROOT / "workflow/prediction.py")
    with arguments.samples.open(newline="") as file:
        lines = [line for line in file if line.strip() and not line.startswith("#")]
    samples = {
        row["sample"]: prediction.measure(row["path"])
        for row in csv.DictReader(lines, delimiter="\t")
    }
    counts = prediction.measure(arguments.results / "counts.h5ad")
    short = 0
    print(
        f"{'rule':<10}{'job':<24}{'cells':>9}{'asked MB':>10}{'took':>8}"
        f"{'asked min':>11}{'took':>8}"
    )
    for path in sorted((arguments.results / "benchmarks").rglob("*.tsv")):
        rule, *rest = path.relative_to(arguments.results / "benchmarks").with_suffix("").parts
        if rule not in prediction.COSTS:
            continue
        size = {"merge": prediction.total(list(samples.values()))}.get(rule, counts)
        if rule in prediction.GROUPS["sample"]:
            size = samples[rest[0]]
        with path.open(newline="") as file:
            measured = list(csv.DictReader(file, delimiter="\t"))[-1]
        if measured["max_rss"] in ("NA", "-"):  # too short to be looked at
            continue
        took_mb, took_minutes = float(measured["max_rss"]), float(measured["s"]) / 60
        memory = prediction.memory_mb(rule, size)
        minutes = prediction.runtime_minutes(rule, size)
        is_short = took_mb > memory or took_minutes > minutes
        short += is_short
        print(
            f"{rule:<10}{'/'.join(rest):<24}{size.cells:>9}{memory:>10}{took_mb:>8.0f}"
            f"{minutes:>11}{took_minutes:>8.1f}{'  MORE THAN ASKED' if is_short else ''}"
        )
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
