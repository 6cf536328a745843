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
    from scpress.datasets import pbmc68k_counts

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scanpy's own file is in an old format
        return pbmc68k_counts()


@pytest.fixture(scope="session")
def simulated():
    """600 simulated cells x 300 genes of 3 types in 2 batches."""
    from scpress.options import SimulateOptions
    from scpress.steps.simulate import simulate

    options = SimulateOptions(n_cells=600, n_genes=300, n_types=3, n_batches=2)
    return simulate(options, seed=0)


def modelled(counts, *, n_genes=200):
    """The most detected genes of an AnnData of counts, as the network reads them."""
    import numpy as np

    from scpress.counts import library_sizes, size_factors
    from scpress.trained import ModelledCounts

    detected = np.asarray((counts.X > 0).sum(axis=0)).ravel()
    columns = np.sort(np.argsort(-detected, kind="stable")[:n_genes])
    return ModelledCounts(counts.X[:, columns], size_factors(library_sizes(counts.X)))


def normalized_of(counts, *, n_genes=200):
    """What `normalize` gives, with the most detected genes as the variable ones."""
    import anndata as ad
    import numpy as np
    import pandas as pd

    from scpress.counts import library_sizes, size_factors

    library_size = library_sizes(counts.X)
    detected = np.asarray((counts.X > 0).sum(axis=0)).ravel()
    highly_variable = np.zeros(counts.n_vars, dtype=bool)
    highly_variable[np.argsort(-detected, kind="stable")[:n_genes]] = True
    obs = pd.DataFrame(
        {"library_size": library_size, "size_factor": size_factors(library_size)},
        index=counts.obs_names,
    )
    var = pd.DataFrame({"highly_variable": highly_variable}, index=counts.var_names)
    return ad.AnnData(obs=obs, var=var)


def explode_at_step(step, monkeypatch):
    """Gradients that are not numbers at one step of training; calls["n"] = 0 counts anew."""
    from scpress.stepping import CompiledStepper

    clip, calls = CompiledStepper._clip, {"n": 0}

    def explode(self):
        clip(self)
        calls["n"] += 1
        if calls["n"] == step:
            self._gradients.all.fill_(float("nan"))

    monkeypatch.setattr(CompiledStepper, "_clip", explode)
    return calls
