"""`scpress merge`: the passing cells of all samples in one file."""

import argparse
from pathlib import Path

from scpress.config.options import MergeOptions
from scpress.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths."""
    parser.add_argument(
        "--counts", type=Path, nargs="+", required=True, help="counts.h5ad of every sample"
    )
    parser.add_argument(
        "--qc", type=Path, nargs="+", required=True, help="qc.h5ad of every sample, same order"
    )
    parser.add_argument("--output", type=Path, required=True, help="counts.h5ad to write")


def run(arguments: argparse.Namespace, options: MergeOptions) -> None:
    """Walk over the samples and write their passing cells block by block."""
    import numpy as np

    from scpress import slots
    from scpress.io.h5ad import write_h5ad_streamed
    from scpress.io.results import read_counts, read_result
    from scpress.steps.merge import iter_merged, plan_merge
    from scpress.tables import results

    if len(arguments.counts) != len(arguments.qc):
        raise InputError(
            f"--counts names {len(arguments.counts)} files and --qc {len(arguments.qc)}; "
            "name both for every sample, in the same order."
        )
    samples = {}
    for counts_path, qc_path in zip(arguments.counts, arguments.qc, strict=True):
        counts, marks = read_counts(counts_path), read_result(qc_path, results.QC)
        slots.require(counts, slots.SAMPLE)
        sample = str(counts.obs[slots.SAMPLE.name].iloc[0])
        if sample in samples:
            raise InputError(
                f"sample {sample!r} is given twice, the second time in '{counts_path}'."
            )
        samples[sample] = (counts, marks)
    plan = plan_merge(samples, options)
    write_h5ad_streamed(
        arguments.output, plan.rest, {"X": iter_merged(samples, plan)}, dtypes={"X": np.int32}
    )
