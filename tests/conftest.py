"""Fixtures every test may use: small real and simulated counts, read-only by habit."""

import os
import warnings

import pytest

# Before anything imports numba or torch: the command line sets the same, and numba refuses to
# change the number once its threads have started.
for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"


@pytest.fixture(scope="session")
def pbmc():
    """700 real PBMC x 765 genes, raw counts, types in obs['bulk_labels']."""
    from scpress.counts.demo import pbmc68k_counts

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scanpy's own file is in an old format
        return pbmc68k_counts()


@pytest.fixture(scope="session")
def simulated():
    """600 simulated cells x 300 genes of 3 types in 2 batches."""
    from scpress.config.options import SimulateOptions
    from scpress.steps.simulate import simulate

    options = SimulateOptions(n_cells=600, n_genes=300, n_types=3, n_batches=2)
    return simulate(options, seed=0)
