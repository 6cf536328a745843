"""`scpress simulate`: write simulated counts with their truth."""

import argparse
from pathlib import Path

from scpress.config.options import SimulateOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths of the verb."""
    parser.add_argument("--output", type=Path, required=True, help="AnnData file to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers [0]")


def run(arguments: argparse.Namespace, options: SimulateOptions) -> None:
    """Simulate and write."""
    from scpress.io.h5ad import write_h5ad
    from scpress.steps.simulate import simulate

    write_h5ad(simulate(options, seed=arguments.seed), arguments.output)
